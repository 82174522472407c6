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
        new(2, 2, 3, 64, 8, Upsample: true), new(1, 2, 2, 32, 16, Upsample: true),
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
        double tolerance = tile.Math switch { ProductMath.Simt => 1e-6, ProductMath.Tf32 => 1e-3, _ => 5e-3 };
        double floatTolerance = tile.Math == ProductMath.Tf32 ? tolerance : 1e-6;
        ConvolutionCheck.Run(device, type, s, skip, tolerance, floatTolerance, $"{s}, {parts} parts");
    }
}
