using Mdm.Kernels;
using Mdm.Tests;
using static Mdm.CudaEmulator.Tests.KernelArrays;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Elementwise kernels against float64, with sizes and addresses that are no multiples of a vector.</summary>
internal sealed class ElementwiseKernelTests(string order) : KernelFixture(order)
{
    private static readonly (int N, int Shift, int OtherShift)[] Places =
        [(1, 0, 0), (7, 1, 1), (64, 0, 0), (1003, 0, 0), (1003, 3, 3), (1003, 0, 1), (40_001, 5, 5)];

    [Test]
    public void Functions_and_their_gradients(
        [Values] UnaryFunction f, [ValueSource(nameof(Activations))] DType type,
        [ValueSource(nameof(Places))] (int, int, int) place)
    {
        (int n, int shift, int other) = place;
        double[] x = Random(n, 1, 6), dy = Random(n, 2), before = Random(n, 3);
        Ptr px = Arrays.New(type, x, shift), pdy = Arrays.New(type, dy, shift);
        Ptr y = Arrays.Empty(type, n, other), dx = Arrays.New(type, before, other);
        Kernels.Unary(f, n, px, y);
        Near(Arrays.Read(y, n), Array.ConvertAll(x, v => Value(f, v)), type);
        Kernels.UnaryBackward(f, n, px, pdy, AddTo(dx));
        double[] slope = new double[n];
        for (int i = 0; i < n; i++)
            slope[i] = dy[i] * (Value(f, x[i] + 1e-5) - Value(f, x[i] - 1e-5)) / 2e-5;
        Near(Arrays.Read(dx, n), slope.Zip(before, (a, b) => a + b).ToArray(), type);
        Kernels.UnaryBackward(f, n, px, pdy, Into(pdy));
        Near(Arrays.Read(pdy, n), slope, type);
        Kernels.Unary(f, n, px, px);
        Near(Arrays.Read(px, n), Array.ConvertAll(x, v => Value(f, v)), type);
    }

    [Test]
    public void Far_out_functions_neither_overflow_nor_lose_their_sign([Values] UnaryFunction f,
        [ValueSource(nameof(Activations))] DType type)
    {
        double[] x = [-1e30, -3e4, -200, -30, 30, 200, 3e4, 1e30];
        Ptr px = Arrays.New(type, x), ones = Arrays.New(type, Filled(8, 1)), y = Arrays.Empty(type, 8);
        Kernels.Unary(f, 8, px, y);
        double[] value = Arrays.Read(y, 8);
        Kernels.UnaryBackward(f, 8, px, ones, Into(y));
        double[] slope = Arrays.Read(y, 8);
        for (int i = 0; i < 8; i++)
        {
            bool right = i >= 4;
            double limit = f == UnaryFunction.Tanh ? Math.Sign(x[i]) : right ? ToBFloat16(x[i]) : 0;
            Assert.That(value[i], Is.EqualTo(limit).Within(1e-6 + 4e-3 * Math.Abs(limit)), $"value at {x[i]}");
            Assert.That(slope[i], Is.EqualTo(f != UnaryFunction.Tanh && right ? 1 : 0).Within(1e-6), $"slope at {x[i]}");
        }
    }

    [Test]
    public void Arithmetic([ValueSource(nameof(Activations))] DType type, [ValueSource(nameof(Places))] (int, int, int) place)
    {
        (int n, int shift, int other) = place;
        double[] x = Random(n, 1), y = Random(n, 2), z = Random(n, 3);
        Ptr px = Arrays.New(type, x, shift), py = Arrays.New(type, y, other), pz = Arrays.New(type, z, shift);
        Kernels.LinearCombination(n, 2, px, -3, py, AddTo(pz));
        Near(Arrays.Read(pz, n), All(i => z[i] + 2 * x[i] - 3 * y[i]), type);
        Kernels.LinearCombination(n, 0.5f, px, 7, Ptr.None, Into(pz));
        Near(Arrays.Read(pz, n), All(i => x[i] / 2), type);
        Kernels.Multiply(n, px, py, Into(pz));
        Near(Arrays.Read(pz, n), All(i => x[i] * y[i]), type);
        Kernels.Clamp(n, -0.25f, 0.5f, px, pz);
        Near(Arrays.Read(pz, n), All(i => Math.Clamp(x[i], -0.25, 0.5)), type);
        Kernels.ClampBackward(n, -0.25f, 0.5f, px, py, Into(pz));
        Near(Arrays.Read(pz, n), All(i => x[i] is >= -0.25 and <= 0.5 ? y[i] : 0), type);
        Kernels.Fill(n, 1.5f, pz);
        Assert.That(Arrays.Read(pz, n), Is.All.EqualTo(1.5));
        Kernels.Zero((long)n * type.Size(), pz.Address);
        Assert.That(Arrays.Read(pz, n), Is.All.Zero);
        Assert.That(Arrays.Read(px, n), Is.EqualTo(x), "inputs stay");

        double[] All(Func<int, double> value) => Enumerable.Range(0, n).Select(value).ToArray();
    }

    [Test]
    public void Clamping_keeps_nan([ValueSource(nameof(Activations))] DType type)
    {
        Ptr x = Arrays.New(type, [double.NaN, double.NegativeInfinity, 5]), y = Arrays.Empty(type, 3);
        Kernels.Clamp(3, -1, 1, x, y);
        Assert.That(Arrays.Read(y, 3), Is.EqualTo(new[] { double.NaN, -1, 1 }));
        Kernels.ClampToUnit(1, 3, Arrays.New(DType.Float32, [2]), x, y);
        Assert.That(Arrays.Read(y, 3), Is.EqualTo(new[] { double.NaN, -1, 1 }));
    }

    [Test]
    public void Coefficients_of_samples([ValueSource(nameof(Activations))] DType type,
        [Values(1, 5)] int batch, [Values(1, 64, 333)] int inner, [Values(0, 1)] int shift)
    {
        int n = batch * inner;
        double[] a = Random(batch, 1), b = Random(batch, 2), x = Random(n, 3), y = Random(n, 4), z = Random(n, 5);
        double[] limits = Array.ConvertAll(a, v => 0.25 + Math.Abs(v));
        Ptr pa = Arrays.New(DType.Float32, a), pb = Arrays.New(DType.Float32, b), px = Arrays.New(type, x, shift);
        Ptr py = Arrays.New(type, y, shift), pz = Arrays.New(type, z, shift), limit = Arrays.New(DType.Float32, limits);
        Kernels.SampleCombination(batch, inner, pa, px, pb, py, AddTo(pz));
        Near(Arrays.Read(pz, n), All(i => z[i] + a[i / inner] * x[i] + b[i / inner] * y[i]), type);
        Kernels.SampleCombination(batch, inner, pa, px, Ptr.None, Ptr.None, Into(pz));
        Near(Arrays.Read(pz, n), All(i => a[i / inner] * x[i]), type);
        Kernels.ClampToUnit(batch, inner, limit, px, pz);
        Near(Arrays.Read(pz, n), All(i => Math.Clamp(x[i], -limits[i / inner], limits[i / inner]) / limits[i / inner]), type);
        Kernels.SpreadRows(batch, inner, 3, pa, Into(pz));
        Near(Arrays.Read(pz, n), All(i => 3 * a[i / inner]), type);

        double[] All(Func<int, double> value) => Enumerable.Range(0, n).Select(value).ToArray();
    }

    [Test]
    public void Rows_of_every_type_are_copied([Values] DType type,
        [Values(1, 8, 17, 48)] int cols, [Values(0, 1, 5)] int gap, [Values(0, 1, 4)] int shift)
    {
        const int Rows = 6;
        int stride = cols + gap, n = Rows * stride;
        byte[] bytes = new byte[n * type.Size()], there = new byte[n * type.Size()];
        new Random(1).NextBytes(bytes);
        Ptr source = Arrays.Raw(type, bytes), destination = Arrays.Raw(type, there, shift);
        Kernels.CopyRows(Rows, cols, new Rows(source, stride), new RowsTarget(destination, stride, false));
        byte[] found = Arrays.ReadBytes(destination, n);
        for (int i = 0; i < found.Length; i++)
            Assert.That(found[i], Is.EqualTo(i / type.Size() % stride < cols ? bytes[i] : 0), $"byte {i}");
    }

    [Test]
    public void Rows_are_added(
        [ValueSource(nameof(Activations))] DType type, [Values(3, 16, 40)] int cols, [Values(0, 8)] int gap)
    {
        const int Rows = 5;
        int stride = cols + gap;
        double[] x = Random(Rows * cols, 1), y = Random(Rows * stride, 2);
        Ptr source = Arrays.New(type, x), destination = Arrays.New(type, y);
        Kernels.CopyRows(Rows, cols, new Rows(source, cols), new RowsTarget(destination, stride, true));
        double[] expected = (double[])y.Clone();
        for (int i = 0; i < x.Length; i++)
            expected[i / cols * stride + i % cols] += x[i];
        Near(Arrays.Read(destination, y.Length), expected, type);
    }

    [Test]
    public void Operands_of_two_types_are_refused()
    {
        Ptr x = Arrays.New(DType.Float32, [1]), y = Arrays.New(DType.BFloat16, [1]);
        Assert.That(() => Kernels.Multiply(1, x, y, Into(x)),
            Throws.ArgumentException.With.Message.EqualTo("product: y has the type BFloat16, expected Float32"));
        Assert.That(() => Kernels.CopyRows(1, 1, new Rows(x, 1), new RowsTarget(y, 1, false)),
            Throws.ArgumentException.With.Message.StartsWith("no copy from Float32 to BFloat16"));
    }

    private static double Value(UnaryFunction f, double x) => f switch
    {
        UnaryFunction.Silu => x / (1 + Math.Exp(-x)),
        UnaryFunction.Tanh => Math.Tanh(x),
        UnaryFunction.GeluTanh => x / 2 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
        _ => NormalDistribution.Gelu(x),
    };
}
