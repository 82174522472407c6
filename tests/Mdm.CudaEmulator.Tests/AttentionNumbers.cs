using Mdm.Kernels;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Which keys of a test count.</summary>
public enum Masked
{
    No,
    Some,
    AllButOne,

    /// <summary>The first sample has no key at all.</summary>
    OneSample,
}

/// <summary>Inputs of tests of attention.</summary>
internal static class AttentionNumbers
{
    public static double[] Twice(double[] x) => Array.ConvertAll(x, y => 2 * y);

    public static double Norm(double[] x) => Math.Sqrt(x.Sum(y => y * y));

    /// <summary>Numbers that either type can represent.</summary>
    public static double[] Draw(int n, int seed, double range = 1)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, n).Select(_ => range * (random.Next(-128, 128) / 128.0))];
    }

    public static double[]? DrawMask(Masked mask, AttentionShape s) => mask == Masked.No ? null :
    [
        .. Enumerable.Range(0, s.Batch * s.Keys).Select(i => mask switch
        {
            Masked.AllButOne => i % s.Keys == s.Keys - 1 ? 1.0 : 0,
            Masked.OneSample => i < s.Keys ? 0.0 : 1,
            _ => i % 3 == 1 ? 0.0 : 1,
        }),
    ];
}
