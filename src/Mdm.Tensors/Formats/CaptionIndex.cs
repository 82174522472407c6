using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>A picture with its caption: a file inside an archive, and where there are any, precomputed text features.</summary>
public sealed record CaptionSample(string Tar, string File, string Caption, string? TextTar, string? TextFile);

/// <summary>The list of a dataset: an index TSV (column filename) of shard TSVs (columns tar, file, caption and optionally
/// text_tar, text_file). A shard TSV by itself is an index of one.</summary>
public sealed class CaptionIndex
{
    private readonly string folder;

    private CaptionIndex(string path)
    {
        folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        TsvFile table = TsvFile.Read(path);
        if (table.Find("filename") < 0 && table.Find("tar") >= 0)
        {
            Shards = [path];
            return;
        }

        int column = table.Require("filename");
        Shards = [.. table.Rows.Select(row => Resolve(row.Values[column]))];
        if (Shards.Count == 0)
            throw new MdmException($"{path} lists no files");
    }

    /// <summary>The shard TSVs, found.</summary>
    public IReadOnlyList<string> Shards { get; }

    /// <exception cref="MdmException">The file or one that it lists is missing or damaged.</exception>
    public static CaptionIndex Read(string path) => new(path);

    /// <summary>The samples of a shard. Its archives are not looked for; their names go through <see cref="Resolve"/>.</summary>
    /// <exception cref="MdmException">The shard is damaged or lacks a column.</exception>
    public IReadOnlyList<CaptionSample> Samples(string shard)
    {
        TsvFile table = TsvFile.Read(shard);
        (int tar, int file, int caption) = (table.Require("tar"), table.Require("file"), table.Require("caption"));
        (int textTar, int textFile) = (table.Find("text_tar"), table.Find("text_file"));
        if (textTar < 0 != textFile < 0)
            throw new MdmException($"{shard}: found only one of the columns text_tar and text_file, expected both or none");
        return [.. table.Rows.Select(row => new CaptionSample(
            row.Values[tar], row.Values[file], row.Values[caption],
            textTar < 0 ? null : row.Values[textTar], textFile < 0 ? null : row.Values[textFile]))];
    }

    /// <summary>A file named in the index or a shard: relative to the working directory, or else to the index's
    /// folder.</summary>
    /// <exception cref="MdmException">It is in neither place.</exception>
    public string Resolve(string path)
    {
        string beside = Path.Combine(folder, path);
        if (File.Exists(path))
            return path;
        return File.Exists(beside)
            ? beside
            : throw new MdmException($"there is no file '{path}', neither in {Environment.CurrentDirectory} nor in {folder}");
    }
}
