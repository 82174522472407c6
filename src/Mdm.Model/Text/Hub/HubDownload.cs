using System.Security.Cryptography;
using System.Text.RegularExpressions;
using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Text.Hub;

/// <summary>How far a download is.</summary>
/// <param name="File">What is being got.</param>
/// <param name="Done">Bytes of all files.</param>
/// <param name="Total">Bytes of all files.</param>
public sealed record HubProgress(string File, long Done, long Total);

/// <summary>Downloads what a text model needs of a repository: sizes, tokenizer, and one kind of weights, safetensors where
/// there are any.</summary>
/// <param name="client">The server.</param>
public sealed partial class HubDownload(HubClient client)
{
    private static readonly string[] s_needed = ["config.json"];

    private static readonly string[] s_useful =
        ["spiece.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];

    /// <summary>Downloads into the cache that Hugging Face's own programs use. The snapshot appears when all of its files are
    /// there.</summary>
    /// <param name="repository">OWNER/NAME.</param>
    /// <param name="revision">A branch, a tag or a commit.</param>
    /// <param name="cache">Where to.</param>
    /// <param name="progress">Told while it goes on.</param>
    /// <param name="cancellation">Stops it; what came is kept for the next time.</param>
    /// <returns>The folder of the files.</returns>
    /// <exception cref="MdmException">The server does not give it, there are no weights in it, or the disk is full.</exception>
    public async Task<string> ToCacheAsync(
        string repository, string revision, HubCache cache, Action<HubProgress> progress, CancellationToken cancellation)
    {
        RequireNames(repository, revision);
        HubListing listing = await client.ListAsync(repository, revision, cancellation).ConfigureAwait(false);
        string blobs = Path.Combine(cache.FolderOf(repository), "blobs"), snapshot = cache.SnapshotOf(repository, listing.Commit);
        IReadOnlyList<HubFile> files = await GetAsync(repository, listing, file => Path.Combine(blobs, file.BlobName), progress,
            cancellation).ConfigureAwait(false);
        Guard(snapshot, () =>
        {
            Directory.CreateDirectory(snapshot);
            foreach (HubFile file in files)
                Link(Path.Combine(snapshot, file.Name), Path.Combine(blobs, file.BlobName));
        });
        if (revision != listing.Commit)
            AtomicFile.WriteText(cache.ReferenceOf(repository, revision), listing.Commit);
        return snapshot;
    }

    /// <summary>As <see cref="ToCacheAsync"/>, into a plain folder.</summary>
    public async Task<string> ToFolderAsync(
        string repository, string revision, string folder, Action<HubProgress> progress, CancellationToken cancellation)
    {
        RequireNames(repository, revision);
        AtomicFile.CreateFolder(folder);
        HubListing listing = await client.ListAsync(repository, revision, cancellation).ConfigureAwait(false);
        await GetAsync(repository, listing, file => Path.Combine(folder, file.Name), progress, cancellation).ConfigureAwait(false);
        return folder;
    }

    /// <summary>The files to get, the largest first and the sizes of the model last, so that a folder that has them has
    /// all.</summary>
    internal static IReadOnlyList<string> Choose(string repository, IReadOnlyList<string> files)
    {
        foreach (string name in s_needed.Where(name => !files.Contains(name)))
            throw new MdmException($"{repository} has no {name}, expected the repository of a T5 model");
        string[] weights = [.. Weights(files)];
        if (weights.Length == 0)
            throw new MdmException($"{repository} has no weights that are read here (model.safetensors, pytorch_model.bin, or their "
                + $"shards with an index) among its {files.Count} files");
        return [.. weights, .. s_useful.Where(files.Contains), .. s_needed];
    }

    private static IEnumerable<string> Weights(IReadOnlyList<string> files)
    {
        foreach ((string stem, string ending) in (ReadOnlySpan<(string, string)>)[("model", ".safetensors"), ("pytorch_model", ".bin")])
        {
            if (files.Contains(stem + ending))
                return [stem + ending];
            string index = $"{stem}{ending}.index.json";
            if (files.Contains(index))
                return [.. files.Where(name => Shard().Match(name) is { Success: true } match
                    && match.Groups["stem"].Value == stem && match.Groups["ending"].Value == ending).Order(), index];
        }

        return [];
    }

    private async Task<IReadOnlyList<HubFile>> GetAsync(string repository, HubListing listing, Func<HubFile, string> place,
        Action<HubProgress> progress, CancellationToken cancellation)
    {
        var files = new List<HubFile>();
        foreach (string name in Choose(repository, listing.Files))
            files.Add(await client.DescribeAsync(repository, listing.Commit, name, cancellation).ConfigureAwait(false));
        long total = files.Sum(file => file.Size), done = 0;
        RequireSpace(files, place);
        foreach (HubFile file in files)
        {
            string target = place(file);
            void Report(long bytes) => progress(new HubProgress(file.Name, done += bytes, total));
            try
            {
                if (await IsThereAsync(file, target, cancellation).ConfigureAwait(false))
                {
                    Report(file.Size);
                    continue;
                }

                await new HubFileDownload(client, file, target, Report).RunAsync(cancellation).ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new MdmException($"cannot write {target}: {e.Message}; what came is kept, the same command goes on", e);
            }
        }

        return files;
    }

    // In the cache the content names the file; a folder may have the file of another revision.
    private static async Task<bool> IsThereAsync(HubFile file, string target, CancellationToken cancellation)
    {
        if (!File.Exists(target))
            return false;
        using FileStream stream = File.OpenRead(target);
        if (stream.Length != file.Size)
            return false;
        if (!file.HasChecksum || Path.GetFileName(target) == file.BlobName)
            return true;
        using IncrementalHash hash = file.StartHash();
        byte[] buffer = new byte[1 << 17];
        int count;
        while ((count = await stream.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0)
            hash.AppendData(buffer, 0, count);
        return Convert.ToHexStringLower(hash.GetHashAndReset()) == file.Tag;
    }

    private static void RequireSpace(IEnumerable<HubFile> files, Func<HubFile, string> place)
    {
        HubFile[] missing = [.. files.Where(file => !File.Exists(place(file)))];
        if (missing.Length == 0)
            return;
        string folder = Path.GetFullPath(Path.GetDirectoryName(place(missing[0]))!);
        long wanted = missing.Sum(file => file.Size - Had(place(file)));
        try
        {
            string? existing = folder;
            while (existing != null && !Directory.Exists(existing))
                existing = Path.GetDirectoryName(existing);
            long free = new DriveInfo(existing ?? folder).AvailableFreeSpace;
            if (wanted > free)
                throw new MdmException($"{folder}: {wanted / 1e9:F1} GB are missing, the disk has {free / 1e9:F1} GB free; HF_HOME or "
                    + "--dir names another place");
        }
        catch (Exception e) when (e is ArgumentException or IOException or UnauthorizedAccessException)
        {
            // A disk that does not tell its space may still have it.
        }

        static long Had(string target) =>
            File.Exists(target + HubFileDownload.Incomplete) ? new FileInfo(target + HubFileDownload.Incomplete).Length : 0;
    }

    // Relative, as Hugging Face's programs do it, so that the cache can be moved. Where links need rights, a copy.
    private static void Link(string path, string blob)
    {
        if (File.Exists(path))
            return;
        File.Delete(path);
        try
        {
            File.CreateSymbolicLink(path, Path.GetRelativePath(Path.GetDirectoryName(path)!, blob));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string temporary = path + HubFileDownload.Incomplete;
            File.Copy(blob, temporary, overwrite: true);
            File.Move(temporary, path);
        }
    }

    private static void RequireNames(string repository, string revision)
    {
        if (!HubCache.IsRepository(repository))
            throw new MdmException($"'{repository}' is no repository's name, expected one such as google/flan-t5-xl");
        if (!Revision().IsMatch(revision) || revision.Contains(".."))
            throw new MdmException($"the revision is '{revision}', expected a branch, a tag or a commit");
    }

    private static void Guard(string what, Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot write {what}: {e.Message}", e);
        }
    }

    [GeneratedRegex(@"^(?<stem>model|pytorch_model)-\d{5}-of-\d{5}(?<ending>\.safetensors|\.bin)$")]
    private static partial Regex Shard();

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")]
    private static partial Regex Revision();
}
