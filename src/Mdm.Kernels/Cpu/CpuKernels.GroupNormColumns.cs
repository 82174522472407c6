using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    /// <summary>Elements from a row to the next: of x, dx and du; of y and dy; of factors and sums.</summary>
    private readonly record struct GroupNormStrides(int X, int Y, int F);

    /// <summary>Group normalisation of some rows [rows, channels], in columns of one, two or four vectors whose factors stay in
    /// registers. The factors f are rows: mean, A, B and, for the gradient, two more.</summary>
    private static class GroupNormColumns
    {
        /// <summary>y = A·(x - mean) + B, through SiLU if wanted.</summary>
        [MethodImpl(Inline)]
        public static void Normalize<V>(bool silu, float* x, float* y, int rows, int channels, GroupNormStrides strides, float* f)
            where V : unmanaged, ISimd<V>
        {
            int c = 0;
            for (; c + 2 * V.Width <= channels; c += 2 * V.Width)
                Normalize2<V>(silu, x + c, y + c, rows, strides, f + c);
            for (; c + V.Width <= channels; c += V.Width)
                Normalize1<V>(silu, x + c, y + c, rows, strides, f + c);
            for (; c < channels; c++)
                Normalize1<F1>(silu, x + c, y + c, rows, strides, f + c);
        }

        /// <summary>dx = du·A - (x - mean)·rstd²·mean(dn̂·n̂)·rstd - rstd·mean(dn̂), the means over the group.</summary>
        [MethodImpl(Inline)]
        public static void InputGradient<V>(
            bool silu, float* x, float* dy, Output dx, long at, int rows, int channels, GroupNormStrides strides, float* f)
            where V : unmanaged, ISimd<V>
        {
            int c = 0;
            for (; c + 2 * V.Width <= channels; c += 2 * V.Width)
                InputGradient2<V>(silu, x + c, dy + c, dx, at + c, rows, strides, f + c);
            for (; c + V.Width <= channels; c += V.Width)
                InputGradient1<V>(silu, x + c, dy + c, dx, at + c, rows, strides, f + c);
            for (; c < channels; c++)
                InputGradient1<F1>(silu, x + c, dy + c, dx, at + c, rows, strides, f + c);
        }

        /// <summary>Adds S1 and S2 of the channels to a row of sums and the next; writes du too, unless it is null.</summary>
        [MethodImpl(Inline)]
        public static void GradientMoments<V>(
            bool silu, float* x, float* dy, float* du, int rows, int channels, GroupNormStrides strides, float* f, float* sums)
            where V : unmanaged, ISimd<V>
        {
            int c = 0;
            for (; c + 2 * V.Width <= channels; c += 2 * V.Width)
                GradientMoments2<V>(silu, x + c, dy + c, du == null ? null : du + c, rows, strides, f + c, sums + c);
            for (; c + V.Width <= channels; c += V.Width)
                GradientMoments1<V>(silu, x + c, dy + c, du == null ? null : du + c, rows, strides, f + c, sums + c);
            for (; c < channels; c++)
                GradientMoments1<F1>(silu, x + c, dy + c, du == null ? null : du + c, rows, strides, f + c, sums + c);
        }

        /// <summary>Adds Σ (x - shift) and Σ (x - shift)² of the channels to a row of sums and the next.</summary>
        [MethodImpl(Inline)]
        public static void Moments<V>(float* x, int rows, int channels, GroupNormStrides strides, float* shift, double* sums)
            where V : unmanaged, ISimd<V>
        {
            int c = 0;
            for (; c + 4 * V.Width <= channels; c += 4 * V.Width)
                Moments4<V>(x + c, rows, strides, shift + c, sums + c);
            for (; c + 2 * V.Width <= channels; c += 2 * V.Width)
                Moments2<V>(x + c, rows, strides, shift + c, sums + c);
            for (; c + V.Width <= channels; c += V.Width)
                Moments1<V>(x + c, rows, strides, shift + c, sums + c);
            for (; c < channels; c++)
                Moments1<F1>(x + c, rows, strides, shift + c, sums + c);
        }

        [MethodImpl(Inline)]
        private static void Normalize1<V>(bool silu, float* x, float* y, int rows, GroupNormStrides strides, float* f)
            where V : unmanaged, ISimd<V>
        {
            V mean = V.Load(f), a = V.Load(f + strides.F), b = V.Load(f + 2 * strides.F);
            for (int r = 0; r < rows; r++, x += strides.X, y += strides.Y)
            {
                V u = V.Fma(V.Load(x) - mean, a, b);
                V.Store(y, silu ? SimdMath.Silu(u) : u);
            }
        }

        [MethodImpl(Inline)]
        private static void Normalize2<V>(bool silu, float* x, float* y, int rows, GroupNormStrides strides, float* f)
            where V : unmanaged, ISimd<V>
        {
            int w = V.Width;
            V mean0 = V.Load(f), a0 = V.Load(f + strides.F), b0 = V.Load(f + 2 * strides.F);
            V mean1 = V.Load(f + w), a1 = V.Load(f + strides.F + w), b1 = V.Load(f + 2 * strides.F + w);
            for (int r = 0; r < rows; r++, x += strides.X, y += strides.Y)
            {
                V u0 = V.Fma(V.Load(x) - mean0, a0, b0), u1 = V.Fma(V.Load(x + w) - mean1, a1, b1);
                if (silu)
                {
                    u0 = SimdMath.Silu(u0);
                    u1 = SimdMath.Silu(u1);
                }

                V.Store(y, u0);
                V.Store(y + w, u1);
            }
        }

        [MethodImpl(Inline)]
        private static void InputGradient1<V>(
            bool silu, float* x, float* dy, Output dx, long at, int rows, GroupNormStrides strides, float* f)
            where V : unmanaged, ISimd<V>
        {
            V mean = V.Load(f), a = V.Load(f + strides.F), b = V.Load(f + 2 * strides.F);
            V along = V.Load(f + 3 * strides.F), across = V.Load(f + 4 * strides.F);
            for (int r = 0; r < rows; r++, x += strides.X, dy += strides.Y, at += strides.X)
            {
                V d = V.Load(x) - mean, du = ThroughSilu(silu, V.Load(dy), d, a, b);
                dx.Put(at, V.Fma(du, a, V.Fma(d, along, across)));
            }
        }

        [MethodImpl(Inline)]
        private static void InputGradient2<V>(
            bool silu, float* x, float* dy, Output dx, long at, int rows, GroupNormStrides strides, float* f)
            where V : unmanaged, ISimd<V>
        {
            int w = V.Width;
            V mean0 = V.Load(f), a0 = V.Load(f + strides.F), b0 = V.Load(f + 2 * strides.F);
            V along0 = V.Load(f + 3 * strides.F), across0 = V.Load(f + 4 * strides.F);
            f += w;
            V mean1 = V.Load(f), a1 = V.Load(f + strides.F), b1 = V.Load(f + 2 * strides.F);
            V along1 = V.Load(f + 3 * strides.F), across1 = V.Load(f + 4 * strides.F);
            for (int r = 0; r < rows; r++, x += strides.X, dy += strides.Y, at += strides.X)
            {
                V d0 = V.Load(x) - mean0, du0 = ThroughSilu(silu, V.Load(dy), d0, a0, b0);
                V d1 = V.Load(x + w) - mean1, du1 = ThroughSilu(silu, V.Load(dy + w), d1, a1, b1);
                dx.Put(at, V.Fma(du0, a0, V.Fma(d0, along0, across0)));
                dx.Put(at + w, V.Fma(du1, a1, V.Fma(d1, along1, across1)));
            }
        }

        [MethodImpl(Inline)]
        private static void GradientMoments1<V>(
            bool silu, float* x, float* dy, float* put, int rows, GroupNormStrides strides, float* f, float* sums)
            where V : unmanaged, ISimd<V>
        {
            V mean = V.Load(f), a = V.Load(f + strides.F), b = V.Load(f + 2 * strides.F);
            V s = V.Load(sums), q = V.Load(sums + strides.F);
            for (int r = 0; r < rows; r++, x += strides.X, dy += strides.Y)
            {
                V d = V.Load(x) - mean, du = ThroughSilu(silu, V.Load(dy), d, a, b);
                s += du;
                q = V.Fma(du, d, q);
                if (put == null)
                    continue;
                V.Store(put, du);
                put += strides.X;
            }

            V.Store(sums, s);
            V.Store(sums + strides.F, q);
        }

        [MethodImpl(Inline)]
        private static void GradientMoments2<V>(
            bool silu, float* x, float* dy, float* put, int rows, GroupNormStrides strides, float* f, float* sums)
            where V : unmanaged, ISimd<V>
        {
            int w = V.Width;
            V mean0 = V.Load(f), a0 = V.Load(f + strides.F), b0 = V.Load(f + 2 * strides.F);
            V mean1 = V.Load(f + w), a1 = V.Load(f + strides.F + w), b1 = V.Load(f + 2 * strides.F + w);
            V s0 = V.Load(sums), s1 = V.Load(sums + w), q0 = V.Load(sums + strides.F), q1 = V.Load(sums + strides.F + w);
            for (int r = 0; r < rows; r++, x += strides.X, dy += strides.Y)
            {
                V d0 = V.Load(x) - mean0, du0 = ThroughSilu(silu, V.Load(dy), d0, a0, b0);
                V d1 = V.Load(x + w) - mean1, du1 = ThroughSilu(silu, V.Load(dy + w), d1, a1, b1);
                s0 += du0;
                s1 += du1;
                q0 = V.Fma(du0, d0, q0);
                q1 = V.Fma(du1, d1, q1);
                if (put == null)
                    continue;
                V.Store(put, du0);
                V.Store(put + w, du1);
                put += strides.X;
            }

            V.Store(sums, s0);
            V.Store(sums + w, s1);
            V.Store(sums + strides.F, q0);
            V.Store(sums + strides.F + w, q1);
        }

        /// <summary>du from dy, where u = A·d + B.</summary>
        [MethodImpl(Inline)]
        private static V ThroughSilu<V>(bool silu, V dy, V d, V a, V b)
            where V : unmanaged, ISimd<V> => silu ? dy * SimdMath.SiluDerivative(V.Fma(d, a, b)) : dy;

        [MethodImpl(Inline)]
        private static void Moments1<V>(float* x, int rows, GroupNormStrides strides, float* shift, double* sums)
            where V : unmanaged, ISimd<V>
        {
            V zero = V.Load(shift), s = V.Set(0f), q = s;
            for (int r = 0; r < rows; r++, x += strides.X)
            {
                V d = V.Load(x) - zero;
                s += d;
                q = V.Fma(d, d, q);
            }

            AddTo(sums, s);
            AddTo(sums + strides.F, q);
        }

        /// <summary>Two rows at a time into sums of their own: a sum must wait for the one before.</summary>
        [MethodImpl(Inline)]
        private static void Moments2<V>(float* x, int rows, GroupNormStrides strides, float* shift, double* sums)
            where V : unmanaged, ISimd<V>
        {
            int w = V.Width;
            V z0 = V.Load(shift), z1 = V.Load(shift + w);
            V s0 = V.Set(0f), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
            for (int r = 0; r + 2 <= rows; r += 2, x += 2 * strides.X)
            {
                V d0 = V.Load(x) - z0, d1 = V.Load(x + w) - z1;
                V d2 = V.Load(x + strides.X) - z0, d3 = V.Load(x + strides.X + w) - z1;
                s0 += d0;
                s1 += d1;
                s2 += d2;
                s3 += d3;
                q0 = V.Fma(d0, d0, q0);
                q1 = V.Fma(d1, d1, q1);
                q2 = V.Fma(d2, d2, q2);
                q3 = V.Fma(d3, d3, q3);
            }

            if (rows % 2 != 0)
            {
                V d0 = V.Load(x) - z0, d1 = V.Load(x + w) - z1;
                s0 += d0;
                s1 += d1;
                q0 = V.Fma(d0, d0, q0);
                q1 = V.Fma(d1, d1, q1);
            }

            AddTo(sums, s0 + s2);
            AddTo(sums + w, s1 + s3);
            AddTo(sums + strides.F, q0 + q2);
            AddTo(sums + strides.F + w, q1 + q3);
        }

        [MethodImpl(Inline)]
        private static void Moments4<V>(float* x, int rows, GroupNormStrides strides, float* shift, double* sums)
            where V : unmanaged, ISimd<V>
        {
            int w = V.Width;
            V z0 = V.Load(shift), z1 = V.Load(shift + w), z2 = V.Load(shift + 2 * w), z3 = V.Load(shift + 3 * w);
            V s0 = V.Set(0f), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
            for (int r = 0; r < rows; r++, x += strides.X)
            {
                V d0 = V.Load(x) - z0, d1 = V.Load(x + w) - z1, d2 = V.Load(x + 2 * w) - z2, d3 = V.Load(x + 3 * w) - z3;
                s0 += d0;
                s1 += d1;
                s2 += d2;
                s3 += d3;
                q0 = V.Fma(d0, d0, q0);
                q1 = V.Fma(d1, d1, q1);
                q2 = V.Fma(d2, d2, q2);
                q3 = V.Fma(d3, d3, q3);
            }

            AddTo(sums, s0);
            AddTo(sums + w, s1);
            AddTo(sums + 2 * w, s2);
            AddTo(sums + 3 * w, s3);
            AddTo(sums + strides.F, q0);
            AddTo(sums + strides.F + w, q1);
            AddTo(sums + strides.F + 2 * w, q2);
            AddTo(sums + strides.F + 3 * w, q3);
        }
    }
}
