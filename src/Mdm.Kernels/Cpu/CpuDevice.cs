using System.Numerics;
using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cpu;

/// <summary>The processor and its memory. Freed blocks are kept, by size, for the next tensor of about that size.</summary>
public sealed unsafe class CpuDevice : IDevice
{
    private const int Alignment = 64;

    /// <summary>Blocks from here on are compared with what the system has left, which takes a while to find out.</summary>
    private const long LargeBlock = 256 << 20;

    private readonly Lock gate = new();
    private readonly long limit;
    private readonly Func<long> left;
    private readonly Stack<nint>?[] free = new Stack<nint>?[256];
    private long inUse;
    private long peak;
    private long reserved;

    /// <summary>A device that holds at most <paramref name="limit"/> bytes (0: the memory this process may use).</summary>
    public CpuDevice(long limit = 0)
        : this(limit, CpuMemory.Left)
    {
    }

    /// <summary>For tests: another account of the bytes that the system has left.</summary>
    internal CpuDevice(long limit, Func<long> left)
    {
        this.left = left;
        _ = CpuFeatures.Level; // a bad MDM_CPU is better said now than inside the first kernel
        this.limit = limit > 0 ? limit : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
    }

    public string Name => "cpu";

    public string Description => $"CPU, {CpuThreads.Count} threads, {CpuFeatures.Level}";

    public IKernels Kernels { get; } = new CpuKernels();

    public bool Supports(DType type) => type == DType.Float32;

    public MemoryStatistics Memory
    {
        get
        {
            lock (gate)
                return new MemoryStatistics(inUse, peak, reserved);
        }
    }

    public nint Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        int sizeClass = SizeClass(bytes, out long size);
        lock (gate)
        {
            nint address = free[sizeClass] is { Count: > 0 } stack ? stack.Pop() : Reserve(bytes, size);
            inUse += bytes;
            peak = Math.Max(peak, inUse);
            return address;
        }
    }

    public void Free(nint address, long bytes)
    {
        int sizeClass = SizeClass(bytes, out _);
        lock (gate)
        {
            (free[sizeClass] ??= new Stack<nint>()).Push(address);
            inUse -= bytes;
        }
    }

    public void Upload(ReadOnlySpan<byte> source, nint destination) =>
        source.CopyTo(new Span<byte>((void*)destination, source.Length));

    public void Download(nint source, Span<byte> destination) =>
        new ReadOnlySpan<byte>((void*)source, destination.Length).CopyTo(destination);

    public void Synchronize()
    {
    }

    public void ResetPeak()
    {
        lock (gate)
            peak = inUse;
    }

    public void Trim()
    {
        lock (gate)
        {
            for (int c = 0; c < free.Length; c++)
            {
                while (free[c] is { Count: > 0 } stack)
                {
                    NativeMemory.AlignedFree((void*)stack.Pop());
                    reserved -= ClassSize(c);
                }
            }
        }
    }

    /// <summary>Returns the unused blocks. Tensors that still live keep theirs.</summary>
    public void Dispose() => Trim();

    private nint Reserve(long bytes, long size)
    {
        if (size > limit - reserved)
            Trim();
        if (size > limit - reserved)
            throw OutOfMemory(bytes, limit);
        // The system gives out more than it has, and ends the program later, without a word.
        if (bytes >= LargeBlock && left() is var most && bytes > most)
            throw OutOfMemory(bytes, inUse + most);
        void* block;
        try
        {
            block = NativeMemory.AlignedAlloc((nuint)size, size >= CpuPages.Huge ? (nuint)CpuPages.Huge : Alignment);
        }
        catch (OutOfMemoryException)
        {
            throw OutOfMemory(bytes, limit);
        }

        CpuPages.AskForHuge(block, size);
        reserved += size;
        return (nint)block;
    }

    private OutOfDeviceMemoryException OutOfMemory(long bytes, long most) => new(
        $"cpu: asked for {Megabytes(bytes)} with {Megabytes(inUse)} in use of {Megabytes(most)}",
        "lower the batch size or the image size, or turn on gradient checkpointing");

    private static string Megabytes(long bytes) => $"{bytes / 1048576.0:0.#} MB";

    /// <summary>Sizes are 64 bytes times 4, 5, 6 or 7 times a power of two (and 64, 128, 192): at most a quarter is
    /// wasted.</summary>
    private static int SizeClass(long bytes, out long size)
    {
        long lines = Math.Max(1, (bytes + Alignment - 1) / Alignment);
        int c;
        if (lines < 4)
        {
            c = (int)lines - 1;
        }
        else
        {
            int shift = BitOperations.Log2((ulong)lines) - 2;
            long quarters = (lines + (1L << shift) - 1) >> shift;
            c = 3 + 4 * shift + (int)(quarters - 4);
        }

        size = ClassSize(c);
        return c;
    }

    private static long ClassSize(int c) => Alignment * (c < 3 ? c + 1 : (long)(4 + (c - 3) % 4) << ((c - 3) / 4));
}
