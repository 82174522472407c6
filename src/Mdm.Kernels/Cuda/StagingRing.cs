using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>Page-locked memory through which the host sends data without waiting: a copy into the ring, then a copy by the GPU
/// in its own time. Only a full ring makes the host wait. Calls are made one at a time, with the context current.</summary>
/// <param name="driver">The driver.</param>
/// <param name="stream">Where the copies are queued.</param>
/// <param name="check">Throws unless a call, named second, returned success.</param>
internal sealed unsafe class StagingRing(CudaDriver driver, nint stream, Action<int, string> check) : IDisposable
{
    private const int Bytes = 16 << 20;
    private const int Alignment = 256;
    private const int MaxPending = 256;
    private const uint WithoutTiming = 2;

    private readonly Queue<(nint Event, int End)> pending = new(MaxPending);
    private readonly Stack<nint> events = new();
    private nint memory;
    private int head; // where the next piece goes
    private int tail; // where the oldest piece that the GPU may still read begins

    /// <summary>The most that goes through in one piece.</summary>
    public static int Largest => Bytes / 4;

    public void Upload(ReadOnlySpan<byte> source, nint destination)
    {
        while (source.Length > 0)
        {
            int n = Math.Min(source.Length, Largest);
            Send(source[..n], destination);
            source = source[n..];
            destination += n;
        }
    }

    public void Dispose()
    {
        while (pending.Count > 0)
            Retire();
        foreach (nint e in events)
            _ = driver.EventDestroy(e);
        events.Clear();
        if (memory != 0)
            _ = driver.MemFreeHost(memory);
        memory = 0;
    }

    private void Send(ReadOnlySpan<byte> piece, nint destination)
    {
        int at = Reserve((piece.Length + Alignment - 1) / Alignment * Alignment);
        piece.CopyTo(new Span<byte>((byte*)memory + at, piece.Length));
        check(driver.MemcpyHostToDevice(destination, (byte*)memory + at, (nuint)piece.Length, stream), "cuMemcpyHtoDAsync");
        nint mark = events.Count > 0 ? events.Pop() : CreateEvent();
        check(driver.EventRecord(mark, stream), "cuEventRecord");
        pending.Enqueue((mark, head));
    }

    /// <summary>Room for n bytes in one piece, n at most a quarter of the ring.</summary>
    private int Reserve(int n)
    {
        if (memory == 0)
        {
            nint allocated;
            check(driver.MemHostAlloc(&allocated, Bytes, 0), "cuMemHostAlloc");
            memory = allocated;
        }

        while (pending.Count > 0 && (pending.Count >= MaxPending || driver.EventQuery(pending.Peek().Event) == CudaCode.Success))
            Retire();
        while (true)
        {
            if (pending.Count == 0)
                head = tail = 0;
            if (head >= tail) // free: from head to the end, and from the start to the tail
            {
                if (n <= Bytes - head)
                    return Take(head, n);
                if (n < tail)
                    return Take(0, n);
            }
            else if (n < tail - head)
            {
                return Take(head, n);
            }

            Retire();
        }
    }

    private int Take(int at, int n)
    {
        head = at + n;
        return at;
    }

    private void Retire()
    {
        (nint mark, int end) = pending.Dequeue();
        check(driver.EventSynchronize(mark), "cuEventSynchronize");
        tail = end;
        events.Push(mark);
    }

    private nint CreateEvent()
    {
        nint mark;
        check(driver.EventCreate(&mark, WithoutTiming), "cuEventCreate");
        return mark;
    }
}
