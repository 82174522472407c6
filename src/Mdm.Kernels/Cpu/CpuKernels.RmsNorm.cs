using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    /// <summary>Rows whose parameter gradients are summed in float32 before they go on in float64.</summary>
    private const int RmsNormRows = 64;

    public void RmsNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr y, Ptr rstd) =>
        SimdLoops.For(rows, Math.Max(1, 8192 / Math.Max(1, cols)),
            new RmsNormLoop(cols, epsilon, x.F32, gamma.F32, y.F32, rstd.F32));

    public void RmsNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr rstd, Target dx, Target dgamma)
    {
        int pieces = (rows + RmsNormRows - 1) / RmsNormRows;
        float* sums = Scratch.ForCall<float>((long)pieces * cols);
        SimdLoops.For(pieces, 1, new RmsNormBackwardLoop(rows, cols, dy.F32, x.F32, gamma.F32, rstd.F32, dx, sums));
        if (!dgamma.IsNone)
            SimdLoops.For(cols, 256, new RmsNormParameterLoop(pieces, cols, sums, dgamma));
    }

    private readonly struct RmsNormLoop(int cols, float epsilon, float* x, float* gamma, float* y, float* rstd) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int r = start; r < end; r++)
            {
                float* from = x + (long)r * cols, to = y + (long)r * cols;
                float k = (float)(1 / Math.Sqrt(SimdSums.Dot<V>(from, from, cols) / cols + epsilon));
                rstd[r] = k;
                int c = 0;
                for (; c + V.Width <= cols; c += V.Width)
                    V.Store(to + c, V.Load(from + c) * V.Set(k) * V.Load(gamma + c));
                for (; c < cols; c++)
                    to[c] = from[c] * k * gamma[c];
            }
        }
    }

    private readonly struct RmsNormBackwardLoop(
        int rows, int cols, float* dy, float* x, float* gamma, float* rstd, Target dx, float* sums) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int piece = start; piece < end; piece++)
            {
                float* dgamma = sums + (long)piece * cols;
                new Span<float>(dgamma, cols).Clear();
                int stop = Math.Min(rows, (piece + 1) * RmsNormRows);
                for (int r = piece * RmsNormRows; r < stop; r++)
                    Row<V>(r, dgamma);
            }
        }

        /// <summary>dx = rstd·(g - n·mean(g·n)) with g = dy·gamma and n = x·rstd.</summary>
        [MethodImpl(Hot)]
        private void Row<V>(int r, float* dgamma)
            where V : unmanaged, ISimd<V>
        {
            float* g = dy + (long)r * cols, from = x + (long)r * cols;
            float k = rstd[r];
            if (!dx.IsNone)
            {
                double gx = SimdSums.Total<V, Correlation>(new Correlation(g, from, gamma, 0), 0, cols);
                float along = (float)(-(double)k * k * k * gx / cols);
                Output to = new(dx);
                long at = (long)r * cols;
                int c = 0;
                for (; c + V.Width <= cols; c += V.Width)
                    to.Put(at + c, Gradient<V>(g + c, from + c, gamma + c, k, along));
                for (; c < cols; c++)
                    to.Put(at + c, Gradient<F1>(g + c, from + c, gamma + c, k, along));
            }

            int i = 0;
            for (; i + V.Width <= cols; i += V.Width)
                V.Store(dgamma + i, V.Fma(V.Load(g + i), V.Load(from + i) * V.Set(k), V.Load(dgamma + i)));
            for (; i < cols; i++)
                dgamma[i] += g[i] * (from[i] * k);
        }

        [MethodImpl(Inline)]
        private static V Gradient<V>(float* dy, float* x, float* gamma, float k, float along)
            where V : unmanaged, ISimd<V> =>
            V.Fma(V.Load(dy) * V.Load(gamma), V.Set(k), V.Load(x) * V.Set(along));
    }

    private readonly struct RmsNormParameterLoop(int pieces, int cols, float* sums, Target dgamma) : IParallelLoop
    {
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int c = start; c < end; c++)
            {
                double g = 0;
                for (int p = 0; p < pieces; p++)
                    g += sums[(long)p * cols + c];
                Put(dgamma, c, g);
            }
        }
    }
}
