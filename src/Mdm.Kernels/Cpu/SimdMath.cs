using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

/// <summary>Functions of one variable on vectors. The polynomials are near-minimax fits (Chebyshev interpolation) made for this
/// file; relative errors are against float64.</summary>
internal static class SimdMath
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    /// <summary>e^x to 2e-7. 0 below -87.7; saturates at 2.2e38 above 88.3; NaN stays NaN.</summary>
    [MethodImpl(Inline)]
    public static V Exp<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V c = V.Min(V.Set(88.3f), V.Max(V.Set(-88f), x));

        // Adding 1.5·2^23 rounds x/ln 2 to an integer n and leaves it in the low bits.
        V magic = V.Set(12582912f);
        V t = V.Fma(c, V.Set(1.44269504f), magic);
        V n = t - magic;
        V r = V.NegatedFma(n, V.Set(0.693359375f), c);
        r = V.Fma(n, V.Set(2.12194440e-4f), r);
        V p = V.Fma(V.Set(0.00139263759958f), r, V.Set(0.00836333308218f));
        p = V.Fma(p, r, V.Set(0.0416665534587f));
        p = V.Fma(p, r, V.Set(0.166665760623f));
        p = V.Fma(p, r, V.Set(0.5f));
        p = V.Fma(p, r, V.Set(1f));
        p = V.Fma(p, r, V.Set(1f));

        // 2^n by its exponent bits; n = -127 makes them, and the result, 0.
        return p * V.AddBits(V.ShiftLeftBits(t, 23), V.SetBits(0x3F800000));
    }

    /// <summary>1/(1+e^-x).</summary>
    [MethodImpl(Inline)]
    public static V Sigmoid<V>(V x)
        where V : unmanaged, ISimd<V> =>
        V.Reciprocal(V.Set(1f) + Exp(V.Set(0f) - x));

    [MethodImpl(Inline)]
    public static V Silu<V>(V x)
        where V : unmanaged, ISimd<V> => x * Sigmoid(x);

    /// <summary>d/dx x·σ(x) = σ·(1 + x·(1-σ)), with 1-σ as e^-x·σ, which does not cancel.</summary>
    [MethodImpl(Inline)]
    public static V SiluDerivative<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V e = Exp(V.Set(0f) - x);
        V s = V.Reciprocal(V.Set(1f) + e);
        return s * V.Fma(x * s, e, V.Set(1f));
    }

    [MethodImpl(Inline)]
    public static V Tanh<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V sign = V.AndBits(x, V.SetBits(0x80000000));
        V a = V.XorBits(x, sign);
        V large = V.Set(1f) - V.Set(2f) / (Exp(a + a) + V.Set(1f));
        V u = x * x;
        V p = V.Fma(V.Set(-0.00604516509652f), u, V.Set(0.0209613291086f));
        p = V.Fma(p, u, V.Set(-0.0538432631753f));
        p = V.Fma(p, u, V.Set(0.133327188456f));
        p = V.Fma(p, u, V.Set(-0.333333284333f));
        V small = V.Fma(p * u, x, x);
        return V.Select(V.Less(a, V.Set(0.625f)), small, V.OrBits(large, sign));
    }

    /// <summary>½·x·(1 + tanh(u)) = x·σ(2u) with u = √(2/π)·(x + 0.044715·x³).</summary>
    [MethodImpl(Inline)]
    public static V GeluTanh<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V c = WhereGeluBends(x);
        return x * Sigmoid(c * V.Fma(V.Set(0.0713548162726f), c * c, V.Set(1.59576912161f)));
    }

    /// <summary>σ + x·σ·(1-σ)·(2u)', with 1-σ as e^(-2u)·σ, which does not cancel.</summary>
    [MethodImpl(Inline)]
    public static V GeluTanhDerivative<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V c = WhereGeluBends(x), square = c * c;
        V e = Exp(V.Set(0f) - c * V.Fma(V.Set(0.0713548162726f), square, V.Set(1.59576912161f)));
        V s = V.Reciprocal(V.Set(1f) + e);
        V slope = V.Fma(V.Set(0.214064448818f), square, V.Set(1.59576912161f));
        return s * V.Fma(c * (e * s), slope, V.Set(1f));
    }

    // Beyond ±12 the sigmoid is 0 or 1 in float32; the cube of a large number would be infinite.
    [MethodImpl(Inline)]
    private static V WhereGeluBends<V>(V x)
        where V : unmanaged, ISimd<V> => V.Min(V.Set(12f), V.Max(V.Set(-12f), x));

    /// <summary>The normal distribution Φ(x) and its density φ(x). Φ keeps its relative accuracy far into the left tail:
    /// Φ(-|x|) = ½·e^(-x²/2)·t·P(t) with t = 1/(1+0.4·|x|/√2), where t·P(t) fits e^(z²)·erfc(z) for z up to 10.</summary>
    [MethodImpl(Inline)]
    public static V NormalCdf<V>(V x, out V density)
        where V : unmanaged, ISimd<V>
    {
        V a = V.AndBits(x, V.SetBits(0x7FFFFFFF));
        V t = V.Set(1f) / V.Fma(a, V.Set(0.28284271247f), V.Set(1f));
        V p = V.Fma(V.Set(-0.0335011268715f), t, V.Set(0.21878535613f));
        p = V.Fma(p, t, V.Set(-0.546502617759f));
        p = V.Fma(p, t, V.Set(0.609342180285f));
        p = V.Fma(p, t, V.Set(-0.334311876173f));
        p = V.Fma(p, t, V.Set(0.297973194581f));
        p = V.Fma(p, t, V.Set(0.121059982469f));
        p = V.Fma(p, t, V.Set(0.216689385959f));
        p = V.Fma(p, t, V.Set(0.224748665273f));
        p = V.Fma(p, t, V.Set(0.225716857437f));

        // What x² loses by rounding would be multiplied by x²/2 in the exponential: put it back.
        V square = x * x;
        V lost = V.Fma(x, x, V.Set(0f) - square);
        V e = Exp(square * V.Set(-0.5f));
        e = V.Fma(e, lost * V.Set(-0.5f), e);
        e = V.Select(V.Less(a, V.Set(13f)), e, V.Set(0f));
        density = e * V.Set(0.398942280401f);
        V tail = V.Set(0.5f) * e * t * p;
        return V.Select(V.Less(V.Set(0f), x), V.Set(1f) - tail, tail);
    }
}
