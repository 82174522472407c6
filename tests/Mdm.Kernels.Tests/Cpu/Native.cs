using Mdm.Kernels;
using Mdm.Kernels.Cpu;

namespace Mdm.Kernels.Tests.Cpu;

/// <summary>A float array in native memory, with guard values on both sides and a 64-byte aligned start (or one shifted by some
/// elements).</summary>
internal sealed unsafe class Native : IDisposable
{
    private const int Guard = 64;
    private const float GuardValue = -12345.5f;

    private readonly float* block;

    public Native(int length, int shift = 0)
    {
        Length = length;
        Total = length + 2 * Guard + shift;
        block = (float*)System.Runtime.InteropServices.NativeMemory.AlignedAlloc((nuint)Total * 4, 64);
        new Span<float>(block, Total).Fill(GuardValue);
        Address = block + Guard + shift;
    }

    public int Length { get; }

    public float* Address { get; }

    public Ptr Ptr => new((nint)Address, DType.Float32);

    public Span<float> Span => new(Address, Length);

    public double[] Values => Array.ConvertAll(Span.ToArray(), x => (double)x);

    private int Total { get; }

    public static Native Random(Random random, int length, int shift = 0)
    {
        var made = new Native(length, shift);
        foreach (ref float value in made.Span)
            value = (float)(random.NextDouble() * 2 - 1);
        return made;
    }

    /// <summary>Whether nothing was written outside.</summary>
    public bool GuardsIntact()
    {
        for (float* p = block; p < Address; p++)
            if (*p != GuardValue)
                return false;
        for (float* p = Address + Length; p < block + Total; p++)
            if (*p != GuardValue)
                return false;
        return true;
    }

    /// <summary>‖this - expected‖ / ‖expected‖.</summary>
    public double RelativeError(double[] expected) => Mdm.Tests.RelativeError.Of(Values, expected);

    public void Dispose() => System.Runtime.InteropServices.NativeMemory.AlignedFree(block);
}
