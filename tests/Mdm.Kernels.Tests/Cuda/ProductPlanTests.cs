using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Tests.Cuda;

public class ProductPlanTests
{
    private static readonly CudaProperties s_h100 = Device("H100", 132, 232448, 233472);
    private static readonly CudaProperties s_small = Device("small", 20, 101376, 102400);

    /// <summary>A weight gradient: many terms, few tiles.</summary>
    [Test]
    public void ManyTermsAndFewTilesAreDivided()
    {
        ProductPlan plan = ProductPlan.Choose(ProductMath.Bf16, true, 256, 2304, 131072, 1, true, s_h100);
        int blocks = plan.Parts * (256 / plan.Tile.M) * (2304 / plan.Tile.N);
        double rounds = Math.Ceiling(blocks / 132.0);
        Assert.That(blocks / (rounds * 132), Is.GreaterThan(0.9), "share of the multiprocessors that work");
        Assert.That(ProductPlan.Choose(ProductMath.Bf16, true, 256, 2304, 131072, 1, false, s_h100).Parts, Is.EqualTo(1));
    }

    [Test]
    public void LargeProductsTakeTheLargestTileUndivided([Values(8192, 131072)] int m)
    {
        ProductPlan plan = ProductPlan.Choose(ProductMath.Bf16, true, m, 8192, 8192, 1, true, s_h100);
        Assert.That((plan.Tile.M, plan.Tile.N, plan.Parts), Is.EqualTo((128, 256, 1)));
    }

    [Test]
    public void SmallProductsTakeSmallTiles()
    {
        ProductPlan plan = ProductPlan.Choose(ProductMath.Bf16, true, 33, 60, 64, 1, true, s_h100);
        Assert.That((plan.Tile.M, plan.Tile.N, plan.Parts), Is.EqualTo((64, 64, 1)));
    }

    [Test]
    public void TilesFitTheDevice([Values] bool aligned, [Values(0, 1, 1000)] int k, [Values(1, 4)] int products)
    {
        foreach (ProductMath math in Enum.GetValues<ProductMath>())
        {
            ProductPlan plan = ProductPlan.Choose(math, aligned, 5000, 700, k, products, products == 1, s_small);
            Assert.That(plan.Tile.Math, Is.EqualTo(math));
            Assert.That(plan.Tile.Aligned, Is.EqualTo(aligned));
            Assert.That(plan.Tile.SharedBytes, Is.LessThanOrEqualTo(s_small.SharedPerBlock));
            Assert.That(plan.Parts, Is.GreaterThanOrEqualTo(1));
        }
    }

    [Test]
    public void ChoosingAllocatesNothing()
    {
        long before = 0;
        for (int round = 0; round < 2; round++)
        {
            before = GC.GetAllocatedBytesForCurrentThread();
            _ = ProductPlan.Choose(ProductMath.Bf16, true, 256, 2304, 131072, 1, true, s_h100);
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void DivisionsAreExact([Values(1, 2, 3, 5, 7, 9, 64, 100, 768, 4095, 4096, 65537, 1000003, int.MaxValue)] int divisor)
    {
        var divide = new FastDivide(divisor);
        var random = new Random(divisor);
        var numbers = Enumerable.Range(0, 2000).Select(_ => random.Next()).Concat([0, 1, int.MaxValue, int.MaxValue - 1, divisor,
            divisor - 1, (int)Math.Min(int.MaxValue, 2L * divisor), (int)Math.Min(int.MaxValue, 2L * divisor - 1)]);
        foreach (int n in numbers)
            Assert.That((ulong)n * divide.Multiplier >> (int)divide.Shift, Is.EqualTo((ulong)(n / divisor)), $"{n} / {divisor}");
    }

    private static CudaProperties Device(string name, int multiprocessors, int sharedPerBlock, int sharedPerMultiprocessor) =>
        new(name, 90, multiprocessors, sharedPerBlock, sharedPerMultiprocessor, 80L << 30, 50 << 20)
        {
            MaxGrid = new Dim3(int.MaxValue, 65535, 65535),
            MaxBlock = new Dim3(1024, 1024, 64),
        };
}
