namespace Mdm.Kernels.Cpu;

/// <summary>Some float32 lanes side by side. A loop written over V runs at every <see cref="CpuLevel"/>: the compiler makes one
/// copy per implementing structure. Arithmetic is IEEE single precision and gives the same bits at every width.
/// "Bits" operations take the lanes as 32-bit integers.</summary>
internal unsafe interface ISimd<V>
    where V : unmanaged, ISimd<V>
{
    /// <summary>Lanes.</summary>
    static abstract int Width { get; }

    static abstract V Load(float* p);

    static abstract V Set(float value);

    static abstract V SetBits(uint bits);

    static abstract void Store(float* p, V v);

    /// <summary>Past the caches; p must be aligned to the vector's size. End the piece with <see cref="Fence"/>.</summary>
    static abstract void StoreStreaming(float* p, V v);

    static abstract void Fence();

    static abstract V operator +(V a, V b);

    static abstract V operator -(V a, V b);

    static abstract V operator *(V a, V b);

    static abstract V operator /(V a, V b);

    /// <summary>1/a to 1e-7, for a that is finite and not 0 (not the same bits at every width).</summary>
    static abstract V Reciprocal(V a);

    /// <summary>a·b + c, rounded once.</summary>
    static abstract V Fma(V a, V b, V c);

    /// <summary>c - a·b, rounded once.</summary>
    static abstract V NegatedFma(V a, V b, V c);

    /// <summary>a &gt; b ? a : b per lane: a NaN in b comes through.</summary>
    static abstract V Max(V a, V b);

    /// <summary>a &lt; b ? a : b per lane: a NaN in b comes through.</summary>
    static abstract V Min(V a, V b);

    static abstract V Sqrt(V a);

    /// <summary>All bits set where a &lt; b.</summary>
    static abstract V Less(V a, V b);

    /// <summary>a where the mask is set, else b.</summary>
    static abstract V Select(V mask, V a, V b);

    static abstract V AndBits(V a, V b);

    static abstract V OrBits(V a, V b);

    static abstract V XorBits(V a, V b);

    static abstract V AddBits(V a, V b);

    static abstract V SubtractBits(V a, V b);

    static abstract V ShiftLeftBits(V a, int count);

    /// <summary>Zeros come in from the left.</summary>
    static abstract V ShiftRightBits(V a, int count);

    /// <summary>Copies of the sign bit come in from the left.</summary>
    static abstract V ShiftRightSignedBits(V a, int count);

    /// <summary>All bits set where the integers are equal.</summary>
    static abstract V EqualBits(V a, V b);

    /// <summary>The signed integers in the lanes as float32.</summary>
    static abstract V IntegersToFloat(V bits);

    /// <summary>Sum over the lanes, in a fixed order.</summary>
    static abstract float Sum(V a);

    static abstract float Max(V a);

    /// <summary>Σ x², every product and sum in float64.</summary>
    static abstract double SumOfSquares(float* x, int n);
}
