using System.Security.Cryptography;
using System.Text;
using Mdm.Kernels.Cuda.Ways;
using Mdm.Kernels.Libraries;

namespace Mdm.Kernels.Cuda;

/// <summary>Whose kernels compute, and what libraries need of a device.</summary>
public sealed unsafe partial class CudaDevice
{
    /// <summary>Which kernels compute products and convolutions.</summary>
    public KernelChoice KernelChoice { get; set; }

    /// <summary>Told, after each shape whose fastest kernel was measured, how many were measured so far.</summary>
    public Action<int>? Measured
    {
        get => kernels.Chooser.Measured;
        set => kernels.Chooser.Measured = value;
    }

    /// <summary>Calls that libraries have computed so far.</summary>
    public long LibraryCalls { get; internal set; }

    /// <summary>The file of the choices that <see cref="KernelChoice.Auto"/> goes by.</summary>
    public string ChoicesPath => kernels.Chooser.Path;

    /// <summary>Whether there is a library to compare with.</summary>
    public bool HasLibraries
    {
        get
        {
            MakeCurrent();
            return Libraries.Any;
        }
    }

    /// <summary>The libraries that <see cref="KernelChoice.Library"/> would use and that are not there, in words; null if all
    /// are.</summary>
    public string? MissingLibraries
    {
        get
        {
            MakeCurrent();
            return Libraries.Missing;
        }
    }

    /// <summary>cuBLASLt and the like, as far as they are there.</summary>
    internal GpuLibraries Libraries { get; } = new();

    /// <summary>Whether work of this thread is being captured.</summary>
    internal bool IsCapturing => capturing && streamGate.IsHeldByCurrentThread;

    /// <summary>Makes the context current and keeps other threads from the stream until disposed, for calls of libraries.</summary>
    internal Lock.Scope EnterStream(out nint handle)
    {
        MakeCurrent();
        handle = stream;
        return streamGate.EnterScope();
    }

    /// <summary>Notes that a library has queued work; with <c>MDM_SYNC=1</c> waits for it.</summary>
    /// <param name="call">The library's function, for messages.</param>
    internal void Queued(string call)
    {
        LibraryCalls++;
        if (synchronous)
            Check(driver.StreamSynchronize(stream), call);
    }

    /// <summary>The choices made before on such a machine: same GPU, driver, libraries and kernels.</summary>
    internal WayFile OpenChoices()
    {
        MakeCurrent();
        int version;
        driver.Check(driver.DriverGetVersion(&version), "cuDriverGetVersion");
        string title = $"{Properties.Name}, compute capability {CudaProbe.Dotted(Properties.Capability)}, "
            + $"driver {version / 1000}.{version % 1000 / 10}, {Libraries.Versions}, "
            + $"kernels {Hash(string.Join(' ', CudaKernels.Modules.Select(binaries.KeyOf)))}";
        return new WayFile(Path.Combine(cache.Folder, $"choices-{Hash(title)}.txt"), title);
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];
}
