namespace Mdm.Kernels.Counting;

/// <summary>
/// A device that computes nothing and holds nothing: addresses are made up, downloads give zeros, and what kernels would do is
/// added up. Running a network on it tells its floating-point operations, memory traffic and peak memory before a byte is
/// allocated.
/// </summary>
public sealed class CountingDevice : IDevice
{
    private const long Alignment = 64;

    private readonly Lock gate = new();
    private readonly Dictionary<nint, long> live = [];
    private nint next = (nint)Alignment;
    private long inUse;
    private long peak;

    public CountingDevice() => Counter = new CountingKernels();

    public string Name => "counting";

    public string Description => "counts work and memory, computes nothing";

    public IKernels Kernels => Counter;

    public bool Supports(DType type) => type is DType.Float32 or DType.BFloat16;

    /// <summary>What was asked of the kernels so far.</summary>
    public CountingKernels Counter { get; }

    /// <summary>Exact for tensors; a real pool may hold a little more, since it rounds sizes up.</summary>
    public MemoryStatistics Memory
    {
        get
        {
            lock (gate)
                return new MemoryStatistics(inUse, peak, peak);
        }
    }

    public nint Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        lock (gate)
        {
            nint address = next;
            next += (nint)(Math.Max(1, (bytes + Alignment - 1) / Alignment) * Alignment);
            live.Add(address, bytes);
            inUse += bytes;
            peak = Math.Max(peak, inUse);
            return address;
        }
    }

    /// <exception cref="InvalidOperationException">Nothing of that size was allocated there, or it was freed before.</exception>
    public void Free(nint address, long bytes)
    {
        lock (gate)
        {
            if (!live.Remove(address, out long size) || size != bytes)
                throw new InvalidOperationException($"freeing {bytes} bytes at {address}, where {size} bytes are allocated");
            inUse -= bytes;
        }
    }

    public void Upload(ReadOnlySpan<byte> source, nint destination)
    {
    }

    public void Download(nint source, Span<byte> destination) => destination.Clear();

    public void Synchronize()
    {
    }

    public void Trim()
    {
    }

    public void ResetPeak()
    {
        lock (gate)
            peak = inUse;
    }

    public void Dispose()
    {
    }
}
