using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Native;

/// <summary>Finds NVRTC: the toolkit's, a distribution's package, or a Python wheel's.</summary>
internal static class NvrtcSearch
{
    /// <summary>Names a file or a folder that is tried before all others.</summary>
    public const string Variable = "MDM_NVRTC";

    // CUDA 11 does not know Hopper's instructions, so it comes after whatever toolkits and wheels hold.
    private static readonly string[] s_newNames = OperatingSystem.IsWindows()
        ? ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"] : ["libnvrtc.so.13", "libnvrtc.so.12"];

    private static readonly string[] s_oldNames = OperatingSystem.IsWindows()
        ? ["nvrtc64_112_0.dll"] : ["libnvrtc.so.11.2", "libnvrtc.so"];

    private static readonly string s_pattern = OperatingSystem.IsWindows() ? "nvrtc64_*.dll" : "libnvrtc*.so*";

    /// <summary>Files and names to try, in order of preference. What <see cref="Variable"/> names is the only candidate
    /// then.</summary>
    public static IEnumerable<string> Candidates()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } given)
            return File.Exists(given) ? [Path.GetFullPath(given)] : FilesIn(given);
        return s_newNames.Concat(LibraryFolders("cuda_nvrtc").SelectMany(FilesIn)).Concat(s_oldNames);
    }

    /// <summary>The first candidate that can be loaded, ready to compile; null if there is none.</summary>
    public static LoadedLibrary? Load(IEnumerable<string> candidates)
    {
        if (LoadedLibrary.First(candidates) is not { } library)
            return null;
        // NVRTC asks for its companion by name alone: outside the loader's folders it is found if it is in the process already.
        if (Path.GetDirectoryName(library.Name) is { Length: > 0 } folder)
        {
            foreach (string companion in Directory.EnumerateFiles(folder, "*nvrtc-builtins*"))
                NativeLibrary.TryLoad(companion, out _);
        }

        return library;
    }

    /// <summary>Folders where a toolkit or Python wheels put NVIDIA's libraries.</summary>
    /// <param name="wheel">The library's folder in the package <c>nvidia</c>, e.g. <c>cudnn</c>.</param>
    public static IEnumerable<string> LibraryFolders(string wheel) => ToolkitFolders().Concat(WheelFolders(wheel));

    private static IEnumerable<string> ToolkitFolders()
    {
        if (Environment.GetEnvironmentVariable("CUDA_PATH") is { Length: > 0 } toolkit)
        {
            yield return Path.Combine(toolkit, "bin");
            yield return Path.Combine(toolkit, "bin", "x64");
            yield return Path.Combine(toolkit, "lib64");
        }

        // The newest toolkit first; /usr/local/cuda is the one that its owner chose.
        IEnumerable<string> installed = Directories("/usr/local", "cuda*");
        foreach (string folder in installed.OrderByDescending(f => f is "/usr/local/cuda").ThenByDescending(f => f))
            yield return Path.Combine(folder, "lib64");
    }

    /// <summary>The site-packages folders of the Pythons here: the active environment first, then those on the PATH.</summary>
    internal static IEnumerable<string> PythonFolders()
    {
        var prefixes = new List<string>();
        foreach (string variable in (string[])["VIRTUAL_ENV", "CONDA_PREFIX"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } prefix)
                prefixes.Add(prefix);
        }

        string python = OperatingSystem.IsWindows() ? "python.exe" : "python3";
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator))
        {
            // The Python on the PATH may be a link to that of an environment, which is a link to the system's.
            for (string? file = Path.Combine(folder, python); folder.Length > 0 && File.Exists(file); file = LinkTarget(file))
            {
                string bin = Path.GetDirectoryName(file)!;
                prefixes.Add(OperatingSystem.IsWindows() ? bin : Path.GetDirectoryName(bin) ?? bin);
            }
        }

        if (Environment.GetEnvironmentVariable("HOME") is { Length: > 0 } home)
            prefixes.Add(Path.Combine(home, ".local"));
        foreach (string prefix in prefixes.Distinct())
        {
            if (OperatingSystem.IsWindows())
            {
                yield return Path.Combine(prefix, "Lib", "site-packages");
                continue;
            }

            foreach (string lib in (string[])["lib", "lib64", "local/lib"])
            {
                foreach (string version in Directories(Path.Combine(prefix, lib), "python3*").OrderDescending())
                {
                    yield return Path.Combine(version, "site-packages");
                    yield return Path.Combine(version, "dist-packages");
                }
            }
        }
    }

    private static string? LinkTarget(string file)
    {
        try
        {
            return File.ResolveLinkTarget(file, returnFinalTarget: false)?.FullName;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static IEnumerable<string> WheelFolders(string wheel)
    {
        string lib = OperatingSystem.IsWindows() ? "bin" : "lib";
        foreach (string packages in PythonFolders())
        {
            yield return Path.Combine(packages, "nvidia", "cu13", lib);
            yield return Path.Combine(packages, "nvidia", "cu13", lib, "x86_64");
            yield return Path.Combine(packages, "nvidia", wheel, lib);
            yield return Path.Combine(packages, "torch", "lib");
        }
    }

    /// <summary>The compilers in a folder, the newest first; not their helper libraries, nor the variant built for other loaders.</summary>
    private static IEnumerable<string> FilesIn(string folder)
    {
        try
        {
            return [.. Directory.EnumerateFiles(folder, s_pattern)
                .Where(f => !f.Contains(".alt.") && !f.Contains("builtins")).OrderDescending()];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static IEnumerable<string> Directories(string folder, string pattern)
    {
        try
        {
            return Directory.GetDirectories(folder, pattern);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
