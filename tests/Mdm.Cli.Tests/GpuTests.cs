using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Mdm.Kernels.Cuda;
using Mdm.Tests;

namespace Mdm.Cli.Tests;

/// <summary>What the program says about GPUs: on this machine, and on machines that the CUDA emulator plays.</summary>
public sealed class GpuTests
{
    private string _emulator = "";

    [Test]
    public void DoctorListsWhatThereIs()
    {
        string output = Cli.Run("doctor").Succeeded().Output;
        foreach (string what in (string[])
            ["CPU", "NVIDIA driver", "NVRTC", "kernel cache", "cuBLASLt", "cuDNN", "NCCL", "libturbojpeg", "--device auto"])
            Assert.That(output, Does.Contain(what));
    }

    [Test]
    public void DoctorTellsWhetherADeviceCanBeUsed()
    {
        Assert.That(Cli.Run("doctor", "--device", "cpu").Succeeded().Output, Does.Contain("cpu: CPU, "));
        Cli.Run("doctor", "--device", "cuda:99").Refused("cuda:99: ");
        Cli.Run("doctor", "--device", "toaster").Refused("'toaster' is not known, expected auto, cpu, cuda or cuda:N");
        Cli.Run("doctor", "everything").Refused("'everything'");
    }

    [Test]
    public void AMachineWithoutAGpuIsToldWhatIsMissing()
    {
        string? problem = CudaDevice.WhyNot(0);
        Assume.That(problem, Is.Not.Null, "this machine has a usable GPU");
        Cli.Run("gradcheck", "--device", "cuda", "multiply").Refused($"cuda:0: {problem}");
        Assert.That(problem, Does.Contain("--device cpu"));
    }

    [Test]
    public void DoctorShowsTheGpu()
    {
        string output = Emulated("MDM_EMULATOR_CAPABILITY=9.0 MDM_EMULATOR_MEMORY=4096", "doctor", "--device=cuda").Succeeded().Output;
        Assert.That(output, Does.Contain("GPU cuda:0").And.Contain("4 GB, compute capability 9.0").And.Contain("--device auto"));
    }

    [Test]
    public void ALibraryIsUsedWhereItStarts()
    {
        string libraries = $"MDM_LIBRARIES={Path.Combine(GoldenFiles.Root, "tests", "CudaEmulator", "bin", "libraries")}";
        Assert.That(Emulated(libraries, "doctor").Succeeded().Output, Does.Match("cuBLASLt +yes +12.4.5.*--kernels library or auto"));
        Assert.That(Emulated("MDM_LIBRARIES=none", "doctor").Succeeded().Output, Does.Match("cuBLASLt +no +not found"));

        const string reason = "does not start: cublasLtCreate failed with CUBLAS_STATUS_NOT_INITIALIZED";
        string broken = $"MDM_EMULATOR_CUBLASLT=broken {libraries}";
        Assert.That(Emulated(broken, "doctor").Succeeded().Output, Does.Match($"cuBLASLt +no .*{reason}"));
        CliResult check = Emulated(broken, "gradcheck", "--device=cuda", "--kernels=library", "7 to 5").Succeeded();
        Assert.That(check.Error, Does.Contain(reason).And.Contain("there is no cuBLASLt"));
    }

    [Test]
    public void AProfileComparesWithTheLibrary()
    {
        string json = Path.Combine(Tiny.Folder(), "library.json");
        Directory.CreateDirectory(Tiny.Folder());
        string libraries = $"MDM_LIBRARIES={Path.Combine(GoldenFiles.Root, "tests", "CudaEmulator", "bin", "libraries")}";
        CliResult result = Emulated(libraries,
            "profile", "--device=cuda", "--kernel=MatMul", "--shape=9x8x16 NT", "--json", json).Succeeded();
        Assert.That(result.Output, Does.Match("roofline +library").And.Match(@"MatMul 9x8x16 NT .* %  +\d+\.\d\d"));
        using JsonDocument table = JsonDocument.Parse(File.ReadAllText(json));
        Assert.That(table.RootElement.GetProperty("rows")[0].GetProperty("library_ratio").GetDouble(), Is.GreaterThan(0));
    }

    [TestCase("MDM_EMULATOR_DEVICES=0", "cuda", "finds no GPU", "CUDA_ERROR_NO_DEVICE")]
    [TestCase("MDM_EMULATOR_DEVICES=0 CUDA_VISIBLE_DEVICES=", "cuda", "CUDA_VISIBLE_DEVICES is '', which hides every GPU")]
    [TestCase("MDM_EMULATOR_DEVICES=2", "cuda:2", "there are 2 GPUs, cuda:0 to cuda:1")]
    [TestCase("MDM_EMULATOR_DEVICES=1", "cuda:1", "there is 1 GPU, cuda:0")]
    [TestCase("MDM_EMULATOR_CAPABILITY=7.5", "cuda", "compute capability 7.5, expected 8.0 or later")]
    [TestCase("MDM_CUDA_EMULATOR=/nosuch.so", "cuda", "'/nosuch.so' is not a shared library")]
    [TestCase("MDM_EMULATOR_DEVICES=1", "cuda --kernels=fast", "kernels 'fast' are not known, expected own, library or auto")]
    [TestCase("MDM_KERNELS=/nosuch", "cuda", "MDM_KERNELS: '/nosuch' is no folder")]
    public void AGpuThatCannotBeUsedIsRefusedWithTheReason(string machine, string device, params string[] words) =>
        Emulated(machine, ["gradcheck", .. $"--device={device}".Split(' '), "multiply"]).Refused(words);

    [Test]
    public void TooLittleMemoryIsTold()
    {
        Emulated("MDM_EMULATOR_MEMORY=1", "train", "--config-path", Tiny.Config, "--output-dir", Tiny.Folder(), "--device=cuda")
            .Refused("weights take", "cuda:0: asked for", "in use", "free on the GPU", "use a device with more memory");
    }

    [Test]
    public void AnErrorInAKernelIsToldWithFileAndLine()
    {
        string folder = Directory.CreateTempSubdirectory("mdm-broken-").FullName;
        try
        {
            foreach (string file in Directory.GetFiles(Path.Combine(GoldenFiles.Root, "kernels"), "*.cu"))
                File.WriteAllText(Path.Combine(folder, Path.GetFileName(file)), "\n\nint broken = missing;\n");
            CliResult result = Emulated($"MDM_KERNELS={folder} MDM_CACHE_DIR={folder}", "train", "--config-path", Tiny.Config,
                "--output-dir", Tiny.Folder(), "--device=cuda");
            Assert.That(result.Code, Is.EqualTo(1));
            Assert.That(result.Error, Does.Contain("finds errors for sm_80").And.Match(@"\w+\.cu:3").And.Contain("missing"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void KernelsAreCompiledOnceWhateverHappensToTheCache()
    {
        string folder = Directory.CreateTempSubdirectory("mdm-cache-").FullName;
        try
        {
            string cache = Path.Combine(folder, "kernels"), setting = $"MDM_CACHE_DIR={cache}";
            CliResult Check() => Emulated(setting, "gradcheck", "--device=cuda", "--quiet", "multiply").Succeeded();
            _ = Emulated(setting, "doctor"); // finds the emulator
            Parallel.Invoke(() => Check(), () => Check());
            string file = Directory.GetFiles(cache).Single();
            byte[] whole = File.ReadAllBytes(file);
            File.WriteAllBytes(file, whole[..(whole.Length / 2)]);
            Check();
            Assert.That(new FileInfo(Directory.GetFiles(cache).Single()).Length, Is.EqualTo(whole.Length), "mended");
            DateTime written = File.GetLastWriteTimeUtc(file);
            Check();
            Assert.That(File.GetLastWriteTimeUtc(file), Is.EqualTo(written), "read, not written again");

            Directory.Delete(cache, recursive: true);
            File.WriteAllText(cache, "a file where the folder should be");
            Check();
            Assert.That(Emulated(setting, "doctor").Succeeded().Output,
                Does.Match("kernel cache +no ").And.Match(@"cannot be written[\s\S]*MDM_CACHE_DIR"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [TestCase("MDM_SYNC=0", "cuEventSynchronize failed with CUDA_ERROR_ILLEGAL_ADDRESS", "MDM_SYNC=1 tells which")]
    [TestCase("MDM_SYNC=1", "running multiply of elementwise.cu (MDM_T=float) with grid 1x1x1, block 256x1x1, 0 bytes shared failed")]
    public void AFaultOfAKernelIsTold(string setting, params string[] words)
    {
        string folder = Directory.CreateTempSubdirectory("mdm-fault-").FullName;
        try
        {
            string kernels = Path.Combine(GoldenFiles.Root, "kernels");
            foreach (string file in Directory.GetFiles(kernels, "*.cu*", SearchOption.AllDirectories))
            {
                string copy = Path.Combine(folder, Path.GetRelativePath(kernels, file));
                Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
                const string right = "map(n, x, y, z, accumulate != 0, Product());";
                File.WriteAllText(copy, File.ReadAllText(file).Replace(right, $"{right}\n    z[n + 64] = z[0];"));
            }

            CliResult result = Emulated($"MDM_KERNELS={folder} {setting}", "gradcheck", "--device=cuda", "multiply");
            Assert.That(result.Code, Is.EqualTo(1));
            // The table breaks long lines.
            string text = Regex.Replace(result.Output, @"\s+", " ");
            Assert.Multiple(() =>
            {
                foreach (string word in words)
                    Assert.That(text, Does.Contain(word));
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void DoctorTellsThatTheCompilerIsNotWhereItWasSaidToBe()
    {
        Assert.That(Cli.Shell("exec env MDM_NVRTC=/nosuch \"$0\" \"$@\"", "doctor").Succeeded().Output,
            Does.Match(@"NVRTC +no +MDM_NVRTC is '/nosuch'[\s\S]*nvidia-cuda-nvrtc"));
    }

    [Test]
    public void AProfiledStepIsAlsoTimedAsItRuns()
    {
        string yaml = Path.Combine(GoldenFiles.Root, "bench", "pytorch", "rehearsal.yaml");
        CliResult result = Emulated("", "profile", "--device=cuda", "--step=sample", "--config-path", yaml, "--batch-size=1",
            "--tokens=4", "--steps=1", "--warm-up=0").Succeeded();
        Assert.That(result.Output, Does.Match(@"1 picture of 8x8: .* % of the roofline\nrecorded and replayed, as in earnest: "));
    }

    /// <summary>Runs a command as a process with settings of the emulator in its environment.</summary>
    private CliResult Emulated(string settings, params string[] args)
    {
        if (_emulator.Length == 0)
            _emulator = FindEmulator();
        return Cli.Shell($"exec env MDM_CUDA_EMULATOR={_emulator} {settings} \"$0\" \"$@\"", args);
    }

    private static string FindEmulator()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Ignore("the CUDA emulator runs on Linux only");
        try
        {
            string script = Path.Combine(GoldenFiles.Root, "tests", "CudaEmulator", "build.sh");
            using Process build = Process.Start(new ProcessStartInfo(script) { RedirectStandardOutput = true })!;
            string path = build.StandardOutput.ReadToEnd().Trim();
            build.WaitForExit();
            if (build.ExitCode == 0)
                return path;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            Assert.Ignore($"the CUDA emulator cannot be built: {e.Message}");
        }

        Assert.Ignore("the CUDA emulator cannot be built; it needs g++");
        return "";
    }
}
