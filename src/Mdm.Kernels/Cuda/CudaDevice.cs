namespace Mdm.Kernels.Cuda;

/// <summary>A GPU.</summary>
public sealed class CudaDevice : IDevice
{
    public string Name => throw new NotImplementedException();

    public string Description => throw new NotImplementedException();

    public IKernels Kernels => throw new NotImplementedException();

    public bool Supports(DType type) => type is DType.Float32 or DType.BFloat16;

    public MemoryStatistics Memory => throw new NotImplementedException();

    /// <summary>What launches depend on.</summary>
    internal CudaProperties Properties => throw new NotImplementedException();

    /// <summary>Whether float32 products may use TF32.</summary>
    internal bool AllowTf32 => throw new NotImplementedException();

    public nint Allocate(long bytes) => throw new NotImplementedException();

    public void Free(nint address, long bytes) => throw new NotImplementedException();

    public void Upload(ReadOnlySpan<byte> source, nint destination) => throw new NotImplementedException();

    public void Download(nint source, Span<byte> destination) => throw new NotImplementedException();

    public void Synchronize() => throw new NotImplementedException();

    public void ResetPeak() => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();

    /// <summary>Memory for one call: disposing it right after the last launch that uses it is right, because calls on the
    /// stream are ordered.</summary>
    internal Scratch Borrow(long bytes) => new(this, bytes);

    /// <summary>Queues a kernel.</summary>
    /// <param name="kernel">Which; compiled or taken from the cache at its first use.</param>
    /// <param name="grid">Blocks.</param>
    /// <param name="block">Threads of a block.</param>
    /// <param name="sharedBytes">Dynamic shared memory; above 48 KB it is asked for by itself.</param>
    /// <param name="arguments">In the order of the kernel's parameters.</param>
    internal void Launch(in KernelId kernel, Dim3 grid, Dim3 block, int sharedBytes, params ReadOnlySpan<Arg> arguments) =>
        throw new NotImplementedException();
}

/// <summary>What launches depend on.</summary>
/// <param name="Name">E.g. <c>NVIDIA H100 80GB HBM3</c>.</param>
/// <param name="Capability">10·major + minor.</param>
/// <param name="Multiprocessors">Blocks run on so many.</param>
/// <param name="SharedPerBlock">Largest dynamic shared memory of a block, bytes.</param>
/// <param name="SharedPerMultiprocessor">Bytes.</param>
/// <param name="TotalMemory">Bytes.</param>
/// <param name="L2Bytes">Second-level cache.</param>
internal sealed record CudaProperties(string Name, int Capability, int Multiprocessors, int SharedPerBlock,
    int SharedPerMultiprocessor, long TotalMemory, int L2Bytes);

/// <summary>Device memory that goes back to the pool at the end of a using block.</summary>
internal readonly struct Scratch : IDisposable
{
    private readonly CudaDevice _device;
    private readonly long _bytes;
    private readonly nint _address;

    public Scratch(CudaDevice device, long bytes) => (_device, _bytes, _address) = (device, bytes, device.Allocate(bytes));

    public Ptr As(DType type) => new(_address, type);

    public void Dispose() => _device.Free(_address, _bytes);
}
