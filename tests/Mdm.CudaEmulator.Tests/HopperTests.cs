using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;
using Mdm.Tests;

namespace Mdm.CudaEmulator.Tests;

/// <summary>The matrix core of Hopper on an emulated GPU of capability 9.0, against float64 loops. Inputs are bfloat16 numbers
/// that the loops see as they are.</summary>
public sealed class HopperTests : HopperFixture
{
    private const double RoundedResult = 4e-3, FloatResult = 1e-5;
    private int numbers;

    [SetUp]
    public void SameNumbersEachTime() => numbers = 0;

    [TearDown]
    public void ChooseFreely() => HopperPlan.Forced = null;

    // Multiples of 8 only where a leading dimension must be one.
    [TestCase(false, false, 131, 72, 200)]
    [TestCase(false, true, 131, 67, 200)]
    [TestCase(true, false, 136, 72, 205)]
    [TestCase(true, true, 136, 67, 208)]
    [TestCase(false, false, 1, 8, 8)]
    [TestCase(false, true, 257, 513, 64)]
    [TestCase(true, false, 264, 264, 65)]
    [TestCase(true, true, 8, 1, 8)]
    [TestCase(false, true, 300, 8, 1352)] // more steps than stages
    public void Product(bool transposeA, bool transposeB, int m, int n, int k)
    {
        foreach ((int tile, int cluster) in HopperPlan.Tiles)
        {
            foreach (int splits in (int[])[1, 3])
            {
                HopperPlan.Forced = (tile, cluster, splits);
                MatMulShape shape = MatMulShape.Contiguous(m, n, k, transposeA, transposeB);
                CheckProduct(shape, tile == 128, bias: true, residual: tile != 128, accumulate: splits == 3);
            }
        }
    }

    /// <summary>What is measured is what is chosen between: every tile, with more and with fewer parts.</summary>
    [Test]
    public void EveryWayThatIsOneIsRight()
    {
        MatMulShape shape = MatMulShape.Contiguous(136, 72, 712, transposeA: true);
        int right = 0;
        foreach (Way way in Way.All(ProductMath.Bf16).Where(way => way.Maker == Maker.Hopper))
            right += CheckProduct(shape, false, bias: true, residual: false, accumulate: true, way: way) ? 1 : 0;
        Assert.That(right, Is.GreaterThan(HopperPlan.Tiles.Count), "ways with other numbers of parts");
    }

    [TestCase(false, true)]
    [TestCase(true, false)]
    public void ProductOfRowsThatDoNotTouch(bool transposeA, bool transposeB)
    {
        const int m = 40, n = 48, k = 24;
        var shape = new MatMulShape(m, n, k, transposeA, transposeB, (transposeA ? m : k) + 16, (transposeB ? k : n) + 8, n + 3);
        CheckProduct(shape, false, bias: false, residual: true, accumulate: false);
        CheckProduct(shape, true, bias: false, residual: false, accumulate: true);
    }

    [TestCase(false, true, true)]
    [TestCase(false, false, false)]
    public void ProductWithGelu(bool transposeA, bool transposeB, bool forward)
    {
        foreach (int splits in (int[])[1, 2])
        {
            HopperPlan.Forced = (128, splits, splits);
            CheckProduct(MatMulShape.Contiguous(70, 136, 136, transposeA, transposeB), false, bias: forward, residual: forward,
                accumulate: false, z: forward, gate: !forward);
        }
    }

    [TestCase(8, 8, 2, 8, 16, 64, 1)]
    [TestCase(16, 16, 1, 72, 136, 128, 2)]
    [TestCase(24, 24, 1, 64, 40, 64, 1)]
    [TestCase(33, 33, 1, 24, 8, 128, 2)]
    [TestCase(8, 8, 3, 136, 264, 256, 2)]
    [TestCase(5, 7, 3, 16, 72, 128, 1)]
    [TestCase(1, 1, 1, 8, 8, 256, 1)]
    public void Convolution(int height, int width, int batch, int inputs, int outputs, int tile, int cluster)
    {
        var shape = new ConvShape(batch, height, width, inputs, outputs);
        int pixels = batch * height * width;
        using Operand x = Numbers(pixels * inputs), w = Numbers(9 * inputs * outputs), dy = Numbers(pixels * outputs);
        using Operand bias = Numbers(outputs, DType.Float32), residual = Numbers(pixels * outputs);
        double[] y = [.. residual.Values], dx = new double[pixels * inputs], dw = new double[9 * inputs * outputs];
        for (int i = 0; i < y.Length; i++)
            y[i] += bias.Values[i % outputs];
        ProductReference.ForEachTap(shape, (from, row, to) =>
        {
            double sum = 0, slope = dy.Values[to];
            for (int i = 0; i < inputs; i++)
            {
                sum += x.Values[from + i] * w.Values[row + i];
                dx[from + i] += slope * w.Values[row + i];
                dw[row + i] += slope * x.Values[from + i];
            }

            y[to] += sum;
        });
        foreach (int splits in (int[])[1, 3])
        {
            HopperPlan.Forced = (tile, cluster, splits);
            bool accumulate = splits == 3;
            using Operand toY = Numbers(y.Length), toDx = Numbers(dx.Length), toDw = Numbers(dw.Length, DType.Float32);
            using Operand toDb = Numbers(outputs, DType.Float32);
            Assert.That(kernels.HopperConvolve(shape, x.Ptr, w.Ptr, false, ProductOutput.Of(
                DType.BFloat16, outputs, outputs, new Target(toY.Ptr, false), bias.Ptr, residual.Ptr)), "forward");
            Check(toY, y, "forward");

            Assert.That(kernels.HopperConvolve(shape, dy.Ptr, w.Ptr, true, ProductOutput.Of(
                DType.BFloat16, inputs, inputs, new Target(toDx.Ptr, accumulate), default, default)), "data");
            Check(toDx, accumulate ? Sum(dx, toDx.Values) : dx, "data");

            var slope = ProductOutput.Of(
                DType.BFloat16, 9 * inputs, 9 * inputs, new Target(toDw.Ptr, accumulate), default, default);
            (slope.Rows.Sums, slope.Rows.Accumulate) = (toDb.Ptr.Address, 1);
            Assert.That(kernels.HopperConvolveWeight(shape, x.Ptr, dy.Ptr, slope), "weight");
            Check(toDb, Sum(toDb.Values, SumsOfColumns(dy, outputs, outputs)), "bias");
            Check(toDw, accumulate ? Sum(dw, toDw.Values) : dw, "weight");
        }
    }

    [TestCase(2, 2, 1, 8, 8, 256, 1)]
    [TestCase(5, 7, 3, 16, 72, 128, 1)]
    [TestCase(8, 8, 2, 72, 136, 128, 2)]
    [TestCase(16, 9, 2, 136, 16, 256, 2)]
    [TestCase(33, 4, 1, 24, 40, 64, 1)]
    public void ConvolutionOfEverySecondPixelAndOfDoubledImages(
        int height, int width, int batch, int inputs, int outputs, int tile, int cluster)
    {
        foreach (int splits in (int[])[1, 3])
        {
            HopperPlan.Forced = (tile, cluster, splits);
            foreach (bool upsample in (bool[])[false, true])
            {
                var shape = new ConvShape(batch, height, width, inputs, outputs, upsample ? 1 : 2, upsample);
                ConvolutionCheck.Run(device, DType.BFloat16, shape, 0, 5e-3, FloatResult, $"{shape}, {splits} parts");
            }
        }
    }

    [Test]
    public void WhatItCannotDoIsLeftToThePortableKernels()
    {
        var hopper = new Hopper(device);
        var even = new Ptr(4096, DType.BFloat16);
        ProductOutput plain = ProductOutput.Of(DType.BFloat16, 64, 64, new Target(even, false), default, default);
        MatMulShape good = MatMulShape.Contiguous(64, 64, 64, false, true);
        Assert.That(hopper.Handles(good, even, even, plain));
        Assert.That(hopper.Handles(good, even + 1, even, plain), Is.False, "address");
        Assert.That(hopper.Handles(good with { LdB = 65 }, even, even, plain), Is.False, "leading dimension");
        Assert.That(hopper.Handles(good, even with { Type = DType.Float32 }, even, plain), Is.False, "type");
        Assert.That(hopper.Handles(good with { TransposeA = true }, even, even, plain with { Z = 4096 }), Is.False, "z");
        Assert.That(hopper.Handles(good, even, even, plain with { Gate = 4096 }), Is.False, "gate");
        var image = new ConvShape(1, 8, 8, 16, 24);
        Assert.That(hopper.Handles(image, even, even, 16, 24));
        Assert.That(hopper.Handles(image with { Stride = 2 }, even, even, 16, 24), "stride");
        Assert.That(hopper.Handles(image with { Stride = 2, Height = 1 }, even, even, 16), Is.False, "a parity without pixels");
        Assert.That(hopper.Handles(image with { Upsample = true }, even, even, 16, 24), "doubling");
        Assert.That(hopper.Handles(image, even, even, 3), Is.False, "channels");
    }

    [Test]
    public void AModuleThatDoesNotCompileIsWarnedOfOnceAndLeftToThePortableKernels()
    {
        var hopper = new Hopper(device);
        var even = new Ptr(4096, DType.BFloat16);
        ProductOutput plain = ProductOutput.Of(DType.BFloat16, 64, 64, new Target(even, false), default, default);
        MatMulShape shape = MatMulShape.Contiguous(64, 64, 64, false, true);
        var bad = new KernelModule("hopper_matmul.cu", "TILE_N=100 CLUSTER=1", 90);
        TextWriter before = Console.Error;
        using var errors = new StringWriter();
        Console.SetError(errors);
        try
        {
            Assert.That(hopper.Handles(shape, even, even, plain));
            Assert.That(hopper.Ready(bad, "hopper_matmul_nt"), Is.False);
            Assert.That(hopper.Ready(Hopper.Modules.First(), "hopper_matmul_nt"), Is.False);
            Assert.That(hopper.Handles(shape, even, even, plain), Is.False);
        }
        finally
        {
            Console.SetError(before);
        }

        Assert.That(errors.ToString().Trim().Split('\n'), Has.Length.EqualTo(1));
        Assert.That(errors.ToString(), Does.StartWith("warning: cuda:0: no wgmma kernels").And.Contains("hopper_matmul.cu"));
    }

    [Test]
    public void AnEnvironmentVariableTurnsItOff()
    {
        var even = new Ptr(4096, DType.BFloat16);
        ProductOutput plain = ProductOutput.Of(DType.BFloat16, 64, 64, new Target(even, false), default, default);
        Environment.SetEnvironmentVariable("MDM_HOPPER", "0");
        try
        {
            Assert.That(new Hopper(device).Handles(MatMulShape.Contiguous(64, 64, 64), even, even, plain), Is.False);
        }
        finally
        {
            Environment.SetEnvironmentVariable("MDM_HOPPER", null);
        }
    }

    /// <returns>Whether the way was one for the product.</returns>
    private bool CheckProduct(MatMulShape s, bool floatResult, bool bias, bool residual, bool accumulate, bool z = false,
        bool gate = false, Way way = default)
    {
        DType type = floatResult ? DType.Float32 : DType.BFloat16;
        using Operand a = Numbers((s.TransposeA ? s.K : s.M) * s.LdA), b = Numbers((s.TransposeB ? s.N : s.K) * s.LdB);
        using Operand c = Numbers(s.M * s.LdC, type), r = Numbers(s.M * s.LdC, type), g = Numbers(s.M * s.LdC);
        using Operand t = Numbers(s.N, DType.Float32), sums = Numbers(s.M, DType.Float32);
        double[] products = ProductReference.MatMul(s, a.Values, b.Values, c.Values, false, bias ? t.Values : null);
        double[] expected = [.. c.Values], inner = [.. g.Values];
        for (int at = 0; at < expected.Length; at++)
        {
            if (at % s.LdC >= s.N)
                continue;
            double product = products[at];
            if (z)
                (inner[at], product) = (product, NormalDistribution.Gelu(product));
            if (gate)
                product *= NormalDistribution.GeluSlope(g.Values[at]);
            expected[at] = product + (residual ? r.Values[at] : 0) + (accumulate ? c.Values[at] : 0);
        }

        ProductOutput output = ProductOutput.Of(DType.BFloat16, s.LdC, s.N, new Target(c.Ptr, accumulate),
            bias ? t.Ptr : default, residual ? r.Ptr : default, z ? g.Ptr : default, gate ? g.Ptr : default);
        bool rows = s.TransposeA && !s.TransposeB;
        if (rows)
            (output.Rows.Sums, output.Rows.Accumulate) = (sums.Ptr.Address, accumulate ? 1 : 0);
        bool done = kernels.HopperProduct(s, a.Ptr, b.Ptr, output, way);
        Assert.That(done || way.Split != 0, $"{way}");
        if (!done)
            return false;
        string what = $"{s}, {HopperPlan.Forced}, {way}";
        Check(c, expected, what);
        if (rows)
        {
            double[] columns = SumsOfColumns(a, s.LdA, s.M);
            Check(sums, accumulate ? Sum(columns, sums.Values) : columns, $"sums of rows, {what}");
        }

        if (z)
            Check(g, inner, "z");
        return true;
    }

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    // Of the first columns of x, which has so many numbers a row.
    private static double[] SumsOfColumns(Operand x, int stride, int columns)
    {
        double[] sums = new double[columns];
        for (int i = 0; i < x.Values.Length; i++)
            if (i % stride < columns)
                sums[i % stride] += x.Values[i];
        return sums;
    }

    private Operand Numbers(int count, DType type = DType.BFloat16) => Operand.Random(device, type, ++numbers, count);

    private static void Check(Operand found, double[] expected, string what) => Assert.That(
        found.RelativeError(expected), Is.LessThan(found.Ptr.Type == DType.Float32 ? FloatResult : RoundedResult), what);
}
