using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    /// <summary>Rows whose parameter gradients are summed in float32 before they go on in float64.</summary>
    private const int LayerNormRows = 64;

    public void LayerNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr beta, Ptr y, Ptr mean, Ptr rstd) =>
        SimdLoops.For(rows, Math.Max(1, 8192 / cols),
            new LayerNormLoop(cols, epsilon, x.F32, gamma.F32, beta.F32, y.F32, mean.F32, rstd.F32));

    public void LayerNormBackward(
        int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr mean, Ptr rstd, Target dx, Target dgamma, Target dbeta)
    {
        int pieces = (rows + LayerNormRows - 1) / LayerNormRows;
        float* sums = Scratch.ForCall<float>((long)pieces * 2 * cols);
        SimdLoops.For(pieces, 1,
            new LayerNormBackwardLoop(rows, cols, dy.F32, x.F32, gamma.F32, mean.F32, rstd.F32, dx, sums));
        if (!dgamma.IsNone || !dbeta.IsNone)
            SimdLoops.For(cols, 256, new LayerNormParameterLoop(pieces, cols, sums, dgamma, dbeta));
    }

    private readonly struct LayerNormLoop(
        int cols, float epsilon, float* x, float* gamma, float* beta, float* y, float* mean, float* rstd) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int r = start; r < end; r++)
            {
                float* from = x + (long)r * cols, to = y + (long)r * cols;
                float m = (float)(SimdSums.Sum<V>(from, cols) / cols);
                float k = (float)(1 / Math.Sqrt(SimdSums.SquaresAbout<V>(from, m, cols) / cols + epsilon));
                mean[r] = m;
                rstd[r] = k;
                int c = 0;
                for (; c + V.Width <= cols; c += V.Width)
                    Row<V>(from + c, gamma + c, beta + c, to + c, m, k);
                for (; c < cols; c++)
                    Row<F1>(from + c, gamma + c, beta + c, to + c, m, k);
            }
        }

        [MethodImpl(Inline)]
        private static void Row<V>(float* x, float* gamma, float* beta, float* y, float mean, float rstd)
            where V : unmanaged, ISimd<V> =>
            V.Store(y, V.Fma((V.Load(x) - V.Set(mean)) * V.Set(rstd), V.Load(gamma), V.Load(beta)));
    }

    private readonly struct LayerNormBackwardLoop(
        int rows, int cols, float* dy, float* x, float* gamma, float* mean, float* rstd, Target dx, float* sums) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int piece = start; piece < end; piece++)
            {
                float* dgamma = sums + (long)piece * 2 * cols, dbeta = dgamma + cols;
                new Span<float>(dgamma, 2 * cols).Clear();
                int stop = Math.Min(rows, (piece + 1) * LayerNormRows);
                for (int r = piece * LayerNormRows; r < stop; r++)
                    Row<V>(r, dgamma, dbeta);
            }
        }

        /// <summary>dx = rstd·(g - mean(g) - n̂·mean(g·n̂)) with g = dy·gamma.</summary>
        [MethodImpl(Hot)]
        private void Row<V>(int r, float* dgamma, float* dbeta)
            where V : unmanaged, ISimd<V>
        {
            long at = (long)r * cols;
            float m = mean[r], k = rstd[r];
            if (!dx.IsNone)
            {
                double g = SimdSums.Dot<V>(dy + at, gamma, cols);
                double gn = SimdSums.Total<V, Correlation>(new Correlation(dy + at, x + at, gamma, m), 0, cols) * k;
                float across = (float)(-k * g / cols), along = (float)(-k * k * gn / cols);
                Output to = new(dx);
                int c = 0;
                for (; c + V.Width <= cols; c += V.Width)
                    to.Put(at + c, Gradient<V>(dy + at + c, x + at + c, gamma + c, m, k, along, across));
                for (; c < cols; c++)
                    to.Put(at + c, Gradient<F1>(dy + at + c, x + at + c, gamma + c, m, k, along, across));
            }

            int i = 0;
            for (; i + V.Width <= cols; i += V.Width)
                Parameters<V>(dy + at + i, x + at + i, m, k, dgamma + i, dbeta + i);
            for (; i < cols; i++)
                Parameters<F1>(dy + at + i, x + at + i, m, k, dgamma + i, dbeta + i);
        }

        [MethodImpl(Inline)]
        private static V Gradient<V>(float* dy, float* x, float* gamma, float m, float k, float along, float across)
            where V : unmanaged, ISimd<V>
        {
            V d = V.Load(x) - V.Set(m), g = V.Load(dy) * V.Load(gamma);
            return V.Fma(g, V.Set(k), V.Fma(d, V.Set(along), V.Set(across)));
        }

        [MethodImpl(Inline)]
        private static void Parameters<V>(float* dy, float* x, float m, float k, float* dgamma, float* dbeta)
            where V : unmanaged, ISimd<V>
        {
            V g = V.Load(dy), n = (V.Load(x) - V.Set(m)) * V.Set(k);
            V.Store(dgamma, V.Fma(g, n, V.Load(dgamma)));
            V.Store(dbeta, V.Load(dbeta) + g);
        }
    }

    /// <summary>dy·gamma·(x - mean).</summary>
    private readonly struct Correlation(float* dy, float* x, float* gamma, float mean) : ITerm
    {
        [MethodImpl(Inline)]
        public V At<V>(long i)
            where V : unmanaged, ISimd<V> => V.Load(dy + i) * V.Load(gamma + i) * (V.Load(x + i) - V.Set(mean));
    }

    private readonly struct LayerNormParameterLoop(int pieces, int cols, float* sums, Target dgamma, Target dbeta) : IParallelLoop
    {
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int c = start; c < end; c++)
            {
                double g = 0, b = 0;
                for (int p = 0; p < pieces; p++)
                {
                    g += sums[(long)p * 2 * cols + c];
                    b += sums[((long)p * 2 + 1) * cols + c];
                }

                if (!dgamma.IsNone)
                    Put(dgamma, c, g);
                if (!dbeta.IsNone)
                    Put(dbeta, c, b);
            }
        }
    }

    public void StdNormalizeForward(int batch, long inner, Ptr x, Ptr y, Ptr mean, Ptr std) =>
        SimdLoops.For(batch, 1, new StdNormalizeLoop(inner, x.F32, y.F32, mean.F32, std.F32));

    public void StdNormalizeBackward(int batch, long inner, Ptr dy, Ptr x, Ptr mean, Ptr std, Target dx)
    {
        if (!dx.IsNone)
            SimdLoops.For(batch, 1, new StdNormalizeBackwardLoop(inner, dy.F32, x.F32, mean.F32, std.F32, dx));
    }

    private readonly struct StdNormalizeLoop(long inner, float* x, float* y, float* mean, float* std) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int s = start; s < end; s++)
            {
                float* from = x + s * inner, to = y + s * inner;
                mean[s] = (float)(SimdSums.Sum<V>(from, inner) / inner);
                double deviation = Math.Sqrt(SimdSums.SquaresAbout<V>(from, mean[s], inner) / (inner - 1));
                std[s] = (float)deviation;
                float k = (float)(1 / deviation);
                long i = 0;
                for (; i + V.Width <= inner; i += V.Width)
                    V.Store(to + i, V.Load(from + i) * V.Set(k));
                for (; i < inner; i++)
                    to[i] = from[i] * k;
            }
        }
    }

    private readonly struct StdNormalizeBackwardLoop(
        long inner, float* dy, float* x, float* mean, float* std, Target dx) : IParallelLoop
    {
        /// <summary>dx = dy/std - (x - mean)·(Σ dy·x)/((n-1)·std³).</summary>
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            Output to = new(dx);
            for (int s = start; s < end; s++)
            {
                long at = s * inner;
                double deviation = std[s];
                double along = SimdSums.Dot<V>(dy + at, x + at, inner) / ((inner - 1) * deviation * deviation * deviation);
                (float m, float k, float a) = (mean[s], (float)(1 / deviation), (float)-along);
                long i = at, stop = at + inner;
                for (; i + V.Width <= stop; i += V.Width)
                    to.Put(i, V.Fma(V.Load(dy + i), V.Set(k), (V.Load(x + i) - V.Set(m)) * V.Set(a)));
                for (; i < stop; i++)
                    to.Put(i, F1.Fma(F1.Load(dy + i), F1.Set(k), (F1.Load(x + i) - F1.Set(m)) * F1.Set(a)));
            }
        }
    }
}
