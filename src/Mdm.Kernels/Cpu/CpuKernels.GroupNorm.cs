using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

// With n̂ = (x - mean)·rstd and a = gamma·(1+s), what SiLU sees is u = (x - mean)·A + B per channel, where A = rstd·a and
// B = beta·(1+s) + t. Forward needs two sums per channel (of x and x²), backward two others: S1 = Σ du and S2 = Σ du·(x - mean)
// with du = dy·silu'(u). Groups are then sums over their channels, so every loop runs along the contiguous channels whatever
// the size of a group. A sample is cut into pieces of positions where there are too few samples for the threads.
public sealed unsafe partial class CpuKernels
{
    /// <summary>Positions whose sums stay in float32 before they go on in float64.</summary>
    private const int NormBlock = 128;

    public void GroupNormForward(
        in GroupNormShape shape, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr y, Ptr mean, Ptr rstd, Ptr skip)
    {
        var loop = new GroupNormLoop(shape, x.F32, skip.F32, gamma.F32, beta.F32, scaleShift.F32, mean.F32, rstd.F32)
        {
            Y = y.F32,
        };
        loop.Run();
    }

    public void GroupNormBackward(
        in GroupNormShape shape, Ptr dy, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr mean, Ptr rstd,
        Target dx, Target dgamma, Target dbeta, Target dscaleShift, Ptr skip, Target dskip)
    {
        var loop = new GroupNormLoop(shape, x.F32, skip.F32, gamma.F32, beta.F32, scaleShift.F32, mean.F32, rstd.F32)
        {
            Backward = true,
            Dy = dy.F32,
            Dx = dx,
            DSkip = dskip,
        };
        loop.Run();
        SimdLoops.For(shape.Channels, 256, new GroupNormParameterLoop(loop, dgamma, dbeta, dscaleShift));
    }

    private enum GroupNormPhase
    {
        Everything,
        Sums,
        Result,
    }

    /// <summary>One of the tensors that the channels come from, with the place of its gradient.</summary>
    private readonly struct GroupNormSource(float* x, Target dx, int first, int channels)
    {
        public readonly float* X = x;
        public readonly Target Dx = dx;

        /// <summary>Its first channel among all, and how many it has.</summary>
        public readonly int First = first, Channels = channels;
    }

    private struct GroupNormLoop(GroupNormShape shape, float* x, float* skip, float* gamma, float* beta, float* scaleShift,
        float* mean, float* rstd) : IParallelLoop
    {
        public readonly GroupNormShape Shape = shape;
        public readonly float* Gamma = gamma, Beta = beta, ScaleShift = scaleShift, Rstd = rstd;
        public bool Backward;
        public float* Y, Dy;
        public Target Dx, DSkip;

        /// <summary>Per sample, and before that per piece: two float64 sums per channel.</summary>
        public double* Sums;

        /// <summary>Per sample: the factors of each channel, in rows of length Channels.</summary>
        private float* factors;
        private int pieces, piecePositions;
        private GroupNormPhase phase;

        private const int FactorRows = 5;

        public void Run()
        {
            (int batch, int positions, int channels) = (Shape.Batch, Shape.Positions, Shape.Channels);
            long size = (long)positions * channels;
            int threads = CpuThreads.Count;
            int wanted = threads == 1 || batch >= 4 * threads ? 1 : (4 * threads + batch - 1) / batch;
            pieces = (int)Math.Clamp(size / 8192, 1, wanted);
            piecePositions = (positions + pieces - 1) / pieces;
            long sumBytes = (long)batch * pieces * 2 * channels * sizeof(double);
            long factorBytes = (long)batch * FactorRows * channels * sizeof(float);
            byte* scratch = Scratch.ForCall<byte>(sumBytes + factorBytes);
            Sums = (double*)scratch;
            factors = (float*)(scratch + sumBytes);

            if (pieces == 1)
            {
                phase = GroupNormPhase.Everything;
                SimdLoops.For(batch, 1, this);
                return;
            }

            phase = GroupNormPhase.Sums;
            for (int b = 0; b < batch && Backward; b++)
                FillFactors(b);
            SimdLoops.For(batch * pieces, 1, this);
            for (int b = 0; b < batch; b++)
                Finish(b);
            phase = GroupNormPhase.Result;
            SimdLoops.For(batch * pieces, 1, this);
        }

        [MethodImpl(Hot)]
        public readonly void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int i = start; i < end; i++)
            {
                (int b, int piece) = (i / pieces, i % pieces);
                int first = Math.Min(Shape.Positions, piece * piecePositions);
                int count = Math.Min(Shape.Positions - first, piecePositions);
                long row = (long)b * Shape.Positions + first;
                if (phase != GroupNormPhase.Result)
                {
                    if (Backward && phase == GroupNormPhase.Everything)
                        FillFactors(b);
                    SumPiece<V>(b, row, count, Sums + (long)i * 2 * Shape.Channels);
                }

                if (phase == GroupNormPhase.Everything)
                    Finish(b);
                if (phase == GroupNormPhase.Sums)
                    continue;
                for (int source = 0; source < Sources; source++)
                {
                    if (!Backward)
                        Normalize<V>(SourceOf(source), b, row, count);
                    else if (!SourceOf(source).Dx.IsNone)
                        InputGradient<V>(SourceOf(source), b, row, count);
                }
            }
        }

        private readonly int Sources => Shape.SkipChannels > 0 ? 2 : 1;

        private readonly GroupNormSource SourceOf(int i)
        {
            int own = Shape.Channels - Shape.SkipChannels;
            return i == 0 ? new(x, Dx, 0, own) : new(skip, DSkip, own, Shape.SkipChannels);
        }

        /// <summary>The sums of all pieces of a sample, added into the first's place.</summary>
        private readonly double* SampleSums(int b)
        {
            double* sums = Sums + (long)b * pieces * 2 * Shape.Channels;
            for (int p = 1; p < pieces; p++)
                for (int c = 0; c < 2 * Shape.Channels; c++)
                    sums[c] += sums[(long)p * 2 * Shape.Channels + c];
            return sums;
        }

        public readonly double* SumsOf(int b) => Sums + (long)b * pieces * 2 * Shape.Channels;

        private readonly float* FactorsOf(int b) => factors + (long)b * FactorRows * Shape.Channels;

        private readonly float Scale(int b, int c) => ScaleShift == null ? 1f : 1f + ScaleShift[(long)b * 2 * Shape.Channels + c];

        /// <summary>Rows mean, A, B of the sample's factors.</summary>
        private readonly void FillFactors(int b)
        {
            int channels = Shape.Channels, size = channels / Shape.Groups;
            float* f = FactorsOf(b);
            float* t = ScaleShift == null ? null : ScaleShift + ((long)b * 2 + 1) * channels;
            for (int c = 0; c < channels; c++)
            {
                int g = b * Shape.Groups + c / size;
                float s = Scale(b, c);
                f[c] = mean[g];
                f[channels + c] = Rstd[g] * Gamma[c] * s;
                f[2 * channels + c] = Beta[c] * s + (t == null ? 0 : t[c]);
            }
        }

        /// <summary>From sums to statistics (forward) or to the gradient's group means (backward).</summary>
        private readonly void Finish(int b)
        {
            int channels = Shape.Channels, size = channels / Shape.Groups, positions = Shape.Positions;
            double* sums = SampleSums(b);
            double count = (double)positions * size;
            if (!Backward)
            {
                float* shift = Scratch.ForPiece<float>(channels);
                for (int source = 0; source < Sources; source++)
                {
                    GroupNormSource from = SourceOf(source);
                    long first = (long)b * positions * from.Channels;
                    var row = new ReadOnlySpan<float>(from.X + first, from.Channels);
                    row.CopyTo(new Span<float>(shift + from.First, from.Channels));
                }

                for (int g = 0; g < Shape.Groups; g++)
                {
                    double total = 0, squares = 0;
                    for (int c = g * size; c < (g + 1) * size; c++)
                        total += sums[c] + (double)positions * shift[c];
                    double m = total / count;
                    for (int c = g * size; c < (g + 1) * size; c++)
                    {
                        double offset = shift[c] + sums[c] / positions - m;
                        squares += sums[channels + c] - sums[c] * sums[c] / positions + positions * offset * offset;
                    }

                    mean[b * Shape.Groups + g] = (float)m;
                    Rstd[b * Shape.Groups + g] = (float)(1 / Math.Sqrt(Math.Max(0, squares / count) + Shape.Epsilon));
                }

                FillFactors(b);
                return;
            }

            float* f = FactorsOf(b);
            for (int g = 0; g < Shape.Groups; g++)
            {
                double k = Rstd[b * Shape.Groups + g], g1 = 0, g2 = 0;
                for (int c = g * size; c < (g + 1) * size; c++)
                {
                    double a = (double)Gamma[c] * Scale(b, c);
                    g1 += a * sums[c];
                    g2 += a * sums[channels + c];
                }

                for (int c = g * size; c < (g + 1) * size; c++)
                {
                    f[3 * channels + c] = (float)(-k * k * k * g2 / count);
                    f[4 * channels + c] = (float)(-k * g1 / count);
                }
            }
        }

        [MethodImpl(Hot)]
        private readonly void SumPiece<V>(int b, long row, int count, double* sums)
            where V : unmanaged, ISimd<V>
        {
            int channels = Shape.Channels;
            new Span<double>(sums, 2 * channels).Clear();
            float* f = FactorsOf(b), blockSums = Scratch.ForPiece<float>(2 * channels);
            for (int p = 0; p < count; p += NormBlock)
            {
                int rows = Math.Min(NormBlock, count - p);
                if (Backward)
                {
                    new Span<float>(blockSums, 2 * channels).Clear();
                    for (int source = 0; source < Sources; source++)
                        GradientMoments<V>(SourceOf(source), row + p, rows, f, blockSums);
                    for (int c = 0; c < 2 * channels; c++)
                        sums[c] += blockSums[c];
                    continue;
                }

                for (int source = 0; source < Sources; source++)
                {
                    GroupNormSource from = SourceOf(source);
                    float* shift = from.X + (long)b * Shape.Positions * from.Channels;
                    GroupNormColumns.Moments<V>(from.X + (row + p) * from.Channels, rows, from.Channels, StridesOf(from), shift,
                        sums + from.First);
                }
            }
        }

        private readonly GroupNormStrides StridesOf(in GroupNormSource source) =>
            new(source.Channels, Shape.Channels, Shape.Channels);

        /// <summary>Rows to go through column by column, with the columns' factors in registers: 16 KB of them.</summary>
        private readonly int TileRows => Math.Max(8, 4096 / Shape.Channels);

        [MethodImpl(Hot)]
        private readonly void Normalize<V>(in GroupNormSource source, int b, long row, int count)
            where V : unmanaged, ISimd<V>
        {
            int tile = TileRows;
            float* f = FactorsOf(b) + source.First;
            for (int p = 0; p < count; p += tile)
            {
                float* from = source.X + (row + p) * source.Channels, to = Y + (row + p) * Shape.Channels + source.First;
                GroupNormColumns.Normalize<V>(
                    Shape.Silu, from, to, Math.Min(tile, count - p), source.Channels, StridesOf(source), f);
            }
        }

        [MethodImpl(Hot)]
        private readonly void InputGradient<V>(in GroupNormSource source, int b, long row, int count)
            where V : unmanaged, ISimd<V>
        {
            int tile = TileRows;
            float* f = FactorsOf(b) + source.First;
            Output to = new(source.Dx);
            bool kept = KeepsGradient(source);
            GroupNormStrides strides = StridesOf(source);
            if (kept)
                strides = strides with { Y = strides.X };
            for (int p = 0; p < count; p += tile)
            {
                long at = (row + p) * source.Channels;
                float* gradient = kept ? to.P + at : Dy + (row + p) * Shape.Channels + source.First;
                GroupNormColumns.InputGradient<V>(
                    Shape.Silu && !kept, source.X + at, gradient, to, at, Math.Min(tile, count - p), source.Channels, strides, f);
            }
        }

        /// <summary>Whether the first pass leaves du where dx will be, which saves the second one the exponential.</summary>
        private readonly bool KeepsGradient(in GroupNormSource source) =>
            Shape.Silu && !source.Dx.IsNone && !source.Dx.Accumulate;

        /// <summary>Adds S1 and S2 of a source's channels over some rows.</summary>
        [MethodImpl(Hot)]
        private readonly void GradientMoments<V>(in GroupNormSource source, long row, int rows, float* f, float* sums)
            where V : unmanaged, ISimd<V>
        {
            int tile = TileRows;
            float* du = KeepsGradient(source) ? source.Dx.Ptr.F32 : null;
            for (int r = 0; r < rows; r += tile)
            {
                long at = (row + r) * source.Channels;
                float* dy = Dy + (row + r) * Shape.Channels + source.First;
                GroupNormColumns.GradientMoments<V>(Shape.Silu, source.X + at, dy, du == null ? null : du + at,
                    Math.Min(tile, rows - r), source.Channels, StridesOf(source), f + source.First, sums + source.First);
            }
        }
    }

    /// <summary>Gradients of gamma, beta, scale and shift from the sums of the samples.</summary>
    private readonly struct GroupNormParameterLoop(
        GroupNormLoop norm, Target dgamma, Target dbeta, Target dscaleShift) : IParallelLoop
    {
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            int channels = norm.Shape.Channels, size = channels / norm.Shape.Groups;
            for (int c = start; c < end; c++)
            {
                double gammaSum = 0, betaSum = 0;
                for (int b = 0; b < norm.Shape.Batch; b++)
                {
                    double* sums = norm.SumsOf(b);
                    double s1 = sums[c], s2 = sums[channels + c] * norm.Rstd[b * norm.Shape.Groups + c / size];
                    long at = (long)b * 2 * channels + c;
                    double scale = norm.ScaleShift == null ? 1 : 1 + norm.ScaleShift[at];
                    gammaSum += scale * s2;
                    betaSum += scale * s1;
                    if (dscaleShift.IsNone)
                        continue;
                    Put(dscaleShift, at, norm.Gamma[c] * s2 + norm.Beta[c] * s1);
                    Put(dscaleShift, at + channels, s1);
                }

                if (!dgamma.IsNone)
                    Put(dgamma, c, gammaSum);
                if (!dbeta.IsNone)
                    Put(dbeta, c, betaSum);
            }
        }
    }

    private static void Put(Target target, long i, double value) =>
        target.Ptr.F32[i] = (float)(target.Accumulate ? target.Ptr.F32[i] + value : value);
}
