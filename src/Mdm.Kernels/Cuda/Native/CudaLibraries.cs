using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Native;

/// <summary>Finds the driver and the compiler, once per process.</summary>
internal static class CudaLibraries
{
    /// <summary>Names a library that stands in for both the driver and NVRTC.</summary>
    public const string EmulatorVariable = "MDM_CUDA_EMULATOR";

    /// <summary>What the driver's library is called here.</summary>
    public static string[] DriverNames { get; } =
        OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"];

    private static readonly Lazy<CudaDriver?> s_driver = new(() =>
        LoadEmulator() is { } emulator ? new CudaDriver(emulator)
        : LoadedLibrary.First(DriverNames) is { } library ? new CudaDriver(library)
        : null);

    private static readonly Lazy<Nvrtc?> s_nvrtc = new(() =>
        LoadEmulator() is { } emulator ? new Nvrtc(emulator)
        : NvrtcSearch.Load(NvrtcSearch.Candidates()) is { } library ? new Nvrtc(library)
        : null);

    /// <summary>Whether an emulator takes the place of the driver.</summary>
    public static bool Emulated => EmulatorPath is { Length: > 0 };

    /// <summary>Null if no driver is installed.</summary>
    public static CudaDriver? Driver => s_driver.Value;

    /// <summary>Null if no NVRTC was found.</summary>
    public static Nvrtc? Nvrtc => s_nvrtc.Value;

    private static string? EmulatorPath => Environment.GetEnvironmentVariable(EmulatorVariable);

    private static LoadedLibrary? LoadEmulator()
    {
        if (EmulatorPath is not { Length: > 0 } path)
            return null;
        string full = Path.GetFullPath(path);
        try
        {
            return new LoadedLibrary(NativeLibrary.Load(full), full);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            throw new MdmException($"{EmulatorVariable}: '{path}' is not a shared library that can be loaded", e);
        }
    }
}
