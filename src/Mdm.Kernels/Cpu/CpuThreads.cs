using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace Mdm.Kernels.Cpu;

/// <summary>Runs a kernel's loop on all cores, with its own threads: they spin for a while after each loop, so that the next
/// one starts in under a microsecond, and then sleep.</summary>
public static unsafe class CpuThreads
{
    /// <summary>How long an idle thread spins before it sleeps, in milliseconds.</summary>
    private const double SpinMilliseconds = 1;

    private static readonly Lock Gate = new();
    private static readonly List<Worker> Workers = [];
    private static readonly long SpinTicks = (long)(SpinMilliseconds * 1e-3 * Stopwatch.Frequency);

    private static int count = DefaultCount();

    // The loop in progress; written by its caller, who holds the gate, before any worker is told.
    private static delegate*<void*, int, int, int, void> body;
    private static void* context;
    private static int total;
    private static int grain;
    private static int pieces;
    private static int next;
    private static Exception? failure;

    /// <summary>1 + the worker number of this thread while it is inside a loop, else 0.</summary>
    [ThreadStatic]
    private static int inside;

    /// <summary>Threads that share a loop, the caller's included. At first the number of processors, or MDM_THREADS.</summary>
    public static int Count
    {
        get => count;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            lock (Gate)
                count = value;
        }
    }

    /// <summary>Calls body(context, start, end, worker) for consecutive pieces of 0..count-1, each at most grain long, on up to
    /// <see cref="Count"/> threads; worker is 0..Count-1. Returns when all are done. Which thread takes which piece varies,
    /// so a piece must not depend on another. A loop started inside a loop runs on the thread that started it. An exception
    /// of a piece is thrown again here after the other pieces.</summary>
    public static void For(int count, int grain, delegate*<void*, int, int, int, void> body, void* context)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(grain, 1);
        long wanted = ((long)count + grain - 1) / grain;
        if (wanted <= 1 || CpuThreads.count == 1 || inside != 0)
        {
            int worker = Math.Max(0, inside - 1);
            for (long s = 0; s < count; s += grain)
                body(context, (int)s, (int)Math.Min(count, s + grain), worker);
            return;
        }

        lock (Gate)
            Share(count, grain, (int)wanted, body, context);
    }

    private static void Share(int n, int pieceLength, int wanted, delegate*<void*, int, int, int, void> f, void* c)
    {
        int helpers = Math.Min(count, wanted) - 1;
        while (Workers.Count < helpers)
            Workers.Add(new Worker(Workers.Count + 1));
        body = f;
        context = c;
        total = n;
        grain = pieceLength;
        pieces = wanted;
        next = 0;
        failure = null;
        for (int i = 0; i < helpers; i++)
            Workers[i].Ask();
        Take(0);
        for (int i = 0; i < helpers; i++)
            Workers[i].Join();
        if (failure != null)
            ExceptionDispatchInfo.Throw(failure);
    }

    private static void Take(int worker)
    {
        inside = worker + 1;
        try
        {
            for (int i; (i = Interlocked.Increment(ref next) - 1) < pieces;)
                body(context, i * grain, (int)Math.Min(total, (i + 1L) * grain), worker);
        }
        catch (Exception e)
        {
            Interlocked.CompareExchange(ref failure, e, null);
        }
        finally
        {
            inside = 0;
        }
    }

    private static int DefaultCount() =>
        int.TryParse(Environment.GetEnvironmentVariable("MDM_THREADS"), out int n) && n > 0 ? n : Environment.ProcessorCount;

    private sealed class Worker
    {
        private const int Idle = 0, Asked = 1, Running = 2;

        private readonly SemaphoreSlim wake = new(0);
        private readonly int number;
        private int state;
        private int asleep;

        public Worker(int number)
        {
            this.number = number;
            new Thread(Run, 16 << 20) { IsBackground = true, Name = $"kernel {number}" }.Start();
        }

        public void Ask()
        {
            Interlocked.Exchange(ref state, Asked);
            if (Volatile.Read(ref asleep) != 0)
                wake.Release();
        }

        /// <summary>Waits until this worker has left the loop. One that has not come yet (its processor may be busy elsewhere)
        /// is not waited for: there is nothing left to do.</summary>
        public void Join()
        {
            if (Interlocked.CompareExchange(ref state, Idle, Asked) != Running)
                return;
            for (int i = 0; Volatile.Read(ref state) == Running; i++)
            {
                if (i < 20_000)
                    Thread.SpinWait(4);
                else
                    Thread.Yield();
            }
        }

        private void Run()
        {
            while (true)
            {
                Wait();
                if (Interlocked.CompareExchange(ref state, Running, Asked) != Asked)
                    continue;
                Take(number);
                Volatile.Write(ref state, Idle);
            }
        }

        /// <summary>Returns when asked.</summary>
        private void Wait()
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 1; Volatile.Read(ref state) != Asked; i++)
            {
                Thread.SpinWait(4);
                if (i % 64 != 0 || Stopwatch.GetTimestamp() - start < SpinTicks)
                    continue;
                Interlocked.Exchange(ref asleep, 1);
                if (Volatile.Read(ref state) != Asked)
                    wake.Wait();
                Interlocked.Exchange(ref asleep, 0);
                start = Stopwatch.GetTimestamp();
            }
        }
    }
}
