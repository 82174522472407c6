using System.Diagnostics;
using Mdm.Kernels.Cuda.Native;
using Mdm.Kernels.Libraries;
using Mdm.Tests;

// Above all namespaces of this assembly: the golden tests need the emulator too.
namespace Mdm;

/// <summary>Builds the emulator where its sources are newer, and makes it this process's CUDA. Without g++ everything here is
/// skipped. With MDM_TEST_DEVICE set (scripts/gpu.sh) the tests run on the machine's own GPU instead, save those of the emulator
/// itself.</summary>
[SetUpFixture]
public sealed class EmulatorSetUp
{
    private const string DeviceVariable = "MDM_TEST_DEVICE";

    /// <summary>Whether the tests run on a GPU rather than on the emulator.</summary>
    public static bool OnGpu => Environment.GetEnvironmentVariable(DeviceVariable) is { Length: > 0 };

    [OneTimeSetUp]
    public void BuildAndChoose()
    {
        if (OnGpu)
            return;
        if (!OperatingSystem.IsLinux())
            Assert.Ignore("the CUDA emulator runs on Linux only");
        if (!HasCompiler())
            Assert.Ignore("the CUDA emulator needs g++, which is not installed");
        string folder = Path.Combine(GoldenFiles.Root, "tests", "CudaEmulator");
        string library = Path.Combine(folder, "bin", "libmdm_cuda_emulator.so");
        IEnumerable<string> sources = [.. Directory.GetFiles(folder), .. Directory.GetFiles(Path.Combine(folder, "libraries"))];
        DateTime newest = sources.Max(File.GetLastWriteTimeUtc);
        if (!File.Exists(library) || File.GetLastWriteTimeUtc(library) < newest)
        {
            (int code, string output) = Run(Path.Combine(folder, "build.sh"));
            Assert.That(code, Is.Zero, output);
            Assert.That(output, Does.Not.Contain("warning"));
        }

        Environment.SetEnvironmentVariable(CudaLibraries.EmulatorVariable, library);
        Environment.SetEnvironmentVariable(OptionalLibrary.Variable, Path.Combine(folder, "bin", "libraries"));
    }

    private static bool HasCompiler()
    {
        string compiler = Environment.GetEnvironmentVariable("CXX") is { Length: > 0 } named ? named : "g++";
        try
        {
            return Run(compiler, "--version").Code == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    private static (int Code, string Output) Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }
}
