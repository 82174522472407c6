using Mdm.Kernels;
using static Mdm.CudaEmulator.Tests.KernelArrays;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Every cast rounds once, to nearest even, whatever is cast.</summary>
internal sealed class CastKernelTests(string order) : KernelFixture(order)
{
    private static readonly DType[] Reals = [DType.Float32, DType.BFloat16, DType.Float16, DType.Float64];

    [Test]
    public void Between_floating_point_types([ValueSource(nameof(Reals))] DType from, [ValueSource(nameof(Reals))] DType to,
        [Values(0, 1)] int shift)
    {
        double[] x = Array.ConvertAll(Interesting().ToArray(), v => Rounded(v, from));
        Ptr source = Arrays.New(from, x, shift), destination = Arrays.Empty(to, x.Length);
        Kernels.Cast(x.Length, source, destination);
        double[] found = Arrays.Read(destination, x.Length);
        for (int i = 0; i < x.Length; i++)
        {
            double expected = Rounded(x[i], to);
            Assert.That(BitConverter.DoubleToInt64Bits(found[i]) == BitConverter.DoubleToInt64Bits(expected)
                || (double.IsNaN(found[i]) && double.IsNaN(expected)), $"{x[i]:R} became {found[i]:R}, expected {expected:R}");
        }
    }

    [TestCase(DType.UInt8, new double[] { 0, 1, 127, 128, 255 })]
    [TestCase(DType.Int32, new double[] { 0, -1, 16777217, 16777219, 2147483647, -2147483648 })]
    [TestCase(DType.Int64, new double[] { 0, -1, 16777217, 9007199254740991, -9223372036854775808, 4611686018427387904 })]
    public void Integers_to_float32(DType from, double[] values)
    {
        double[] x = Enumerable.Range(0, 37).Select(i => values[i % values.Length]).ToArray();
        Ptr destination = Arrays.Empty(DType.Float32, x.Length);
        Kernels.Cast(x.Length, Arrays.New(from, x), destination);
        Assert.That(Arrays.Read(destination, x.Length), Is.EqualTo(Array.ConvertAll(x, v => (double)(float)v)));
    }

    /// <summary>Half of float32's unit above 2^40 and one more: through float64 alone it would be a tie.</summary>
    [Test]
    public void A_large_integer_is_rounded_once()
    {
        long[] x = [(1L << 62) + (1L << 38) + 1, -(1L << 62) - (1L << 38) - 1, (1L << 62) + (1L << 38)];
        Ptr source = Arrays.Raw(DType.Int64, System.Runtime.InteropServices.MemoryMarshal.AsBytes(x.AsSpan()).ToArray());
        Ptr destination = Arrays.Empty(DType.Float32, 3);
        Kernels.Cast(3, source, destination);
        double up = Math.ScaleB(1, 62) + Math.ScaleB(1, 39);
        Assert.That(Arrays.Read(destination, 3), Is.EqualTo(new[] { up, -up, Math.ScaleB(1, 62) }));
    }

    [Test]
    public void There_is_no_cast_to_integers()
    {
        Ptr x = Arrays.New(DType.Float32, [1]), y = Arrays.New(DType.Int32, [1]);
        Assert.That(() => Kernels.Cast(1, x, y),
            Throws.ArgumentException.With.Message.StartsWith("no cast from Float32 to Int32"));
    }

    private static double Rounded(double v, DType type) => type switch
    {
        DType.Float32 => KernelArrays.Rounded(v, 24, -126, 127),
        DType.BFloat16 => ToBFloat16(v),
        DType.Float16 => KernelArrays.Rounded(v, 11, -14, 15),
        _ => v,
    };

    /// <summary>Zeros, infinities, NaN, and around every power of two that matters to a type: ties, just beside ties, the
    /// smallest and largest numbers.</summary>
    private static IEnumerable<double> Interesting()
    {
        const double Last = 1.0 / (1 << 24);
        double[] mantissas = [1, 1 + 1.0 / 256, 1 + 3.0 / 256, 1 + 1.0 / 2048, 1 + 3.0 / 2048, 2 - 1.0 / 256, 2 - 1.0 / 512,
            2 - 1.0 / 2048, 2 - 1.0 / 4096, 1 + Last, 1 + 3 * Last, 2 - Last, 2 - Last / 2, 4.0 / 3];
        int[] exponents = [-1074, -160, -150, -149, -148, -135, -134, -133, -127, -126, -125, -40, -26, -25, -24, -23, -15, -14,
            -13, -1, 0, 1, 14, 15, 16, 126, 127, 128, 1000];
        yield return 0;
        yield return -0.0;
        yield return double.NaN;
        yield return double.PositiveInfinity;
        yield return double.NegativeInfinity;
        foreach (int exponent in exponents)
            foreach (double mantissa in mantissas)
                foreach (double beside in new[] { 0, 1e-12, -1e-12 })
                {
                    double v = Math.ScaleB(mantissa * (1 + beside), exponent);
                    yield return v;
                    yield return -v;
                }
    }
}
