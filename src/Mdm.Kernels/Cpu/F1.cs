using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

/// <summary>One lane: the plain level, and the ends of vector loops.</summary>
internal readonly unsafe struct F1(float value) : ISimd<F1>
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    private readonly float value = value;

    private int Bits => BitConverter.SingleToInt32Bits(value);

    public static int Width => 1;

    [MethodImpl(Inline)]
    public static F1 Load(float* p) => new(*p);

    [MethodImpl(Inline)]
    public static F1 Set(float value) => new(value);

    [MethodImpl(Inline)]
    public static F1 SetBits(uint bits) => new(BitConverter.UInt32BitsToSingle(bits));

    [MethodImpl(Inline)]
    public static void Store(float* p, F1 v) => *p = v.value;

    [MethodImpl(Inline)]
    public static void StoreStreaming(float* p, F1 v) => *p = v.value;

    public static void Fence()
    {
    }

    [MethodImpl(Inline)]
    public static F1 operator +(F1 a, F1 b) => new(a.value + b.value);

    [MethodImpl(Inline)]
    public static F1 operator -(F1 a, F1 b) => new(a.value - b.value);

    [MethodImpl(Inline)]
    public static F1 operator *(F1 a, F1 b) => new(a.value * b.value);

    [MethodImpl(Inline)]
    public static F1 operator /(F1 a, F1 b) => new(a.value / b.value);

    [MethodImpl(Inline)]
    public static F1 Reciprocal(F1 a) => new(1f / a.value);

    [MethodImpl(Inline)]
    public static F1 Fma(F1 a, F1 b, F1 c) => new(MathF.FusedMultiplyAdd(a.value, b.value, c.value));

    [MethodImpl(Inline)]
    public static F1 NegatedFma(F1 a, F1 b, F1 c) => new(MathF.FusedMultiplyAdd(-a.value, b.value, c.value));

    [MethodImpl(Inline)]
    public static F1 Max(F1 a, F1 b) => a.value > b.value ? a : b;

    [MethodImpl(Inline)]
    public static F1 Min(F1 a, F1 b) => a.value < b.value ? a : b;

    [MethodImpl(Inline)]
    public static F1 Sqrt(F1 a) => new(MathF.Sqrt(a.value));

    [MethodImpl(Inline)]
    public static F1 Less(F1 a, F1 b) => FromBits(a.value < b.value ? -1 : 0);

    [MethodImpl(Inline)]
    public static F1 Select(F1 mask, F1 a, F1 b) => mask.Bits != 0 ? a : b;

    [MethodImpl(Inline)]
    public static F1 AndBits(F1 a, F1 b) => FromBits(a.Bits & b.Bits);

    [MethodImpl(Inline)]
    public static F1 OrBits(F1 a, F1 b) => FromBits(a.Bits | b.Bits);

    [MethodImpl(Inline)]
    public static F1 XorBits(F1 a, F1 b) => FromBits(a.Bits ^ b.Bits);

    [MethodImpl(Inline)]
    public static F1 AddBits(F1 a, F1 b) => FromBits(a.Bits + b.Bits);

    [MethodImpl(Inline)]
    public static F1 SubtractBits(F1 a, F1 b) => FromBits(a.Bits - b.Bits);

    [MethodImpl(Inline)]
    public static F1 ShiftLeftBits(F1 a, int count) => FromBits(a.Bits << count);

    [MethodImpl(Inline)]
    public static F1 ShiftRightBits(F1 a, int count) => FromBits(a.Bits >>> count);

    [MethodImpl(Inline)]
    public static F1 ShiftRightSignedBits(F1 a, int count) => FromBits(a.Bits >> count);

    [MethodImpl(Inline)]
    public static F1 EqualBits(F1 a, F1 b) => FromBits(a.Bits == b.Bits ? -1 : 0);

    [MethodImpl(Inline)]
    public static F1 IntegersToFloat(F1 bits) => new(bits.Bits);

    [MethodImpl(Inline)]
    public static float Sum(F1 a) => a.value;

    [MethodImpl(Inline)]
    public static float Max(F1 a) => a.value;

    public static double SumOfSquares(float* x, int n)
    {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += (double)x[i] * x[i];
        return sum;
    }

    [MethodImpl(Inline)]
    private static F1 FromBits(int bits) => new(BitConverter.Int32BitsToSingle(bits));
}
