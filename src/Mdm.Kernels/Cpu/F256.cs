using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu;

/// <summary>8 lanes; needs <see cref="CpuLevel.Avx2"/>.</summary>
internal readonly unsafe struct F256(Vector256<float> value) : ISimd<F256>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    private readonly Vector256<float> value = value;

    public static int Width => 8;

    [MethodImpl(Inline)]
    public static F256 Load(float* p) => new(Vector256.Load(p));

    [MethodImpl(Inline)]
    public static F256 Set(float value) => new(Vector256.Create(value));

    [MethodImpl(Inline)]
    public static F256 SetBits(uint bits) => new(Vector256.Create(bits).AsSingle());

    [MethodImpl(Inline)]
    public static void Store(float* p, F256 v) => v.value.Store(p);

    [MethodImpl(Inline)]
    public static void StoreStreaming(float* p, F256 v) => Avx.StoreAlignedNonTemporal(p, v.value);

    public static void Fence() => Sse.StoreFence();

    [MethodImpl(Inline)]
    public static F256 operator +(F256 a, F256 b) => new(a.value + b.value);

    [MethodImpl(Inline)]
    public static F256 operator -(F256 a, F256 b) => new(a.value - b.value);

    [MethodImpl(Inline)]
    public static F256 operator *(F256 a, F256 b) => new(a.value * b.value);

    [MethodImpl(Inline)]
    public static F256 operator /(F256 a, F256 b) => new(a.value / b.value);

    [MethodImpl(Inline)]
    public static F256 Reciprocal(F256 a) => new(Vector256<float>.One / a.value);

    [MethodImpl(Inline)]
    public static F256 Fma(F256 a, F256 b, F256 c) =>
        new(System.Runtime.Intrinsics.X86.Fma.MultiplyAdd(a.value, b.value, c.value));

    [MethodImpl(Inline)]
    public static F256 NegatedFma(F256 a, F256 b, F256 c) =>
        new(System.Runtime.Intrinsics.X86.Fma.MultiplyAddNegated(a.value, b.value, c.value));

    [MethodImpl(Inline)]
    public static F256 Max(F256 a, F256 b) => new(Avx.Max(a.value, b.value));

    [MethodImpl(Inline)]
    public static F256 Min(F256 a, F256 b) => new(Avx.Min(a.value, b.value));

    [MethodImpl(Inline)]
    public static F256 Sqrt(F256 a) => new(Vector256.Sqrt(a.value));

    [MethodImpl(Inline)]
    public static F256 Less(F256 a, F256 b) => new(Vector256.LessThan(a.value, b.value));

    [MethodImpl(Inline)]
    public static F256 Select(F256 mask, F256 a, F256 b) => new(Vector256.ConditionalSelect(mask.value, a.value, b.value));

    [MethodImpl(Inline)]
    public static F256 AndBits(F256 a, F256 b) => new(a.value & b.value);

    [MethodImpl(Inline)]
    public static F256 OrBits(F256 a, F256 b) => new(a.value | b.value);

    [MethodImpl(Inline)]
    public static F256 XorBits(F256 a, F256 b) => new(a.value ^ b.value);

    [MethodImpl(Inline)]
    public static F256 AddBits(F256 a, F256 b) => new((a.value.AsInt32() + b.value.AsInt32()).AsSingle());

    [MethodImpl(Inline)]
    public static F256 SubtractBits(F256 a, F256 b) => new((a.value.AsInt32() - b.value.AsInt32()).AsSingle());

    [MethodImpl(Inline)]
    public static F256 ShiftLeftBits(F256 a, int count) => new((a.value.AsInt32() << count).AsSingle());

    [MethodImpl(Inline)]
    public static F256 ShiftRightBits(F256 a, int count) => new((a.value.AsUInt32() >> count).AsSingle());

    [MethodImpl(Inline)]
    public static F256 ShiftRightSignedBits(F256 a, int count) => new((a.value.AsInt32() >> count).AsSingle());

    [MethodImpl(Inline)]
    public static F256 EqualBits(F256 a, F256 b) => new(Vector256.Equals(a.value.AsInt32(), b.value.AsInt32()).AsSingle());

    [MethodImpl(Inline)]
    public static F256 IntegersToFloat(F256 bits) => new(Vector256.ConvertToSingle(bits.value.AsInt32()));

    [MethodImpl(Inline)]
    public static float Sum(F256 a) => Vector256.Sum(a.value);

    [MethodImpl(Inline)]
    public static float Max(F256 a)
    {
        Vector128<float> h = Sse.Max(a.value.GetLower(), a.value.GetUpper());
        h = Sse.Max(h, Sse.MoveHighToLow(h, h));
        return Sse.MaxScalar(h, Sse.Shuffle(h, h, 1)).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double SumOfSquares(float* x, int n)
    {
        Vector256<double> s0 = default, s1 = default;
        int i = 0;
        for (; i + 8 <= n; i += 8)
        {
            (Vector256<double> a, Vector256<double> b) = Vector256.Widen(Vector256.Load(x + i));
            s0 += a * a;
            s1 += b * b;
        }

        double sum = Vector256.Sum(s0 + s1);
        for (; i < n; i++)
            sum += (double)x[i] * x[i];
        return sum;
    }
}
