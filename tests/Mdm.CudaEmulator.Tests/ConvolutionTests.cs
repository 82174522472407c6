using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;
using Mdm.Tensors;

namespace Mdm.CudaEmulator.Tests;

/// <summary>3x3 convolutions and their gradients with every tile, against float64.</summary>
[NonParallelizable]
public sealed class ConvolutionTests
{
    private static readonly ConvShape[] s_shapes =
    [
        new(1, 1, 1, 3, 5), new(2, 5, 7, 3, 20), new(2, 5, 7, 20, 3), new(1, 4, 3, 8, 64), new(3, 5, 7, 64, 8),
        new(1, 9, 9, 24, 72), new(17, 1, 1, 8, 16),
        new(1, 1, 1, 8, 8, Stride: 2), new(2, 5, 7, 3, 4, Stride: 2), new(2, 5, 7, 16, 24, Stride: 2),
        new(1, 6, 4, 20, 8, Stride: 2),
        new(1, 1, 1, 8, 8, Upsample: true), new(2, 3, 5, 4, 3, Upsample: true), new(1, 5, 7, 16, 24, Upsample: true),
        new(2, 2, 3, 64, 8, Upsample: true),
    ];

    private CudaDevice device = null!;

    private static IEnumerable<TestCaseData> Tiles() => ProductTile.All.Select(tile => new TestCaseData(tile)
        .SetArgDisplayNames($"{tile.Math} {tile.M}x{tile.N}{(tile.Aligned ? "" : " unaligned")}"));

    [SetUp]
    public void Open() => device = (CudaDevice)Devices.Open("cuda");

    [TearDown]
    public void Restore()
    {
        ProductPlan.Forced = null;
        device.AllowTf32 = false;
        Planted.ForgetError();
    }

    [TestCaseSource(nameof(Tiles))]
    public void EveryShape(object tile)
    {
        foreach (ConvShape shape in s_shapes)
            Check((ProductTile)tile, 1, shape, 0);
    }

    [TestCaseSource(nameof(Tiles))]
    public void DividedSums(object tile)
    {
        foreach (int parts in new[] { 2, 5 })
        {
            Check((ProductTile)tile, parts, new ConvShape(2, 9, 7, 24, 16), 0);
            Check((ProductTile)tile, parts, new ConvShape(3, 9, 7, 20, 5, Stride: 2), 0);
            Check((ProductTile)tile, parts, new ConvShape(1, 6, 5, 16, 16, Upsample: true), 0);
        }
    }

    [Test]
    public void ImagesAtOddAddresses([Values] bool half) =>
        Check(ProductTile.All.Last(t => t.Math == (half ? ProductMath.Bf16 : ProductMath.Simt)), 1, new ConvShape(1, 5, 4, 16, 8), 1);

    [Test]
    public void AnEmptyBatchLaunchesNothing() => Assert.That(
        () =>
        {
            Ptr some = new(16, DType.Float32);
            device.Kernels.Conv3x3Forward(new ConvShape(0, 4, 4, 8, 8), some, some, default, default, some);
            device.Kernels.Conv3x3BackwardData(new ConvShape(0, 4, 4, 8, 8), some, some, new Target(some, false));
            device.Synchronize();
        },
        Throws.Nothing);

    private void Check(ProductTile tile, int parts, ConvShape s, int skip)
    {
        device.AllowTf32 = tile.Math == ProductMath.Tf32;
        ProductPlan.Forced = new ProductPlan(tile, parts);
        DType type = tile.Math == ProductMath.Bf16 ? DType.BFloat16 : DType.Float32;
        int inputs = s.Batch * s.Height * s.Width * s.InChannels, outputs = s.Batch * s.OutHeight * s.OutWidth * s.OutChannels;
        int weights = s.OutChannels * 9 * s.InChannels;
        using Operand x = Operand.Random(device, type, 1, inputs, skip), dx = Operand.Random(device, type, 2, inputs, skip);
        using Operand w = Operand.Random(device, type, 3, weights), dw = Operand.Random(device, DType.Float32, 4, weights);
        using Operand y = Operand.Random(device, type, 5, outputs, skip), dy = Operand.Random(device, type, 6, outputs);
        using Operand bias = Operand.Random(device, DType.Float32, 7, s.OutChannels);
        using Operand residual = Operand.Random(device, type, 8, outputs);
        double[] expected = [.. residual.Values], expectedDx = [.. dx.Values], expectedDw = [.. dw.Values];
        for (int i = 0; i < expected.Length; i++)
            expected[i] += bias.Values[i % s.OutChannels];
        EachProduct(s, (at, from, weight) =>
        {
            expected[at] += x.Values[from] * w.Values[weight];
            expectedDx[from] += dy.Values[at] * w.Values[weight];
            expectedDw[weight] += dy.Values[at] * x.Values[from];
        });
        device.Kernels.Conv3x3Forward(s, x.Ptr, w.Ptr, bias.Ptr, residual.Ptr, y.Ptr);
        device.Kernels.Conv3x3BackwardData(s, dy.Ptr, w.Ptr, new Target(dx.Ptr, true));
        device.Kernels.Conv3x3BackwardWeight(s, x.Ptr, dy.Ptr, new Target(dw.Ptr, true));
        double tolerance = tile.Math switch { ProductMath.Simt => 1e-6, ProductMath.Tf32 => 1e-3, _ => 5e-3 };
        Assert.Multiple(() =>
        {
            Assert.That(y.RelativeError(expected), Is.LessThan(tolerance), $"y of {s}, {parts} parts");
            Assert.That(dx.RelativeError(expectedDx), Is.LessThan(tolerance), $"dx of {s}, {parts} parts");
            double floatTolerance = tile.Math == ProductMath.Tf32 ? tolerance : 1e-6;
            Assert.That(dw.RelativeError(expectedDw), Is.LessThan(floatTolerance), $"dw of {s}, {parts} parts");
        });
    }

    /// <summary>Every product of the sum: places in y, x and w.</summary>
    private static void EachProduct(ConvShape s, Action<int, int, int> product)
    {
        int doubling = s.Upsample ? 2 : 1;
        for (int i = 0; i < s.Batch * s.OutHeight * s.OutWidth * 9; i++)
        {
            int tap = i % 9, q = i / 9 % s.OutWidth, p = i / 9 / s.OutWidth % s.OutHeight, b = i / 9 / s.OutWidth / s.OutHeight;
            int h = p * s.Stride + tap / 3 - 1, v = q * s.Stride + tap % 3 - 1;
            if (h < 0 || v < 0 || h >= s.InHeight || v >= s.InWidth)
                continue;
            int at = ((b * s.OutHeight + p) * s.OutWidth + q) * s.OutChannels;
            int from = ((b * s.Height + h / doubling) * s.Width + v / doubling) * s.InChannels;
            for (int o = 0; o < s.OutChannels; o++)
                for (int c = 0; c < s.InChannels; c++)
                    product(at + o, from + c, (o * 9 + tap) * s.InChannels + c);
        }
    }
}
