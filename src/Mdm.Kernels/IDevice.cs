using System.Diagnostics;

namespace Mdm.Kernels;

/// <summary>A place that holds tensors and computes with them.</summary>
public interface IDevice : IDisposable
{
    /// <summary>As the user writes it: <c>cpu</c>, <c>cuda:0</c>.</summary>
    string Name { get; }

    /// <summary>For people: processor or GPU, threads, instruction set.</summary>
    string Description { get; }

    IKernels Kernels { get; }

    /// <summary>Whether kernels take activations of a type: float32 everywhere, bfloat16 where there is hardware for
    /// it.</summary>
    bool Supports(DType type);

    /// <summary>64-byte aligned memory, contents undefined, from the device's pool.
    /// Throws <see cref="OutOfDeviceMemoryException"/> that says what was asked, held and what to lower.</summary>
    nint Allocate(long bytes);

    /// <summary>Back to the pool. bytes as given to <see cref="Allocate"/>.</summary>
    void Free(nint address, long bytes);

    /// <summary>Host to device.</summary>
    void Upload(ReadOnlySpan<byte> source, nint destination);

    /// <summary>Device to host; waits for the work before it.</summary>
    void Download(nint source, Span<byte> destination);

    void Synchronize();

    /// <summary>Whether <see cref="Capture"/> can be used here.</summary>
    bool CanCapture => false;

    /// <summary>Records the work that an action queues, without doing it: <see cref="ICapturedWork.Replay"/> does it, as often as
    /// wanted. The action should have run before, so that everything is compiled and measured. It must not upload, download or
    /// wait: that throws <see cref="InvalidOperationException"/>. Memory that it frees is used again inside the work only. Other
    /// threads that use the device wait for the end of the recording.</summary>
    /// <exception cref="InvalidOperationException"><see cref="CanCapture"/> is false, or a capture is under way.</exception>
    ICapturedWork Capture(Action work) => throw new InvalidOperationException($"{Name}: work cannot be captured here");

    /// <summary>A mark in the order of the device's work, for <see cref="Seconds"/>; queued like a kernel, waits for
    /// nothing.</summary>
    long Mark() => Stopwatch.GetTimestamp();

    /// <summary>Seconds between two marks, on the device's clock; waits until it has passed the second.</summary>
    double Seconds(long from, long to) => Stopwatch.GetElapsedTime(from, to).TotalSeconds;

    MemoryStatistics Memory { get; }

    /// <summary>Gives memory that the pool holds and nobody uses back to the system.</summary>
    void Trim();

    /// <summary>Forgets the peak: it starts again at what is in use.</summary>
    void ResetPeak();
}

/// <summary>Bytes in tensors now, the most there were, and bytes held by the pool.</summary>
public readonly record struct MemoryStatistics(long InUse, long Peak, long Reserved);
