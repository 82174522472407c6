using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>A GPU: one stream of work in the device's primary context, and a pool of its memory. Several threads may use
/// it.</summary>
public sealed unsafe partial class CudaDevice : IDevice, IDeviceHeap
{
    private const uint NonBlockingStream = 1;

    [ThreadStatic]
    private static CudaDevice? t_current;

    private readonly CudaDriver driver;
    private readonly Lock streamGate = new();
    private readonly int device;
    private readonly nint context;
    private readonly nint stream;
    private readonly MemoryPool pool;
    private readonly KernelLoader loader;
    private readonly KernelBinaries binaries;
    private readonly CubinCache cache;
    private readonly CudaKernels kernels;
    private readonly StagingRing uploads;
    private readonly Downloads downloads;
    private readonly bool synchronous = IsSet("MDM_SYNC");
    private bool disposed;

    private CudaDevice(int index)
    {
        driver = CudaLibraries.Driver!;
        Nvrtc nvrtc = CudaLibraries.Nvrtc!;
        Name = $"cuda:{index}";
        int handle;
        driver.Check(driver.DeviceGet(&handle, index), "cuDeviceGet");
        device = handle;
        CudaProperties properties = CudaProperties.Of(driver, device);
        Properties = properties with
        {
            HopperInstructions = KernelCompiler.HasHopperInstructions(nvrtc, properties.Capability),
        };
        var compiler = new KernelCompiler(nvrtc, KernelSources.Default(), properties.Capability, Properties.HopperInstructions);
        Description = $"{properties.Name} ({Name}), {properties.TotalMemory / (1 << 30)} GB, {compiler.Architecture}, "
            + $"NVRTC {nvrtc.Version}";
        nint retained;
        int code = driver.PrimaryContextRetain(&retained, device);
        if (code == CudaCode.OutOfMemory)
            throw new MdmException($"{Name}: its memory is full (other programs use it); end them or use another GPU");
        driver.Check(code, "cuDevicePrimaryCtxRetain");
        context = retained;
        MakeCurrent();
        nint created;
        driver.Check(driver.StreamCreate(&created, NonBlockingStream), "cuStreamCreate");
        stream = created;
        // The emulator, like compute-sanitizer, guards the bounds of every allocation and looks for leaks, which a pool would hide.
        pool = new MemoryPool(this, direct: CudaLibraries.Emulated || Environment.GetEnvironmentVariable("MDM_POOL") is "0");
        cache = CubinCache.Default();
        binaries = new KernelBinaries(compiler, cache);
        loader = new KernelLoader(driver, module => binaries[module]);
        uploads = new StagingRing(driver, stream, Check);
        downloads = new Downloads(driver, stream, streamGate, Check);
        kernels = new CudaKernels(this);
    }

    /// <summary>Why GPU number <paramref name="index"/> cannot be used, in one sentence; null if it can.</summary>
    public static string? WhyNot(int index) => CudaProbe.Problem(index);

    /// <summary>Opens a GPU.</summary>
    /// <exception cref="MdmException">It is not there or cannot be used; the message says what to do.</exception>
    public static CudaDevice Open(int index) => WhyNot(index) is { } problem
        ? throw new MdmException($"cuda:{index}: {problem}")
        : new CudaDevice(index);

    public string Name { get; }

    public string Description { get; }

    public IKernels Kernels => kernels;

    /// <summary>Whether float32 products may use TF32 (10 bits of mantissa). Also <c>MDM_TF32=1</c>.</summary>
    public bool AllowTf32 { get; set; } = IsSet("MDM_TF32");

    public MemoryStatistics Memory => pool.Statistics;

    /// <summary>How many files of kernels still have to be compiled for this GPU; each is compiled when it is first needed, or
    /// by <see cref="CompileKernels"/>. The emulator compiles only what is needed.</summary>
    public int KernelsToCompile => CudaLibraries.Emulated ? 0 : binaries.Missing(CudaKernels.Modules).Length;

    /// <summary>What launches depend on.</summary>
    internal CudaProperties Properties { get; }

    /// <summary>The functions of the driver, for what only some kernels need (tensor maps).</summary>
    internal CudaDriver Driver => driver;

    public bool Supports(DType type) => type is DType.Float32 or DType.BFloat16;

    public nint Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        MakeCurrent();
        lock (streamGate)
        {
            nint address = pool.Allocate(bytes);
            return address != 0 ? address : throw OutOfMemory(bytes);
        }
    }

    public void Free(nint address, long bytes)
    {
        MakeCurrent();
        lock (streamGate)
            pool.Free(address, bytes);
    }

    public void ResetPeak() => pool.ResetPeak();

    public void Trim()
    {
        MakeCurrent();
        lock (streamGate)
            pool.Trim();
    }

    /// <summary>Compiles what is still to be compiled, on all cores.</summary>
    /// <param name="progress">Told how many files are done, of how many, and the name of the last.</param>
    /// <exception cref="MdmException">A source has errors.</exception>
    public void CompileKernels(Action<int, int, string>? progress) =>
        binaries.Compile(binaries.Missing(CudaKernels.Modules), progress);

    /// <summary>Waits for the work, then gives everything back to the driver.</summary>
    public void Dispose()
    {
        if (disposed)
            return;
        disposed = true;
        MakeCurrent();
        _ = driver.StreamSynchronize(stream);
        Libraries.Dispose();
        uploads.Dispose();
        downloads.Dispose();
        FreeMarks();
        pool.Clear();
        loader.Dispose();
        _ = driver.StreamDestroy(stream);
        t_current = null;
        _ = driver.PrimaryContextRelease(device);
    }

    /// <summary>Memory for one call: disposing it right after the last launch that uses it is right, because calls on the
    /// stream are ordered.</summary>
    internal Scratch Borrow(long bytes) => new(this, bytes);

    bool IDeviceHeap.TryReserve(long bytes, out nint address)
    {
        nint allocated = 0;
        int code = driver.MemAlloc(&allocated, (nuint)bytes);
        if (code is not (CudaCode.Success or CudaCode.OutOfMemory))
            Check(code, $"cuMemAlloc of {bytes} bytes");
        address = code == CudaCode.Success ? allocated : 0;
        return code == CudaCode.Success;
    }

    void IDeviceHeap.Release(nint address)
    {
        // A kernel's fault stays with the context, and whoever asks for a result is told. Memory is freed while that is under way.
        if (driver.StreamSynchronize(stream) == CudaCode.Success)
            driver.Check(driver.MemFree(address), "cuMemFree");
    }

    private void MakeCurrent()
    {
        if (t_current == this)
            return;
        driver.Check(driver.ContextSetCurrent(context), "cuCtxSetCurrent");
        t_current = this;
    }

    private OutOfDeviceMemoryException OutOfMemory(long bytes)
    {
        nuint free, total;
        driver.Check(driver.MemGetInfo(&free, &total), "cuMemGetInfo");
        MemoryStatistics memory = Memory;
        return new OutOfDeviceMemoryException(
            $"{Name}: asked for {Megabytes(bytes)} with {Megabytes(memory.InUse)} in use, {Megabytes(memory.Reserved)} held and "
            + $"{Megabytes((long)free)} of {Megabytes((long)total)} free on the GPU",
            "lower the batch size or the image size, turn on gradient checkpointing or end other programs on the GPU");
    }

    private static string Megabytes(long bytes) => $"{bytes / 1048576.0:0.#} MB";

    private static bool IsSet(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value && value != "0";
}

/// <summary>Device memory that goes back to the pool at the end of a using block. The default one is none.</summary>
internal readonly struct Scratch : IDisposable
{
    private readonly CudaDevice? _device;
    private readonly long _bytes;
    private readonly nint _address;

    public Scratch(CudaDevice device, long bytes) => (_device, _bytes, _address) = (device, bytes, device.Allocate(bytes));

    public Ptr As(DType type) => new(_address, type);

    public void Dispose() => _device?.Free(_address, _bytes);
}
