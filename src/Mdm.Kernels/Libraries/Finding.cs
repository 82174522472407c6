using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Libraries;

/// <summary>A piece of the machine that the program looked for.</summary>
/// <param name="What">Its name.</param>
/// <param name="IsThere">Whether it was found and can be used.</param>
/// <param name="Text">What was found; or what its absence costs and what to install.</param>
public readonly record struct Finding(string What, bool IsThere, string Text)
{
    /// <summary>The NVIDIA side of this machine: driver, GPUs, compiler, the cache of kernels, optional libraries.</summary>
    public static IReadOnlyList<Finding> OfGpus()
    {
        var findings = new List<Finding>();
        AddDriver(findings);
        findings.Add(Compiler());
        findings.Add(Cache());
        findings.Add(Optional(OptionalLibrary.CublasLt(), CublasLtProblem));
        findings.Add(Optional(OptionalLibrary.Cudnn(), CudnnProblem));
        findings.Add(Optional(OptionalLibrary.Nccl(), _ => null));
        return findings;
    }

    private static Finding Optional(OptionalLibrary library, Func<OptionalLibrary, string?> problemOf)
    {
        if (library.Path == null)
            return new Finding(library.Name, false, $"not found (optional): {library.Missing}");
        return problemOf(library) is { } problem
            ? new Finding(library.Name, false, problem)
            : new Finding(library.Name, true, $"{library.Version?.ToString() ?? "unknown version"}, {library.Path}{library.Use}");
    }

    // Without a GPU it does not start, which is no fault of its own.
    private static string? CublasLtProblem(OptionalLibrary found)
    {
        if (CudaProbe.DriverProblem(out _) != null)
            return null;
        using CublasLt? library = CublasLt.Open(found, out string? problem);
        return problem;
    }

    private static string? CudnnProblem(OptionalLibrary found)
    {
        if (CudaProbe.DriverProblem(out _) != null)
            return null;
        using Cudnn? library = Cudnn.Open(found, out string? problem);
        return problem;
    }

    private static unsafe void AddDriver(List<Finding> findings)
    {
        string? problem = CudaProbe.DriverProblem(out int count);
        if (problem != null)
        {
            findings.Add(new Finding("NVIDIA driver", false, problem));
            return;
        }

        CudaDriver driver = CudaLibraries.Driver!;
        int version;
        driver.Check(driver.DriverGetVersion(&version), "cuDriverGetVersion");
        findings.Add(new Finding("NVIDIA driver", true, $"CUDA {version / 1000}.{version % 1000 / 10}, {driver.Library.Name}"));
        for (int i = 0; i < count; i++)
            findings.Add(Gpu(driver, i, count));
    }

    private static unsafe Finding Gpu(CudaDriver driver, int index, int count)
    {
        string what = $"GPU cuda:{index}";
        if (CudaProbe.DeviceProblem(index, count) is { } problem)
            return new Finding(what, false, problem);
        int device;
        driver.Check(driver.DeviceGet(&device, index), "cuDeviceGet");
        CudaProperties gpu = CudaProperties.Of(driver, device);
        return new Finding(what, true, $"{gpu.Name}, {gpu.TotalMemory / 1073741824.0:0.#} GB, "
            + $"compute capability {CudaProbe.Dotted(gpu.Capability)}, {gpu.Multiprocessors} multiprocessors");
    }

    private static Finding Compiler()
    {
        if (CudaProbe.CompilerProblem() is { } problem)
            return new Finding("NVRTC", false, problem);
        Nvrtc nvrtc = CudaLibraries.Nvrtc!;
        string newest = nvrtc.Architectures.Count > 0
            ? $", compiles for compute capability {CudaProbe.Dotted(nvrtc.Architectures[0])} to "
                + CudaProbe.Dotted(nvrtc.Architectures[^1])
            : "";
        string old = nvrtc.Version.Major < 12
            ? "; too old for the matrix instructions of Hopper GPUs (H100), which are slower without: "
                + "pip install nvidia-cuda-nvrtc-cu12"
            : "";
        return new Finding("NVRTC", true, $"{nvrtc.Version}, {nvrtc.Library.Name}{newest}{old}");
    }

    private static Finding Cache()
    {
        CubinCache cache = CubinCache.Default();
        (int files, long bytes) = cache.Size();
        string found = $"{cache.Folder}, {files} files, {bytes / 1048576.0:0.#} MB";
        return cache.IsWritable()
            ? new Finding("kernel cache", true, found)
            : new Finding("kernel cache", false, $"{found}; it cannot be written, so kernels are compiled at each start: point "
                + $"{CubinCache.Variable} at a folder of yours");
    }
}
