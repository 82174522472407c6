namespace Mdm.Tests;

/// <summary>Finds recorded numbers: in tests/golden, else in the shared folder beside the checkout.</summary>
internal static class GoldenFiles
{
    /// <summary>The path of a golden file, or null.</summary>
    public static string? Find(string name)
    {
        foreach (string folder in Folders())
            if (File.Exists(Path.Combine(folder, name)))
                return Path.Combine(folder, name);
        return null;
    }

    /// <summary>The path of a golden file; the test is skipped by name where it is not at hand.</summary>
    public static string Require(string name)
    {
        string? path = Find(name);
        if (path == null)
            Assert.Ignore($"{name} is neither in tests/golden nor in ../shared/golden");
        return path!;
    }

    /// <summary>The root of the checkout.</summary>
    public static string Root { get; } = FindRoot();

    private static IEnumerable<string> Folders()
    {
        yield return Path.Combine(Root, "tests", "golden");
        if (Environment.GetEnvironmentVariable("MDM_GOLDEN") is { Length: > 0 } folder)
            yield return folder;
        yield return Path.Combine(Root, "..", "shared", "golden");
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d != null; d = d.Parent)
            if (File.Exists(Path.Combine(d.FullName, "MdmNative.sln")))
                return d.FullName;
        return AppContext.BaseDirectory;
    }
}
