using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu;

/// <summary>16 lanes; needs <see cref="CpuLevel.Avx512"/>.</summary>
internal readonly unsafe struct F512(Vector512<float> value) : ISimd<F512>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    private readonly Vector512<float> value = value;

    public static int Width => 16;

    [MethodImpl(Inline)]
    public static F512 Load(float* p) => new(Vector512.Load(p));

    [MethodImpl(Inline)]
    public static F512 Set(float value) => new(Vector512.Create(value));

    [MethodImpl(Inline)]
    public static F512 SetBits(uint bits) => new(Vector512.Create(bits).AsSingle());

    [MethodImpl(Inline)]
    public static void Store(float* p, F512 v) => v.value.Store(p);

    [MethodImpl(Inline)]
    public static void StoreStreaming(float* p, F512 v) => Avx512F.StoreAlignedNonTemporal(p, v.value);

    public static void Fence() => Sse.StoreFence();

    [MethodImpl(Inline)]
    public static F512 operator +(F512 a, F512 b) => new(a.value + b.value);

    [MethodImpl(Inline)]
    public static F512 operator -(F512 a, F512 b) => new(a.value - b.value);

    [MethodImpl(Inline)]
    public static F512 operator *(F512 a, F512 b) => new(a.value * b.value);

    [MethodImpl(Inline)]
    public static F512 operator /(F512 a, F512 b) => new(a.value / b.value);

    /// <summary>14 bits from the processor and one step of Newton's: a division takes three times as long.</summary>
    [MethodImpl(Inline)]
    public static F512 Reciprocal(F512 a)
    {
        Vector512<float> r = Avx512F.Reciprocal14(a.value);
        return new(Avx512F.FusedMultiplyAdd(r, Avx512F.FusedMultiplyAddNegated(a.value, r, Vector512<float>.One), r));
    }

    [MethodImpl(Inline)]
    public static F512 Fma(F512 a, F512 b, F512 c) =>
        new(Avx512F.FusedMultiplyAdd(a.value, b.value, c.value));

    [MethodImpl(Inline)]
    public static F512 NegatedFma(F512 a, F512 b, F512 c) =>
        new(Avx512F.FusedMultiplyAddNegated(a.value, b.value, c.value));

    [MethodImpl(Inline)]
    public static F512 Max(F512 a, F512 b) => new(Avx512F.Max(a.value, b.value));

    [MethodImpl(Inline)]
    public static F512 Min(F512 a, F512 b) => new(Avx512F.Min(a.value, b.value));

    [MethodImpl(Inline)]
    public static F512 Sqrt(F512 a) => new(Vector512.Sqrt(a.value));

    [MethodImpl(Inline)]
    public static F512 Less(F512 a, F512 b) => new(Vector512.LessThan(a.value, b.value));

    [MethodImpl(Inline)]
    public static F512 Select(F512 mask, F512 a, F512 b) => new(Vector512.ConditionalSelect(mask.value, a.value, b.value));

    [MethodImpl(Inline)]
    public static F512 AndBits(F512 a, F512 b) => new(a.value & b.value);

    [MethodImpl(Inline)]
    public static F512 OrBits(F512 a, F512 b) => new(a.value | b.value);

    [MethodImpl(Inline)]
    public static F512 XorBits(F512 a, F512 b) => new(a.value ^ b.value);

    [MethodImpl(Inline)]
    public static F512 AddBits(F512 a, F512 b) => new((a.value.AsInt32() + b.value.AsInt32()).AsSingle());

    [MethodImpl(Inline)]
    public static F512 SubtractBits(F512 a, F512 b) => new((a.value.AsInt32() - b.value.AsInt32()).AsSingle());

    [MethodImpl(Inline)]
    public static F512 ShiftLeftBits(F512 a, int count) => new((a.value.AsInt32() << count).AsSingle());

    [MethodImpl(Inline)]
    public static F512 ShiftRightBits(F512 a, int count) => new((a.value.AsUInt32() >> count).AsSingle());

    [MethodImpl(Inline)]
    public static F512 ShiftRightSignedBits(F512 a, int count) => new((a.value.AsInt32() >> count).AsSingle());

    [MethodImpl(Inline)]
    public static F512 EqualBits(F512 a, F512 b) => new(Vector512.Equals(a.value.AsInt32(), b.value.AsInt32()).AsSingle());

    [MethodImpl(Inline)]
    public static F512 IntegersToFloat(F512 bits) => new(Vector512.ConvertToSingle(bits.value.AsInt32()));

    [MethodImpl(Inline)]
    public static float Sum(F512 a) => Vector512.Sum(a.value);

    [MethodImpl(Inline)]
    public static float Max(F512 a)
    {
        Vector256<float> m = Avx.Max(a.value.GetLower(), a.value.GetUpper());
        Vector128<float> h = Sse.Max(m.GetLower(), m.GetUpper());
        h = Sse.Max(h, Sse.MoveHighToLow(h, h));
        return Sse.MaxScalar(h, Sse.Shuffle(h, h, 1)).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double SumOfSquares(float* x, int n)
    {
        Vector512<double> s0 = default, s1 = default;
        int i = 0;
        for (; i + 16 <= n; i += 16)
        {
            (Vector512<double> a, Vector512<double> b) = Vector512.Widen(Vector512.Load(x + i));
            s0 += a * a;
            s1 += b * b;
        }

        double sum = Vector512.Sum(s0 + s1);
        for (; i < n; i++)
            sum += (double)x[i] * x[i];
        return sum;
    }
}
