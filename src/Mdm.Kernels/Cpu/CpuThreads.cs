namespace Mdm.Kernels.Cpu;

/// <summary>Runs a kernel's loop on all cores.</summary>
public static unsafe class CpuThreads
{
    /// <summary>Threads that share a loop, the caller's included.</summary>
    public static int Count { get; set; } = Environment.ProcessorCount;

    /// <summary>Calls body(context, start, end, worker) for consecutive pieces of 0..count-1, each at most grain long, on up to
    /// <see cref="Count"/> threads; worker is 0..Count-1. Returns when all are done. Which thread takes which piece varies,
    /// so a piece must not depend on another.</summary>
    public static void For(int count, int grain, delegate*<void*, int, int, int, void> body, void* context)
    {
        int pieces = (count + grain - 1) / grain;
        if (pieces <= 1 || Count == 1)
        {
            for (int s = 0; s < count; s += grain)
                body(context, s, Math.Min(count, s + grain), 0);
            return;
        }

        nint f = (nint)body, c = (nint)context;
        int next = 0;
        Parallel.For(0, Math.Min(Count, pieces), worker =>
        {
            for (int i; (i = Interlocked.Increment(ref next) - 1) < pieces;)
                ((delegate*<void*, int, int, int, void>)f)((void*)c, i * grain, Math.Min(count, (i + 1) * grain), worker);
        });
    }
}
