using Mdm.Kernels.Cpu;
using Mdm.Tests;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed class ElementwiseTests(CpuLevel level) : LevelFixture(level)
{
    private static readonly int[] Sizes = [1, 7, 16, 33, 1023, 40_001];

    private static double Reference(UnaryFunction f, double x) => f switch
    {
        UnaryFunction.Silu => x / (1 + Math.Exp(-x)),
        UnaryFunction.Gelu => NormalDistribution.Gelu(x),
        UnaryFunction.GeluTanh => x / (1 + Math.Exp(-Math.Sqrt(8 / Math.PI) * (x + 0.044715 * x * x * x))),
        _ => Math.Tanh(x),
    };

    private static double Slope(UnaryFunction f, double x)
    {
        double h = 1e-4 * Math.Max(1, Math.Abs(x));
        double near = (Reference(f, x + h) - Reference(f, x - h)) / (2 * h);
        double far = (Reference(f, x + 2 * h) - Reference(f, x - 2 * h)) / (4 * h);
        return (4 * near - far) / 3;
    }

    [Test]
    public void Unary_functions_and_their_gradients(
        [Values] UnaryFunction f, [ValueSource(nameof(Sizes))] int n, [Values] bool inPlace)
    {
        float[] x = Random(n, 1, 2), dy = Random(n, 2), y = inPlace ? Copy(x) : Zeros(n);
        Kernels.Unary(f, n, Ptr(inPlace ? y : x), Ptr(y));
        Near(y, Array.ConvertAll(x, v => Reference(f, v)), 2e-7);

        double[] expected = x.Select((v, i) => Slope(f, v) * dy[i]).ToArray();
        float[] dx = inPlace ? Copy(dy) : Filled(n, float.NaN);
        Kernels.UnaryBackward(f, n, Ptr(x), Ptr(inPlace ? dx : dy), Into(dx));
        Near(dx, expected, 3e-7);

        float[] sum = Filled(n, 1f);
        Kernels.UnaryBackward(f, n, Ptr(x), Ptr(dy), AddTo(sum));
        Near(sum, Array.ConvertAll(expected, v => v + 1), 3e-7);
        Kernels.UnaryBackward(f, n, Ptr(x), Ptr(dy), Target.None);
    }

    [Test]
    public void Unary_functions_are_accurate_everywhere([Values] UnaryFunction f)
    {
        float[] x = Zeros(200_001), y = Zeros(x.Length), dx = Zeros(x.Length), one = Filled(x.Length, 1);
        for (int i = 0; i < x.Length; i++)
            x[i] = (i - 100_000) * 1e-4f;
        Kernels.Unary(f, x.Length, Ptr(x), Ptr(y));
        Kernels.UnaryBackward(f, x.Length, Ptr(x), Ptr(one), Into(dx));
        double worst = 0, worstSlope = 0;
        for (int i = 0; i < x.Length; i++)
        {
            double expected = Reference(f, x[i]);
            worst = Math.Max(worst, Math.Abs(y[i] - expected) / Math.Max(1e-30, Math.Abs(expected)));
            if (i % 10 == 0)
                worstSlope = Math.Max(worstSlope, Math.Abs(dx[i] - Slope(f, x[i])));
        }

        TestContext.Out.WriteLine($"{f}: value {worst:e2}, slope {worstSlope:e2}");
        // The left tail of GeluTanh is e^-89 at -10, whose exponent has the rounding error of its cube.
        double limit = f == UnaryFunction.GeluTanh ? 2e-5 : 1e-6;
        Assert.That(worst, Is.LessThan(limit), "relative error of the value");
        Assert.That(worstSlope, Is.LessThan(5e-7), "error of the slope");
    }

    [Test]
    public void Extreme_values_saturate_and_nan_stays([Values] UnaryFunction f)
    {
        float[] x = Zeros(20), y = Zeros(20);
        (x[0], x[1], x[2], x[3], x[4]) = (1e30f, -1e30f, float.NaN, 100f, -100f);
        Kernels.Unary(f, 20, Ptr(x), Ptr(y));
        double high = f == UnaryFunction.Tanh ? 1 : 1e30;
        Assert.Multiple(() =>
        {
            Assert.That(y[0], Is.EqualTo((float)high));
            Assert.That(y[1], Is.EqualTo(f == UnaryFunction.Tanh ? -1 : 0).Within(1e-7));
            Assert.That(y[2], Is.NaN);
            Assert.That(y[3], Is.EqualTo(f == UnaryFunction.Tanh ? 1 : 100).Within(1e-5));
            Assert.That(y[4], Is.EqualTo(f == UnaryFunction.Tanh ? -1 : 0).Within(1e-7));
            Assert.That(y[5], Is.Zero);
        });
    }

    [Test]
    public void Clamp_and_its_gradient([ValueSource(nameof(Sizes))] int n)
    {
        float[] x = Random(n, 3), dy = Random(n, 4), y = Zeros(n), dx = Filled(n, 2);
        x[0] = 0.5f;
        Kernels.Clamp(n, -0.25f, 0.5f, Ptr(x), Ptr(y));
        Kernels.ClampBackward(n, -0.25f, 0.5f, Ptr(x), Ptr(dy), AddTo(dx));
        Assert.That(y, Is.EqualTo(Array.ConvertAll(x, v => Math.Clamp(v, -0.25f, 0.5f))));
        Assert.That(dx, Is.EqualTo(x.Select((v, i) => v is >= -0.25f and <= 0.5f ? 2 + dy[i] : 2)));
    }

    [Test]
    public void Combinations_and_products([ValueSource(nameof(Sizes))] int n, [Values] bool accumulate)
    {
        float[] x = Random(n, 5), y = Random(n, 6), z = Filled(n, 3);
        double start = accumulate ? 3 : 0;
        Kernels.LinearCombination(n, 2, Ptr(x), -0.5f, Ptr(y), new Target(Ptr(z), accumulate));
        Near(z, x.Select((v, i) => start + 2.0 * v - 0.5 * y[i]).ToArray(), 2e-7);
        Array.Fill(z, 3);
        Kernels.LinearCombination(n, 2, Ptr(x), 7, Missing, new Target(Ptr(z), accumulate));
        Near(z, x.Select(v => start + 2.0 * v).ToArray(), 2e-7);
        Array.Fill(z, 3);
        Kernels.Multiply(n, Ptr(x), Ptr(y), new Target(Ptr(z), accumulate));
        Near(z, x.Select((v, i) => start + (double)v * y[i]).ToArray(), 2e-7);

        float[] inPlace = Copy(x);
        Kernels.LinearCombination(n, 1, Ptr(inPlace), 1, Ptr(inPlace), Into(inPlace));
        Assert.That(inPlace, Is.EqualTo(Array.ConvertAll(x, v => 2 * v)));
    }

    private static Ptr Missing => Mdm.Kernels.Ptr.None;

    [TestCase(1, 1)]
    [TestCase(5, 3)]
    [TestCase(3, 20_011)]
    [TestCase(200, 17)]
    public void Combinations_per_sample(int batch, int inner)
    {
        float[] a = Random(batch, 1), b = Random(batch, 2), x = Random(batch * inner, 3), y = Random(batch * inner, 4);
        float[] z = Zeros(batch * inner), limit = Filled(batch, 0.5f);
        limit[0] = 2;
        Kernels.SampleCombination(batch, inner, Ptr(a), Ptr(x), Ptr(b), Ptr(y), Into(z));
        Near(z, x.Select((v, i) => (double)a[i / inner] * v + (double)b[i / inner] * y[i]).ToArray(), 2e-7);
        Kernels.SampleCombination(batch, inner, Ptr(a), Ptr(x), Missing, Missing, AddTo(z));
        Near(z, x.Select((v, i) => 2.0 * a[i / inner] * v + (double)b[i / inner] * y[i]).ToArray(), 3e-7);
        Kernels.ClampToUnit(batch, inner, Ptr(limit), Ptr(x), Ptr(z));
        double Limit(int i) => limit[i / inner];
        Near(z, x.Select((v, i) => Math.Clamp(v, -Limit(i), Limit(i)) / Limit(i)).ToArray(), 1e-7);
    }

    [Test]
    public void Fill_zero_and_rows()
    {
        float[] y = Filled(1001, 7);
        Kernels.Fill(1000, 2.5f, Ptr(y));
        Assert.That(y.Take(1000), Is.All.EqualTo(2.5f));
        Assert.That(y[1000], Is.EqualTo(7));
        Kernels.Zero(4 * 999, Ptr(y).Address);
        Assert.That(y.Take(999), Is.All.Zero);
        Assert.That(y[999], Is.EqualTo(2.5f));

        float[] x = Random(5 * 11, 1), z = Filled(5 * 40, 1);
        Kernels.CopyRows(5, 7, new Rows(Ptr(x), 11), new RowsTarget(Ptr(z) + 3, 40, false));
        Kernels.CopyRows(5, 7, new Rows(Ptr(x), 11), new RowsTarget(Ptr(z) + 20, 40, true));
        for (int r = 0; r < 5; r++)
            for (int c = 0; c < 40; c++)
                Assert.That(z[r * 40 + c], Is.EqualTo(c is >= 3 and < 10 ? x[r * 11 + c - 3]
                    : c is >= 20 and < 27 ? 1 + x[r * 11 + c - 20] : 1), $"row {r}, column {c}");
    }

    [Test]
    public void Casts_round_once_to_nearest_even()
    {
        double[] values = New<double>(8);
        (values[0], values[1], values[2], values[3]) = (1.00390625, 1.01171875, 1.00390625 + 1e-12, -1.01171875 - 1e-12);
        (values[4], values[5], values[6], values[7]) = (double.NaN, double.NegativeInfinity, 3.3e38, 1e300);
        ushort[] bits = New<ushort>(8);
        Kernels.Cast(8, Ptr(values, DType.Float64), Ptr(bits, DType.BFloat16));
        Assert.That(bits, Is.EqualTo(new ushort[] { 0x3F80, 0x3F82, 0x3F81, 0xBF82, 0x7FC0, 0xFF80, 0x7F78, 0x7F80 })
            .Or.EqualTo(new ushort[] { 0x3F80, 0x3F82, 0x3F81, 0xBF82, 0xFFC0, 0xFF80, 0x7F78, 0x7F80 }));

        float[] back = Zeros(8);
        Kernels.Cast(8, Ptr(bits, DType.BFloat16), Ptr(back));
        Assert.That(back[2], Is.EqualTo(1.0078125f));
        Half[] halves = New<Half>(8);
        Kernels.Cast(8, Ptr(values, DType.Float64), Ptr(halves, DType.Float16));
        Assert.That(halves, Is.EqualTo(Array.ConvertAll(values, v => (Half)v)));

        byte[] bytes = New<byte>(2);
        (bytes[0], bytes[1]) = (3, 255);
        Kernels.Cast(2, Ptr(bytes, DType.UInt8), Ptr(back));
        Assert.That(back.Take(2), Is.EqualTo(new[] { 3f, 255f }));
        long[] longs = New<long>(4);
        (longs[0], longs[1], longs[2], longs[3]) = (-5, (1L << 60) + (1L << 36) + 1, long.MinValue, (1L << 60) + (1L << 36));
        Kernels.Cast(4, Ptr(longs, DType.Int64), Ptr(back));
        Assert.That(back.Take(4), Is.EqualTo(new[] { -5f, 1.15292164e18f, -9.223372e18f, 1.15292150e18f }));
        Assert.That(() => Kernels.Cast(2, Ptr(back), Ptr(bytes, DType.UInt8)), Throws.ArgumentException);
    }
}
