using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.CudaEmulator.Tests;

/// <summary>The matrix core of Hopper on an emulated GPU of capability 9.0, against float64 loops. Inputs are bfloat16 numbers
/// that the loops see as they are.</summary>
[NonParallelizable] // the capability is that of all devices opened meanwhile
public sealed class HopperTests
{
    private const double RoundedResult = 4e-3, FloatResult = 1e-5;
    private CudaDevice device = null!;
    private CudaKernels kernels = null!;
    private Random random = null!;

    [OneTimeSetUp]
    public void OpenHopper()
    {
        Planted.SetCapability(90);
        device = CudaDevice.Open(0);
        if (!device.Properties.HopperInstructions)
            Assert.Ignore($"{device.Description} does not have Hopper's instructions");
        kernels = (CudaKernels)device.Kernels;
    }

    [OneTimeTearDown]
    public void Close()
    {
        device.Dispose();
        Planted.SetCapability(80);
    }

    [SetUp]
    public void SameNumbersEachTime() => random = new Random(11);

    [TearDown]
    public void ChooseFreely()
    {
        HopperPlan.Forced = null;
        Planted.ForgetError();
    }

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
        long pixels = (long)batch * height * width;
        (Ptr x, float[] xs) = Numbers(pixels * inputs, DType.BFloat16);
        (Ptr w, float[] ws) = Numbers(9L * inputs * outputs, DType.BFloat16);
        (Ptr dy, float[] dys) = Numbers(pixels * outputs, DType.BFloat16);
        (Ptr bias, float[] biases) = Numbers(outputs, DType.Float32);
        (Ptr residual, float[] residuals) = Numbers(pixels * outputs, DType.BFloat16);
        double[] y = new double[pixels * outputs], dx = new double[pixels * inputs], dw = new double[9 * inputs * outputs];
        Reference(shape, xs, ws, dys, y, dx, dw);
        for (int i = 0; i < y.Length; i++)
            y[i] += biases[i % outputs] + residuals[i];
        foreach (int splits in (int[])[1, 3])
        {
            HopperPlan.Forced = (tile, cluster, splits);
            (Ptr toY, _) = Numbers(y.Length, DType.BFloat16);
            Assert.That(kernels.HopperConvolve(shape, x, w, false,
                ProductOutput.Of(DType.BFloat16, outputs, outputs, new Target(toY, false), bias, residual)), "forward");
            Check(toY, y, "forward");

            (Ptr toDx, float[] before) = Numbers(dx.Length, DType.BFloat16);
            Assert.That(kernels.HopperConvolve(shape, dy, w, true,
                ProductOutput.Of(DType.BFloat16, inputs, inputs, new Target(toDx, splits == 3), default, default)), "data");
            Check(toDx, splits == 3 ? [.. dx.Zip(before, (a, b) => a + b)] : dx, "data");

            (Ptr toDw, before) = Numbers(dw.Length, DType.Float32);
            var slope = ProductOutput.Of(DType.BFloat16, 9 * inputs, 9 * inputs, new Target(toDw, splits == 3), default, default);
            (Ptr toDb, float[] biasBefore) = Numbers(outputs, DType.Float32);
            (slope.Rows.Sums, slope.Rows.Accumulate) = (toDb.Address, 1);
            Assert.That(kernels.HopperConvolveWeight(shape, x, dy, slope), "weight");
            CheckColumns(toDb, biasBefore, dys, outputs, "bias");
            Free(toDb, outputs);
            Check(toDw, splits == 3 ? [.. dw.Zip(before, (a, b) => a + b)] : dw, "weight");
            Free(toY, y.Length);
            Free(toDx, dx.Length);
            Free(toDw, dw.Length);
        }

        Free(x, xs.Length);
        Free(w, ws.Length);
        Free(dy, dys.Length);
        Free(bias, biases.Length);
        Free(residual, residuals.Length);
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
        (Ptr a, float[] av) = Numbers((s.TransposeA ? s.K : s.M) * (long)s.LdA, DType.BFloat16);
        (Ptr b, float[] bv) = Numbers((s.TransposeB ? s.N : s.K) * (long)s.LdB, DType.BFloat16);
        (Ptr c, float[] cv) = Numbers((long)s.M * s.LdC, type);
        (Ptr r, float[] rv) = Numbers((long)s.M * s.LdC, type);
        (Ptr g, float[] gv) = Numbers((long)s.M * s.LdC, DType.BFloat16);
        (Ptr t, float[] tv) = Numbers(s.N, DType.Float32);
        double[] expected = [.. cv.Select(x => (double)x)], inner = [.. gv.Select(x => (double)x)];
        for (int m = 0; m < s.M; m++)
        {
            for (int n = 0; n < s.N; n++)
            {
                double sum = bias ? tv[n] : 0;
                for (int k = 0; k < s.K; k++)
                {
                    double x = av[s.TransposeA ? (k * s.LdA) + m : (m * s.LdA) + k];
                    sum += x * bv[s.TransposeB ? (n * s.LdB) + k : (k * s.LdB) + n];
                }

                int at = m * s.LdC + n;
                if (z)
                    (inner[at], sum) = (sum, sum * Phi(sum));
                if (gate)
                    sum *= Phi(gv[at]) + gv[at] * Math.Exp(-0.5 * gv[at] * gv[at]) / Math.Sqrt(2 * Math.PI);
                expected[at] = sum + (residual ? rv[at] : 0) + (accumulate ? cv[at] : 0);
            }
        }

        ProductOutput output = ProductOutput.Of(DType.BFloat16, s.LdC, s.N, new Target(c, accumulate), bias ? t : default,
            residual ? r : default, z ? g : default, gate ? g : default);
        bool rows = s.TransposeA && !s.TransposeB;
        (Ptr sums, float[] sumsBefore) = Numbers(s.M, DType.Float32);
        if (rows)
            (output.Rows.Sums, output.Rows.Accumulate) = (sums.Address, accumulate ? 1 : 0);
        bool done = kernels.HopperProduct(s, a, b, output, way);
        Assert.That(done || way.Split != 0, $"{way}");
        if (done)
            Check(c, expected, $"{s}, {HopperPlan.Forced}, {way}");
        if (rows && done)
            CheckColumns(sums, accumulate ? sumsBefore : new float[s.M], av, s.LdA, $"sums of rows, {s}, {HopperPlan.Forced}");
        Free(sums, s.M);
        if (z)
            Check(g, inner, "z");
        Free(a, av.Length);
        Free(b, bv.Length);
        Free(c, cv.Length);
        Free(r, rv.Length);
        Free(g, gv.Length);
        Free(t, tv.Length);
        return done;
    }

    // The distribution function of the normal distribution: its series in odd powers, which converges everywhere.
    private static double Phi(double x)
    {
        if (Math.Abs(x) > 8)
            return x > 0 ? 1 : 0;
        double term = x, sum = x;
        for (int i = 3; Math.Abs(term) > 1e-17 && i < 400; i += 2)
            sum += term *= x * x / i;
        return 0.5 + sum * Math.Exp(-0.5 * x * x) / Math.Sqrt(2 * Math.PI);
    }

    private static void Reference(ConvShape s, float[] x, float[] w, float[] dy, double[] y, double[] dx, double[] dw)
    {
        for (int b = 0; b < s.Batch; b++)
        {
            for (int p = 0; p < s.Height; p++)
            {
                for (int q = 0; q < s.Width; q++)
                {
                    int to = ((b * s.Height + p) * s.Width + q) * s.OutChannels;
                    for (int tap = 0; tap < 9; tap++)
                    {
                        int h = p + tap / 3 - 1, v = q + tap % 3 - 1;
                        if (h < 0 || h >= s.Height || v < 0 || v >= s.Width)
                            continue;
                        int from = ((b * s.Height + h) * s.Width + v) * s.InChannels;
                        for (int o = 0; o < s.OutChannels; o++)
                        {
                            int row = (o * 9 + tap) * s.InChannels;
                            double sum = 0, slope = dy[to + o];
                            for (int i = 0; i < s.InChannels; i++)
                            {
                                sum += (double)x[from + i] * w[row + i];
                                dx[from + i] += slope * w[row + i];
                                dw[row + i] += slope * x[from + i];
                            }

                            y[to + o] += sum;
                        }
                    }
                }
            }
        }
    }

    /// <summary>Sums of the columns of x, added to what was there.</summary>
    private void CheckColumns(Ptr sums, float[] before, float[] x, int stride, string what)
    {
        double[] expected = [.. before.Select(v => (double)v)];
        for (int i = 0; i < x.Length; i++)
            if (i % stride < expected.Length)
                expected[i % stride] += x[i];
        Check(sums, expected, what);
    }

    private (Ptr Device, float[] Values) Numbers(long n, DType type)
    {
        var values = new float[n];
        var bits = new ushort[n];
        for (int i = 0; i < n; i++)
        {
            float x = (float)(random.NextDouble() - 0.5);
            bits[i] = (ushort)(BitConverter.SingleToUInt32Bits(x) >> 16);
            values[i] = type == DType.Float32 ? x : BitConverter.UInt32BitsToSingle((uint)bits[i] << 16);
        }

        nint address = device.Allocate(n * type.Size());
        device.Upload(type == DType.Float32 ? MemoryMarshal.AsBytes<float>(values) : MemoryMarshal.AsBytes<ushort>(bits), address);
        return (new Ptr(address, type), values);
    }

    private void Free(Ptr p, long n) => device.Free(p.Address, n * p.Type.Size());

    private void Check(Ptr result, double[] expected, string what)
    {
        var bytes = new byte[expected.Length * result.Type.Size()];
        device.Download(result.Address, bytes);
        double error = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            float got = result.Type == DType.Float32
                ? BitConverter.ToSingle(bytes, 4 * i)
                : BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes, 2 * i) << 16);
            Assert.That(float.IsFinite(got), what);
            error += Math.Pow(got - expected[i], 2);
            norm += Math.Pow(expected[i], 2);
        }

        double tolerance = result.Type == DType.Float32 ? FloatResult : RoundedResult;
        Assert.That(Math.Sqrt(error / norm), Is.LessThan(tolerance), what);
    }
}
