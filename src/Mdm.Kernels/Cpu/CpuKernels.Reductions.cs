using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    /// <summary>Terms of a long sum that one thread takes at a time.</summary>
    private const int SumChunk = 16384;

    public void SumRows(long rows, long cols, float scale, Ptr x, Target y)
    {
        if (!y.IsNone)
            SumSamples(rows, cols, new RowTerm(x.F32), scale, y);
    }

    public void SumColumns(long rows, int cols, Ptr x, Target y)
    {
        if (y.IsNone)
            return;

        // At least 256 rows a piece, so that the pieces' sums stay small beside the matrix.
        long wanted = Math.Clamp(rows / 256, 1, 4L * CpuThreads.Count);
        long pieceRows = (rows + wanted - 1) / wanted;
        int pieces = (int)((rows + pieceRows - 1) / Math.Max(1, pieceRows));
        double* sums = Scratch.ForCall<double>((long)Math.Max(1, pieces) * cols);
        SimdLoops.For(pieces, 1, new SumColumnsLoop(rows, pieceRows, cols, x.F32, sums));
        for (int c = 0; c < cols; c++)
        {
            double sum = 0;
            for (int p = 0; p < pieces; p++)
                sum += sums[(long)p * cols + c];
            Put(y, c, sum);
        }
    }

    public void SpreadRows(long rows, long cols, float scale, Ptr y, Target x)
    {
        if (!x.IsNone)
            SimdLoops.Samples(checked((int)rows), cols, new SpreadRowsLoop(scale, y.F32, new Output(x)));
    }

    public void MeanSquaredError(int batch, long inner, Ptr a, Ptr b, Ptr loss) =>
        SumSamples(batch, inner, new SquaredDifference(a.F32, b.F32), 1.0 / inner, new Target(loss, false));

    public void MeanSquaredErrorBackward(int batch, long inner, Ptr a, Ptr b, Ptr dloss, Target da, Target db)
    {
        if (!da.IsNone)
            SimdLoops.Samples(batch, inner, new DifferenceLoop((float)(2.0 / inner), a.F32, b.F32, dloss.F32, new Output(da)));
        if (!db.IsNone)
            SimdLoops.Samples(batch, inner, new DifferenceLoop((float)(-2.0 / inner), a.F32, b.F32, dloss.F32, new Output(db)));
    }

    public void MaskedMean(int batch, int tokens, int channels, Ptr x, Ptr mask, Ptr y) =>
        SimdLoops.For(batch, 1, new MaskedMeanLoop(tokens, channels, x.F32, mask.F32, y.F32));

    public void MaskedMeanBackward(int batch, int tokens, int channels, Ptr dy, Ptr mask, Target dx)
    {
        if (!dx.IsNone)
            SimdLoops.For(batch, 1, new MaskedMeanBackwardLoop(tokens, channels, dy.F32, mask.F32, new Output(dx)));
    }

    public void AbsQuantile(int batch, long inner, float p, Ptr x, Ptr y) =>
        SimdLoops.For(batch, 1, new AbsQuantileLoop(inner, p, x.F32, y.F32));

    /// <summary>y[s] = scale · Σ of the terms s·inner .. (s+1)·inner - 1.</summary>
    private static void SumSamples<TTerm>(long batch, long inner, TTerm term, double scale, Target y)
        where TTerm : unmanaged, ITerm
    {
        int perSample = (int)Math.Max(1, (inner + SumChunk - 1) / SumChunk);
        int grain = (int)Math.Clamp(SumChunk / Math.Max(1, inner), 1, 1024);
        double* sums = Scratch.ForCall<double>(batch * perSample);
        SimdLoops.For(checked((int)(batch * perSample)), grain, new SumSamplesLoop<TTerm>(inner, perSample, term, sums));
        for (long s = 0; s < batch; s++)
        {
            double sum = 0;
            for (int i = 0; i < perSample; i++)
                sum += sums[s * perSample + i];
            Put(y, s, scale * sum);
        }
    }

    private readonly struct SumSamplesLoop<TTerm>(long inner, int perSample, TTerm term, double* sums) : IParallelLoop
        where TTerm : unmanaged, ITerm
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int i = start; i < end; i++)
            {
                long sample = i / perSample, first = (long)(i % perSample) * SumChunk;
                sums[i] = SimdSums.Total<V, TTerm>(
                    term, sample * inner + first, sample * inner + Math.Min(inner, first + SumChunk));
            }
        }
    }

    private readonly struct RowTerm(float* x) : ITerm
    {
        [MethodImpl(Inline)]
        public V At<V>(long i)
            where V : unmanaged, ISimd<V> => V.Load(x + i);
    }

    private readonly struct SquaredDifference(float* a, float* b) : ITerm
    {
        [MethodImpl(Inline)]
        public V At<V>(long i)
            where V : unmanaged, ISimd<V>
        {
            V d = V.Load(a + i) - V.Load(b + i);
            return d * d;
        }
    }

    private readonly struct SumColumnsLoop(long rows, long pieceRows, int cols, float* x, double* sums) : IParallelLoop
    {
        private const int BlockRows = 128;

        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int piece = start; piece < end; piece++)
            {
                double* to = sums + (long)piece * cols;
                new Span<double>(to, cols).Clear();
                long stop = Math.Min(rows, (piece + 1) * pieceRows);
                for (long r = piece * pieceRows; r < stop; r += BlockRows)
                {
                    int count = (int)Math.Min(BlockRows, stop - r), c = 0;
                    float* from = x + r * cols;
                    for (; c + 4 * V.Width <= cols; c += 4 * V.Width)
                        Block<V>(from + c, count, cols, to + c);
                    for (; c + V.Width <= cols; c += V.Width)
                        Column<V>(from + c, count, cols, to + c);
                    for (; c < cols; c++)
                        Column<F1>(from + c, count, cols, to + c);
                }
            }
        }

        [MethodImpl(Inline)]
        private static void Block<V>(float* x, int rows, int cols, double* sums)
            where V : unmanaged, ISimd<V>
        {
            V s0 = V.Set(0f), s1 = s0, s2 = s0, s3 = s0;
            for (int r = 0; r < rows; r++, x += cols)
            {
                s0 += V.Load(x);
                s1 += V.Load(x + V.Width);
                s2 += V.Load(x + 2 * V.Width);
                s3 += V.Load(x + 3 * V.Width);
            }

            AddTo(sums, s0);
            AddTo(sums + V.Width, s1);
            AddTo(sums + 2 * V.Width, s2);
            AddTo(sums + 3 * V.Width, s3);
        }

        [MethodImpl(Inline)]
        private static void Column<V>(float* x, int rows, int cols, double* sums)
            where V : unmanaged, ISimd<V>
        {
            V s0 = V.Set(0f), s1 = s0;
            int r = 0;
            for (; r + 2 <= rows; r += 2, x += 2L * cols)
            {
                s0 += V.Load(x);
                s1 += V.Load(x + cols);
            }

            if (r < rows)
                s0 += V.Load(x);
            AddTo(sums, s0 + s1);
        }
    }

    /// <summary>sums[i] += lane i.</summary>
    [MethodImpl(Inline)]
    private static void AddTo<V>(double* sums, V v)
        where V : unmanaged, ISimd<V>
    {
        float* lanes = (float*)&v;
        for (int i = 0; i < V.Width; i++)
            sums[i] += lanes[i];
    }

    private readonly struct SpreadRowsLoop(float scale, float* y, Output x) : ISampleLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(int s, long i)
            where V : unmanaged, ISimd<V> => x.Put(i, V.Set(scale * y[s]));
    }

    private readonly struct DifferenceLoop(float factor, float* a, float* b, float* dloss, Output d) : ISampleLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(int s, long i)
            where V : unmanaged, ISimd<V> => d.Put(i, V.Set(factor * dloss[s]) * (V.Load(a + i) - V.Load(b + i)));
    }

    /// <summary>What a sample's weights are divided by; 0 where nothing counts.</summary>
    private static double MaskFactor(float* mask, long at, int tokens)
    {
        if (mask == null)
            return 1.0 / tokens;
        double sum = 0;
        for (int t = 0; t < tokens; t++)
            sum += mask[at + t];
        return sum == 0 ? 0 : 1 / sum;
    }

    private readonly struct MaskedMeanLoop(int tokens, int channels, float* x, float* mask, float* y) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            double* sums = Scratch.ForPiece<double>(channels);
            for (int b = start; b < end; b++)
            {
                new Span<double>(sums, channels).Clear();
                double factor = MaskFactor(mask, (long)b * tokens, tokens);
                for (int t = 0; t < tokens; t++)
                {
                    double m = mask == null ? 1 : mask[(long)b * tokens + t];
                    float* row = x + ((long)b * tokens + t) * channels;
                    if (m != 0)
                        for (int c = 0; c < channels; c++)
                            sums[c] += m * row[c];
                }

                for (int c = 0; c < channels; c++)
                    y[(long)b * channels + c] = (float)(sums[c] * factor);
            }
        }
    }

    private readonly struct MaskedMeanBackwardLoop(int tokens, int channels, float* dy, float* mask, Output dx) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int b = start; b < end; b++)
            {
                double factor = MaskFactor(mask, (long)b * tokens, tokens);
                for (int t = 0; t < tokens; t++)
                {
                    long row = (long)b * tokens + t, at = row * channels;
                    float m = (float)((mask == null ? 1 : mask[row]) * factor);
                    float* from = dy + (long)b * channels;
                    int c = 0;
                    for (; c + V.Width <= channels; c += V.Width)
                        dx.Put(at + c, V.Load(from + c) * V.Set(m));
                    for (; c < channels; c++)
                        dx.Put(at + c, F1.Load(from + c) * F1.Set(m));
                }
            }
        }
    }

    /// <summary>Finds order statistics digit by digit: the bits of |x| order as integers do, and three counts of 11, 10 and
    /// 10 bits give the exact value in a fixed time.</summary>
    private readonly struct AbsQuantileLoop(long inner, float p, float* x, float* y) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int s = start; s < end; s++)
            {
                uint* bits = (uint*)(x + s * inner);
                double position = (double)p * (inner - 1);
                long k = Math.Clamp((long)position, 0, inner - 1);
                uint low = Select(bits, k, out long notAbove);
                uint high = k + 1 < Math.Min(inner, notAbove) || k + 1 >= inner ? low : NextAbove(bits, low);
                double a = BitConverter.UInt32BitsToSingle(low), b = BitConverter.UInt32BitsToSingle(high);
                y[s] = (float)(a + (b - a) * (position - k));
            }
        }

        /// <summary>The k-th smallest |x| (as bits), and how many are not above it.</summary>
        private uint Select(uint* bits, long k, out long notAbove)
        {
            const int Digit = 10;
            int* counts = Scratch.ForPiece<int>(1 << (Digit + 1));
            uint found = 0;
            long below = 0;
            for (int shift = 2 * Digit; shift >= 0; shift -= Digit)
            {
                int size = shift == 2 * Digit ? 1 << (Digit + 1) : 1 << Digit;
                new Span<int>(counts, size).Clear();
                for (long i = 0; i < inner; i++)
                {
                    uint v = bits[i] & 0x7FFFFFFF;
                    if (shift == 2 * Digit || v >> (shift + Digit) == found)
                        counts[(v >> shift) & (uint)(size - 1)]++;
                }

                int d = 0;
                while (below + counts[d] <= k)
                    below += counts[d++];
                found = (found << Digit) | (uint)d;
                if (shift == 0)
                    below += counts[d];
            }

            notAbove = below;
            return found;
        }

        private uint NextAbove(uint* bits, uint low)
        {
            uint next = uint.MaxValue;
            for (long i = 0; i < inner; i++)
            {
                uint v = bits[i] & 0x7FFFFFFF;
                if (v > low && v < next)
                    next = v;
            }

            return next;
        }
    }
}
