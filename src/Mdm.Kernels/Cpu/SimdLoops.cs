using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

/// <summary>The arguments of a loop and its body, for any vector width.</summary>
internal interface IParallelLoop
{
    /// <summary>Pieces start..end-1, by one thread.</summary>
    void Run<V>(int start, int end)
        where V : unmanaged, ISimd<V>;
}

/// <summary>One step of a loop over elements: handles elements i .. i + V.Width - 1.</summary>
internal interface IElementLoop
{
    void Step<V>(long i)
        where V : unmanaged, ISimd<V>;
}

/// <summary>As <see cref="IElementLoop"/> with the sample that element i belongs to.</summary>
internal interface ISampleLoop
{
    void Step<V>(int sample, long i)
        where V : unmanaged, ISimd<V>;
}

/// <summary>Runs loops on all threads at the level that <see cref="CpuFeatures"/> says.</summary>
internal static unsafe class SimdLoops
{
    /// <summary>Elements that one thread takes at a time: enough to hide the dispatch, little enough to share evenly.</summary>
    private const int Chunk = 16384;

    private const MethodImplOptions Hot = MethodImplOptions.AggressiveOptimization;

    /// <summary>Pieces 0..count-1, at most grain of them per call of the body.</summary>
    public static void For<TLoop>(int count, int grain, TLoop loop)
        where TLoop : unmanaged, IParallelLoop
    {
        delegate*<void*, int, int, int, void> body = CpuFeatures.Level switch
        {
            CpuLevel.Avx512 => &Run<TLoop, F512>,
            CpuLevel.Avx2 => &Run<TLoop, F256>,
            _ => &Run<TLoop, F1>,
        };
        CpuThreads.For(count, grain, body, &loop);
    }

    /// <summary>Elements 0..n-1.</summary>
    public static void Elements<TLoop>(long n, TLoop loop)
        where TLoop : unmanaged, IElementLoop =>
        For((int)((n + Chunk - 1) / Chunk), 1, new ElementPieces<TLoop>(n, loop));

    /// <summary>Elements 0..batch·inner-1, with their samples.</summary>
    public static void Samples<TLoop>(int batch, long inner, TLoop loop)
        where TLoop : unmanaged, ISampleLoop
    {
        if (inner == 0)
            return;
        int perSample = (int)((inner + Chunk - 1) / Chunk);
        int grain = (int)Math.Max(1, Chunk / inner);
        For(batch * perSample, grain, new SamplePieces<TLoop>(inner, perSample, loop));
    }

    [MethodImpl(Hot)]
    private static void Run<TLoop, V>(void* context, int start, int end, int worker)
        where TLoop : unmanaged, IParallelLoop
        where V : unmanaged, ISimd<V> =>
        ((TLoop*)context)->Run<V>(start, end);

    private readonly struct ElementPieces<TLoop>(long n, TLoop loop) : IParallelLoop
        where TLoop : unmanaged, IElementLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            // A local copy: stores through pointers cannot change it, so it stays in registers.
            TLoop body = loop;
            long i = (long)start * Chunk, stop = Math.Min(n, (long)end * Chunk);
            for (; i + V.Width <= stop; i += V.Width)
                body.Step<V>(i);
            for (; i < stop; i++)
                body.Step<F1>(i);
        }
    }

    private readonly struct SamplePieces<TLoop>(long inner, int perSample, TLoop loop) : IParallelLoop
        where TLoop : unmanaged, ISampleLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            TLoop body = loop;
            for (int piece = start; piece < end; piece++)
            {
                int sample = piece / perSample;
                long first = (long)(piece % perSample) * Chunk;
                long i = sample * inner + first, stop = sample * inner + Math.Min(inner, first + Chunk);
                for (; i + V.Width <= stop; i += V.Width)
                    body.Step<V>(sample, i);
                for (; i < stop; i++)
                    body.Step<F1>(sample, i);
            }
        }
    }
}
