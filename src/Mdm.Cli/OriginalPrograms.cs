namespace Mdm.Cli;

/// <summary>The programs of the original implementation, for people who type their names.</summary>
internal static class OriginalPrograms
{
    private static readonly Dictionary<string, string> s_counterparts = new()
    {
        ["train_parallel"] = "that is 'mdm train' here",
        ["generate_batch"] = "that is 'mdm sample --test-file-list FILE' here",
        ["generate_sample"] = "that is 'mdm sample \"a prompt\"' here; there is no web page yet",
        ["run_torchmetrics"] = "this version has no counterpart of it",
        ["scrape_cc12m"] = "this version has no counterpart of it",
        ["download_tar_from_index"] = "this version has no counterpart of it",
    };

    /// <summary>What to say to one of those names, written as a word, a module or a file; null for any other word.</summary>
    public static string? CounterpartOf(string word)
    {
        string name = Path.GetFileName(word);
        if (name.EndsWith(".py", StringComparison.Ordinal))
            name = name[..^3];
        return s_counterparts.GetValueOrDefault(name[(name.LastIndexOf('.') + 1)..].Replace('-', '_'));
    }
}
