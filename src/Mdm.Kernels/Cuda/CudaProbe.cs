using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>Says whether a GPU can be used, and if not, what is missing, what that costs and what to install.</summary>
internal static unsafe class CudaProbe
{
    /// <summary>The oldest GPU that the kernels run on, as 10·major + minor.</summary>
    public const int MinimumCapability = 80;

    private const string Instead = "or compute on the CPU with --device cpu";

    /// <summary>What keeps GPU number <paramref name="index"/> from being used; null if nothing does. Then the driver is
    /// initialised.</summary>
    public static string? Problem(int index) => DriverProblem(out int count) ?? DeviceProblem(index, count) ?? CompilerProblem();

    /// <summary>What is wrong with the driver or all GPUs; null if there is at least one.</summary>
    /// <param name="count">How many GPUs there are.</param>
    public static string? DriverProblem(out int count)
    {
        count = 0;
        if (CudaLibraries.Driver is not { } driver)
        {
            return $"no NVIDIA driver was found ({CudaLibraries.DriverNames[0]}), so no GPU can be used; install NVIDIA's driver "
                + $"(Debian: nvidia-driver), {Instead}";
        }

        int code = driver.Init(0);
        int n = 0;
        if (code == CudaCode.Success)
            driver.Check(driver.DeviceGetCount(&n), "cuDeviceGetCount");
        count = n;
        if (n > 0)
            return null;
        if (code is not (CudaCode.Success or CudaCode.NoDevice))
        {
            return $"the NVIDIA driver does not start: cuInit failed with {driver.Words(code)}; "
                + $"reinstall the driver or restart the machine, {Instead}";
        }

        return Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { } visible
            ? $"CUDA_VISIBLE_DEVICES is '{visible}', which hides every GPU; unset it or name the GPUs to use, {Instead}"
            : $"an NVIDIA driver is installed, but it finds no GPU ({driver.Words(CudaCode.NoDevice)}); check that the GPU is there "
                + $"and visible here (nvidia-smi; a container needs --gpus all), {Instead}";
    }

    /// <summary>What is wrong with one GPU, when the driver is in order.</summary>
    public static string? DeviceProblem(int index, int count)
    {
        CudaDriver driver = CudaLibraries.Driver!;
        if (index >= count)
        {
            return $"there {(count == 1 ? "is 1 GPU, cuda:0" : $"are {count} GPUs, cuda:0 to cuda:{count - 1}")}"
                + (Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { } visible
                    ? $" (CUDA_VISIBLE_DEVICES is '{visible}')" : "");
        }

        int device;
        driver.Check(driver.DeviceGet(&device, index), "cuDeviceGet");
        CudaProperties properties = CudaProperties.Of(driver, device);
        return properties.Capability >= MinimumCapability
            ? null
            : $"{properties.Name} has compute capability {Dotted(properties.Capability)}, expected {Dotted(MinimumCapability)} "
                + $"or later (A100, RTX 30 and newer); use another GPU, {Instead}";
    }

    /// <summary>What is wrong with the compiler.</summary>
    public static string? CompilerProblem() => CudaLibraries.Nvrtc != null
        ? null
        : Environment.GetEnvironmentVariable(NvrtcSearch.Variable) is { Length: > 0 } given
            ? $"{NvrtcSearch.Variable} is '{given}', where NVRTC, the compiler for the kernels, cannot be loaded; {NvrtcAdvice}"
            : $"NVRTC, the compiler for the kernels, was not found, so the GPU cannot be used; {NvrtcAdvice}, {Instead}";

    /// <summary>Where NVRTC comes from.</summary>
    public const string NvrtcAdvice = "install the CUDA toolkit, Debian's libnvrtc11.2 (non-free) or "
        + "'pip install nvidia-cuda-nvrtc-cu12', or point " + NvrtcSearch.Variable + " at the library";

    /// <summary>8.0 for 80.</summary>
    public static string Dotted(int capability) => $"{capability / 10}.{capability % 10}";
}
