using Mdm.Kernels;

namespace Mdm.Model.Text.Hub;

/// <summary>
/// The folder in which Hugging Face's programs keep what they downloaded:
/// <c>models--OWNER--NAME/snapshots/COMMIT/FILE</c>, with <c>refs/REVISION</c> naming a commit.
/// </summary>
/// <param name="root">The folder <c>hub</c>.</param>
public sealed class HubCache(string root)
{
    /// <summary>The branch that is meant where no revision is named.</summary>
    public const string MainRevision = "main";

    /// <summary>The folder that the environment names: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub,
    /// XDG_CACHE_HOME/huggingface/hub, or ~/.cache/huggingface/hub.</summary>
    public static HubCache Default => new(FindRoot(Environment.GetEnvironmentVariable));

    public string Root { get; } = root;

    /// <summary>Whether a text can be a repository's name, OWNER/NAME or NAME.</summary>
    public static bool IsRepository(string name)
    {
        string[] parts = name.Split('/');
        return parts.Length <= 2 && parts.All(part => part.Length is > 0 and <= 96 && part[0] != '.' && part[0] != '-'
            && part.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.') && !part.Contains("--"));
    }

    /// <summary>Everything of a repository.</summary>
    public string FolderOf(string repository) => Path.Combine(Root, "models--" + repository.Replace("/", "--"));

    /// <summary>The folder of a repository's files at a commit.</summary>
    public string SnapshotOf(string repository, string commit) => Path.Combine(FolderOf(repository), "snapshots", commit);

    /// <summary>The file that names a revision's commit.</summary>
    public string ReferenceOf(string repository, string revision) => Path.Combine(FolderOf(repository), "refs", revision);

    /// <summary>The files of a repository that was downloaded before: those of the revision, else of any commit that has a
    /// config.json, the newest first; null if there are none.</summary>
    public string? Find(string repository, string revision = MainRevision)
    {
        string reference = ReferenceOf(repository, revision);
        if (File.Exists(reference))
        {
            string named = SnapshotOf(repository, File.ReadAllText(reference).Trim());
            if (Directory.Exists(named))
                return named;
        }

        string snapshots = Path.Combine(FolderOf(repository), "snapshots");
        if (!Directory.Exists(snapshots))
            return null;
        return Directory.EnumerateDirectories(snapshots).Where(folder => File.Exists(Path.Combine(folder, "config.json")))
            .MaxBy(Directory.GetLastWriteTimeUtc);
    }

    internal static string FindRoot(Func<string, string?> environment)
    {
        string? Given(string name) => environment(name) is { Length: > 0 } value ? value : null;
        string? home = Given("HF_HOME");
        string cache = Given("XDG_CACHE_HOME")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return Given("HF_HUB_CACHE") ?? Given("HUGGINGFACE_HUB_CACHE")
            ?? Path.Combine(home ?? Path.Combine(cache, "huggingface"), "hub");
    }
}
