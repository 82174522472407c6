using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Tensors;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Data;

/// <summary>How a data set's captions became features.</summary>
/// <param name="Index">The index to train with.</param>
/// <param name="Captions">Different captions in each shard, together.</param>
/// <param name="Samples">Samples that have features.</param>
/// <param name="Dropped">Samples left out for too long a caption.</param>
/// <param name="Kept">Shards that were done before.</param>
public sealed record EmbeddedDataset(string Index, long Captions, long Samples, long Dropped, int Kept);

/// <summary>
/// Computes the text features of a data set once, so that training needs no text model: every shard's table again with the
/// columns <c>text_tar</c> and <c>text_file</c>, beside it an archive of .npy files [tokens,width], an index, and the features of
/// the empty caption, which training takes for captions it leaves out. A shard is complete or not there; complete ones are
/// not done again.
/// </summary>
/// <param name="text">The text model.</param>
/// <param name="reader">Limits of captions; what is longer is left out, as training does it.</param>
/// <param name="batch">Captions that go through the model together.</param>
/// <param name="half">Stores float16 in place of float32.</param>
public sealed class TextEmbedding(ITextModel text, ReaderConfig reader, int batch, bool half = false)
{
    /// <summary>Features of the empty caption, beside the index.</summary>
    public const string EmptyFile = "empty_caption.npy";

    private const string IndexFile = "index.tsv", DescriptionFile = "embedding.json";

    private readonly CaptionTokenizer _tokenizer = new(text.Tokenizer, reader);

    /// <summary>Does all shards of an index.</summary>
    /// <param name="fileList">Index TSV, or a single shard TSV.</param>
    /// <param name="folder">Where to.</param>
    /// <param name="progress">Told the share done, 0..1.</param>
    /// <param name="report">Told of shards that cannot be read, which are left out.</param>
    /// <param name="cancellation">Stops between two batches; complete shards stay.</param>
    /// <exception cref="MdmException">The index cannot be read, the folder cannot be written or has features of another
    /// model.</exception>
    public EmbeddedDataset Run(string fileList, string folder, Action<double> progress, Action<string> report,
        CancellationToken cancellation = default)
    {
        var shards = new ShardList(fileList, 0, 1, report);
        RequireSame(folder);
        byte[] empty = Npy(Encode([_tokenizer.Empty])[0]);
        AtomicFile.Write(Path.Combine(folder, EmptyFile), stream => stream.Write(empty));
        var names = new List<string>();
        var result = new EmbeddedDataset(Path.Combine(folder, IndexFile), 0, 0, 0, 0);
        for (int i = 0; i < shards.Shards.Count; i++)
        {
            double first = i;
            void Report(double share) => progress((first + share) / shards.Shards.Count);
            string name = $"{i:D5}_{Path.GetFileNameWithoutExtension(shards.Shards[i])}";
            string table = Path.Combine(folder, name + ".tsv");
            if (File.Exists(table))
                result = result with { Kept = result.Kept + 1 };
            else if (!Embed(shards, shards.Shards[i], table, Report, cancellation, ref result))
                continue;
            names.Add(name + ".tsv");
            Report(1);
        }

        if (names.Count == 0)
            throw new MdmException($"{fileList}: none of its {shards.Shards.Count} shards has a sample that can be used");
        AtomicFile.WriteText(result.Index, "filename\n" + string.Concat(names.Select(name => TsvFile.Line(name))));
        return result;
    }

    /// <summary>Features of the empty caption that lie beside an index, or null.</summary>
    internal static TextArray? EmptyOf(string fileList)
    {
        string path = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(fileList))!, EmptyFile);
        if (!File.Exists(path))
            return null;
        (long[] shape, float[] values) = NpyFile.Parse(File.ReadAllBytes(path), path);
        return shape.Length == 2
            ? new TextArray((int)shape[0], (int)shape[1], values)
            : throw new MdmException($"{path}: found {shape.Length} dimensions, expected [tokens, width]");
    }

    private bool Embed(ShardList shards, string shard, string table, Action<double> progress, CancellationToken cancellation,
        ref EmbeddedDataset result)
    {
        var samples = new List<(CaptionSample Sample, int[] Tokens)>();
        long dropped = 0;
        foreach (CaptionSample sample in shards.Samples(shard))
        {
            if (_tokenizer.EncodeCaption(sample.Caption, out int[] tokens) == CaptionFate.Kept)
                samples.Add((sample, tokens));
            else
                dropped++;
        }

        result = result with { Dropped = result.Dropped + dropped };
        if (samples.Count == 0)
            return false;
        // Captions of like length together: then little of a batch is padding.
        (string Caption, int[] Tokens)[] captions = [.. samples.DistinctBy(s => s.Sample.Caption)
            .Select(s => (s.Sample.Caption, s.Tokens)).OrderBy(c => c.Tokens.Length)];
        string archive = Path.ChangeExtension(table, ".text.tar");
        var files = new Dictionary<string, string>();
        AtomicFile.Write(archive, stream =>
        {
            using var tar = new TarWriter(stream);
            foreach ((string Caption, int[] Tokens)[] part in captions.Chunk(batch))
            {
                cancellation.ThrowIfCancellationRequested();
                TextArray[] features = Encode([.. part.Select(c => c.Tokens)]);
                for (int i = 0; i < part.Length; i++)
                {
                    string name = $"{files.Count:D6}.npy";
                    tar.Add(name, Npy(features[i]));
                    files.Add(part[i].Caption, name);
                }

                progress((double)files.Count / captions.Length);
            }
        });
        string folder = Path.GetDirectoryName(Path.GetFullPath(table))!;
        IEnumerable<string> rows = samples.Select(s => TsvFile.Line(Place(shards, s.Sample.Tar, folder), s.Sample.File,
            s.Sample.Caption, Path.GetFileName(archive), files[s.Sample.Caption]));
        // Last of all: it says that the shard is done.
        AtomicFile.WriteText(table, TsvFile.Line("tar", "file", "caption", "text_tar", "text_file") + string.Concat(rows));
        result = result with { Captions = result.Captions + captions.Length, Samples = result.Samples + samples.Count };
        return true;
    }

    /// <summary>The archive of pictures, from the new folder; one that is nowhere keeps its name.</summary>
    private static string Place(ShardList shards, string tar, string folder)
    {
        try
        {
            return Path.GetRelativePath(folder, Path.GetFullPath(shards.Resolve(tar)));
        }
        catch (MdmException)
        {
            return tar;
        }
    }

    private TextArray[] Encode(int[][] captions)
    {
        using Scope scope = Scope.Enter();
        TextFeatures features = text.Encode(captions);
        float[] values = features.Values.ToArray();
        int stride = features.Values.Shape[1] * text.Width;
        return captions.Select((tokens, i) => new TextArray(tokens.Length, text.Width,
            values.AsSpan(i * stride, tokens.Length * text.Width).ToArray())).ToArray();
    }

    private byte[] Npy(TextArray features) => NpyFile.Write(features.Tokens, features.Width, features.Values, half);

    /// <summary>A folder holds features of one model, made in one way.</summary>
    private void RequireSame(string folder)
    {
        var own = new Description(text.Name, half, reader.MaxCaptionLength, reader.MaxTokenLength, reader.AppendEos,
            reader.PrepadCaptionWithSpace, reader.PrepadBos, reader.UseTokenizerScores);
        string path = Path.Combine(folder, DescriptionFile);
        AtomicFile.CreateFolder(folder);
        try
        {
            if (File.Exists(path) && JsonSerializer.Deserialize<Description>(File.ReadAllText(path), TextModels.Json) is { } found
                && found != own)
            {
                throw new MdmException($"{folder} has features of another kind ({found}), expected {own}: name another "
                    + "--output-dir");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }

        AtomicFile.WriteText(path, JsonSerializer.Serialize(own, TextModels.Json) + "\n");
    }

    private sealed record Description(
        string Model, bool Half, int MaxCaptionLength, int MaxTokenLength, bool AppendEos, bool PrepadCaptionWithSpace,
        bool PrepadBos, bool UseTokenizerScores = true);
}
