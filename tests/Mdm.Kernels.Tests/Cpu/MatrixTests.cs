using Mdm.Kernels.Cpu;
using Mdm.Tests;

namespace Mdm.Kernels.Tests.Cpu;

[TestFixture(CpuLevel.Plain)]
[TestFixture(CpuLevel.Avx2)]
[TestFixture(CpuLevel.Avx512)]
public class MatrixTests(CpuLevel level) : CpuLevelFixture(level)
{
    private readonly CpuKernels kernels = new();

    private static IEnumerable<int[]> Sizes()
    {
        int[][] sizes =
        [
            [1, 1, 1], [1, 1, 17], [1, 33, 1], [2, 3, 5], [6, 64, 16], [7, 65, 17], [5, 15, 70], [13, 100, 33], [12, 48, 600],
            [64, 31, 9], [4, 96, 130], [16, 130, 96], [33, 200, 3], [100, 3, 64], [97, 129, 131], [70, 300, 1100], [300, 70, 40],
            [530, 17, 20], [3, 700, 64],
        ];
        return sizes;
    }

    [Test]
    public void EverySizeAndTransposition(
        [ValueSource(nameof(Sizes))] int[] mnk, [Values] bool transposeA, [Values] bool transposeB) =>
        Check(mnk[0], mnk[1], mnk[2], transposeA, transposeB, 0, Extras.None);

    [Test]
    public void LeadingDimensionsLargerThanTheRows([Values] bool transposeA, [Values] bool transposeB, [Values(1, 5)] int extra)
    {
        Check(19, 83, 45, transposeA, transposeB, extra, Extras.Bias | Extras.Residual | Extras.Accumulate);
        Check(4, 50, 70, transposeA, transposeB, extra, Extras.Bias | Extras.Residual);
        Check(130, 3, 70, transposeA, transposeB, extra, Extras.Accumulate);
    }

    /// <summary>Steps that fall into one cache set are copied first.</summary>
    [Test]
    public void LeadingDimensionsOfAPowerOfTwo([Values(300, 600)] int k, [Values] bool transposeB) =>
        Check(50, 70, k, true, transposeB, 1024 - 50, Extras.Bias | Extras.Accumulate);

    [Test]
    public void EpilogueInEveryCombination([Range(0, 7)] int extras, [Values(1, 5, 32, 64, 75)] int n)
    {
        Check(23, n, 37, false, true, 0, (Extras)extras);
        Check(23, n, 1200, false, false, 0, (Extras)extras);
        Check(3, n, 1200, false, true, 0, (Extras)extras);
    }

    [Test]
    public void ResidualMayBeTheResultItself()
    {
        using Native a = Native.Random(new Random(1), 20 * 30), b = Native.Random(new Random(2), 30 * 40);
        using Native c = Native.Random(new Random(3), 20 * 40);
        MatMulShape shape = MatMulShape.Contiguous(20, 40, 30);
        double[] expected = ProductReference.MatMul(shape, a.Values, b.Values, c.Values, accumulate: true);
        kernels.MatMul(shape, a.Ptr, b.Ptr, new Target(c.Ptr, false), default, c.Ptr);
        Assert.That(c.RelativeError(expected), Is.LessThan(1e-6));
    }

    [Test]
    public void NothingIsAllocatedOnceWarm()
    {
        using Native a = Native.Random(new Random(1), 64 * 64), c = new(64 * 64);
        long before = 0;
        for (int round = 0; round < 3; round++)
        {
            before = GC.GetAllocatedBytesForCurrentThread();
            kernels.MatMul(MatMulShape.Contiguous(64, 64, 64), a.Ptr, a.Ptr, new Target(c.Ptr, false));
            kernels.MatMul(MatMulShape.Contiguous(4, 64, 64, false, true), a.Ptr, a.Ptr, new Target(c.Ptr, false));
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void NothingIsComputedForNoTarget() =>
        Assert.That(() => kernels.MatMul(MatMulShape.Contiguous(2, 2, 2), default, default, Target.None), Throws.Nothing);

    [Test]
    public void BitsDoNotDependOnTheNumberOfThreads([Values] bool transposeB)
    {
        using Native a = Native.Random(new Random(1), 300 * 700), b = Native.Random(new Random(2), 700 * 260);
        using Native one = new(300 * 260), many = new(300 * 260);
        int threads = CpuThreads.Count;
        MatMulShape shape = MatMulShape.Contiguous(300, 260, 700, false, transposeB);
        try
        {
            CpuThreads.Count = 1;
            kernels.MatMul(shape, a.Ptr, b.Ptr, new Target(one.Ptr, false));
            CpuThreads.Count = 5;
            kernels.MatMul(shape, a.Ptr, b.Ptr, new Target(many.Ptr, false));
        }
        finally
        {
            CpuThreads.Count = threads;
        }

        Assert.That(many.Span.SequenceEqual(one.Span));
    }

    private void Check(int m, int n, int k, bool transposeA, bool transposeB, int extra, Extras extras)
    {
        var random = new Random(m * 1000 + n * 100 + k);
        int ldA = (transposeA ? m : k) + extra, ldB = (transposeB ? k : n) + extra, ldC = n + extra;
        using Native a = Native.Random(random, (transposeA ? k : m) * ldA - extra, 1);
        using Native b = Native.Random(random, (transposeB ? n : k) * ldB - extra, 3);
        using Native c = Native.Random(random, m * ldC - extra);
        using Native bias = Native.Random(random, n), residual = Native.Random(random, m * ldC - extra, 2);
        bool accumulate = extras.HasFlag(Extras.Accumulate), biased = extras.HasFlag(Extras.Bias);
        bool added = extras.HasFlag(Extras.Residual);
        var shape = new MatMulShape(m, n, k, transposeA, transposeB, ldA, ldB, ldC);
        double[] expected = ProductReference.MatMul(
            shape, a.Values, b.Values, c.Values, accumulate, biased ? bias.Values : null, added ? residual.Values : null);
        kernels.MatMul(shape, a.Ptr, b.Ptr, new Target(c.Ptr, accumulate), biased ? bias.Ptr : default,
            added ? residual.Ptr : default);
        Assert.That(c.RelativeError(expected), Is.LessThan(2e-6), $"{m}x{n}x{k} {transposeA} {transposeB} {extras}");
        Assert.That(c.GuardsIntact());
    }

    [Flags]
    private enum Extras
    {
        None = 0,
        Bias = 1,
        Residual = 2,
        Accumulate = 4,
    }
}
