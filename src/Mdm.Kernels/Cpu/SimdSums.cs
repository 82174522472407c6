using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

/// <summary>What is summed: a function of the index.</summary>
internal interface ITerm
{
    V At<V>(long i)
        where V : unmanaged, ISimd<V>;
}

/// <summary>Sums in a fixed order: at most 64 terms in a float32 lane, then on in float64.</summary>
internal static unsafe class SimdSums
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    /// <summary>Σ term(i) for start ≤ i &lt; stop.</summary>
    [MethodImpl(Inline)]
    public static double Total<V, TTerm>(TTerm term, long start, long stop)
        where V : unmanaged, ISimd<V>
        where TTerm : unmanaged, ITerm
    {
        double total = 0;
        long i = start;
        while (i + 4 * V.Width <= stop)
        {
            V s0 = V.Set(0f), s1 = s0, s2 = s0, s3 = s0;
            long end = Math.Min(stop, i + 256 * V.Width);
            for (; i + 4 * V.Width <= end; i += 4 * V.Width)
            {
                s0 += term.At<V>(i);
                s1 += term.At<V>(i + V.Width);
                s2 += term.At<V>(i + 2 * V.Width);
                s3 += term.At<V>(i + 3 * V.Width);
            }

            total += V.Sum(s0 + s1 + (s2 + s3));
        }

        for (; i + V.Width <= stop; i += V.Width)
            total += V.Sum(term.At<V>(i));
        for (; i < stop; i++)
            total += F1.Sum(term.At<F1>(i));
        return total;
    }

    public static double Sum<V>(float* x, long n)
        where V : unmanaged, ISimd<V> => Total<V, Values>(new Values(x), 0, n);

    /// <summary>Σ (x - mean)².</summary>
    public static double SquaresAbout<V>(float* x, float mean, long n)
        where V : unmanaged, ISimd<V> => Total<V, SquaresAboutMean>(new SquaresAboutMean(x, mean), 0, n);

    /// <summary>Σ x·y.</summary>
    public static double Dot<V>(float* x, float* y, long n)
        where V : unmanaged, ISimd<V> => Total<V, Products>(new Products(x, y), 0, n);

    private readonly struct Values(float* x) : ITerm
    {
        [MethodImpl(Inline)]
        public V At<V>(long i)
            where V : unmanaged, ISimd<V> => V.Load(x + i);
    }

    private readonly struct SquaresAboutMean(float* x, float mean) : ITerm
    {
        [MethodImpl(Inline)]
        public V At<V>(long i)
            where V : unmanaged, ISimd<V>
        {
            V d = V.Load(x + i) - V.Set(mean);
            return d * d;
        }
    }

    private readonly struct Products(float* x, float* y) : ITerm
    {
        [MethodImpl(Inline)]
        public V At<V>(long i)
            where V : unmanaged, ISimd<V> => V.Load(x + i) * V.Load(y + i);
    }
}
