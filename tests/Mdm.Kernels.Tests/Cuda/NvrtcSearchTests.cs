using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Tests.Cuda;

/// <summary>Where NVRTC is looked for.</summary>
[NonParallelizable] // the environment is the whole process's
public sealed class NvrtcSearchTests
{
    private static readonly string[] s_variables = ["PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_PATH", NvrtcSearch.Variable];
    private readonly Dictionary<string, string?> _before = [];
    private string _folder = "";

    [SetUp]
    public void EmptyEnvironment()
    {
        Assume.That(OperatingSystem.IsLinux());
        _folder = Directory.CreateTempSubdirectory("mdm-nvrtc-").FullName;
        foreach (string variable in s_variables)
        {
            _before[variable] = Environment.GetEnvironmentVariable(variable);
            Environment.SetEnvironmentVariable(variable, null);
        }
    }

    [TearDown]
    public void Restore()
    {
        foreach ((string variable, string? value) in _before)
            Environment.SetEnvironmentVariable(variable, value);
        if (_folder.Length > 0)
            Directory.Delete(_folder, recursive: true);
    }

    [TestCase("VIRTUAL_ENV", "env", "env/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12")]
    [TestCase("CONDA_PREFIX", "env", "env/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13")]
    [TestCase("PATH", "env/bin", "env/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13")]
    [TestCase("PATH", "links", "env/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13")]
    [TestCase("CUDA_PATH", "toolkit", "toolkit/lib64/libnvrtc.so.12")]
    [TestCase(NvrtcSearch.Variable, "anywhere", "anywhere/libnvrtc.so.12")]
    [TestCase(NvrtcSearch.Variable, "anywhere/mine.so", "anywhere/mine.so")]
    public void IsFoundThrough(string variable, string value, string file)
    {
        string python = Make("env/bin/python3"), expected = Make(file);
        Directory.CreateDirectory(Path.Combine(_folder, "links"));
        File.CreateSymbolicLink(Path.Combine(_folder, "links", "python3"), python);
        Environment.SetEnvironmentVariable(variable, Path.Combine(_folder, value));
        string[] candidates = [.. NvrtcSearch.Candidates()];
        Assert.That(candidates, Does.Contain(expected));
        // What lies in the loader's folders and is too old for Hopper comes last.
        string[] old = [.. candidates.SkipWhile(candidate => candidate != expected)];
        Assert.That(candidates.Contains("libnvrtc.so.11.2"), Is.EqualTo(old.Contains("libnvrtc.so.11.2")));
    }

    [Test]
    public void NothingThatCanBeLoadedIsNull() => Assert.That(NvrtcSearch.Load([Make("libnvrtc.so.12")]), Is.Null);

    private string Make(string file)
    {
        string path = Path.Combine(_folder, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, "");
        return path;
    }
}
