using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Matrix products with every tile, against float64.</summary>
[NonParallelizable]
public sealed class MatrixTests
{
    private static readonly (int M, int N, int K)[] s_sizes =
    [
        (1, 1, 1), (1, 200, 65), (3, 17, 129), (17, 3, 64), (64, 64, 64), (65, 129, 17), (127, 65, 200), (129, 127, 127),
        (200, 1, 3), (129, 264, 72),
    ];

    private CudaDevice device = null!;
    private long libraryCalls;

    private static IEnumerable<TestCaseData> Tiles() => ProductTile.All.Select(tile => new TestCaseData(tile)
        .SetArgDisplayNames($"{tile.Math} {tile.M}x{tile.N}{(tile.Aligned ? "" : " unaligned")}"));

    private static IEnumerable<TestCaseData> TilesAndTranspositions() =>
        from tile in Tiles()
        from transposition in new[] { "nn", "nt", "tn", "tt" }
        select new TestCaseData(tile.Arguments[0], transposition).SetArgDisplayNames(tile.ArgDisplayNames![0], transposition);

    [SetUp]
    public void Open() => device = (CudaDevice)Devices.Open("cuda");

    [TearDown]
    public void Restore()
    {
        ProductPlan.Forced = null;
        device.AllowTf32 = false;
        device.KernelChoice = KernelChoice.Own;
        Planted.ForgetError();
    }

    [TestCaseSource(nameof(TilesAndTranspositions))]
    public void EverySize(object tile, string transposition)
    {
        foreach ((int m, int n, int k) in s_sizes)
            Check((ProductTile)tile, 1, m, n, k, transposition, Extras.None);
    }

    [TestCaseSource(nameof(Tiles))]
    public void EpiloguesAndLeadingDimensions(object tile)
    {
        for (int extras = 0; extras < 16; extras++)
        {
            Check((ProductTile)tile, 1, 70, 72, 40, "nt", (Extras)extras);
            Check((ProductTile)tile, 1, 5, 67, 9, "nn", (Extras)extras, extra: 3);
        }

        Check((ProductTile)tile, 1, 70, 72, 40, "tn", Extras.Bias | Extras.Residual, extra: 8);
    }

    [TestCaseSource(nameof(Tiles))]
    public void DividedOverK(object tile)
    {
        foreach (int parts in new[] { 2, 3, 7 })
        {
            Check((ProductTile)tile, parts, 65, 40, 520, "tn", Extras.None);
            Check((ProductTile)tile, parts, 33, 67, 300, "nt", Extras.Bias | Extras.Residual | Extras.Accumulate);
            Check((ProductTile)tile, parts, 33, 64, 300, "nn", Extras.Bias | Extras.Float | Extras.Accumulate);
        }
    }

    [TestCaseSource(nameof(Tiles))]
    public void NoTermsLeaveBiasAndResidual(object tile) =>
        Check((ProductTile)tile, 1, 9, 12, 0, "nt", Extras.Bias | Extras.Residual);

    [TestCaseSource(nameof(Tiles))]
    public void GeluAndItsGradient(object tile)
    {
        foreach (int parts in new[] { 1, 3 })
        {
            CheckGelu((ProductTile)tile, parts, 70, 72, 200, 72);
            CheckGelu((ProductTile)tile, parts, 33, 67, 200, 70);
        }
    }

    [TestCaseSource(nameof(Tiles))]
    public void GradientsOfAWeightAndItsBias(object tile)
    {
        foreach ((int m, int n, int k) in new[] { (65, 40, 520), (129, 264, 200), (3, 17, 129), (200, 1, 3), (9, 12, 0) })
            for (int parts = 1; parts < 4; parts += 2)
                CheckWeightGradient((ProductTile)tile, parts, m, n, k, accumulate: parts == 3);
    }

    [Test]
    public void EitherGradientAlone([Values(DType.Float32, DType.BFloat16)] DType type)
    {
        const int m = 40, n = 24, k = 300;
        using Operand dy = Operand.Random(device, type, 1, k * m), x = Operand.Random(device, type, 2, k * n);
        using Operand dw = Operand.Random(device, DType.Float32, 3, m * n), db = Operand.Random(device, DType.Float32, 4, m);
        MatMulShape shape = MatMulShape.Contiguous(m, n, k, transposeA: true);
        device.Kernels.MatMulBackwardWeight(shape, dy.Ptr, x.Ptr, new Target(dw.Ptr, false), new Target(db.Ptr, false));
        double[] weight = dw.Read(), bias = db.Read();
        using Operand one = Operand.Random(device, DType.Float32, 5, m * n), other = Operand.Random(device, DType.Float32, 6, m);
        device.Kernels.MatMulBackwardWeight(shape, dy.Ptr, x.Ptr, new Target(one.Ptr, false), Target.None);
        device.Kernels.MatMulBackwardWeight(shape, dy.Ptr, x.Ptr, Target.None, new Target(other.Ptr, false));
        device.Kernels.MatMulBackwardWeight(shape with { N = 0 }, dy.Ptr, x.Ptr, new Target(one.Ptr, false), Target.None);
        Assert.That(one.Read(), Is.EqualTo(weight), "the weight's, bit by bit");
        Assert.That(other.RelativeError(bias), Is.LessThan(1e-6), "the bias's");
        device.Kernels.MatMulBackwardWeight(shape with { N = 0 }, dy.Ptr, x.Ptr, new Target(one.Ptr, false), new Target(db.Ptr, true));
        Assert.That(db.RelativeError([.. bias.Select(v => 2 * v)]), Is.LessThan(1e-6), "added, a weight without inputs");
    }

    [Test]
    public void OperandsAtOddAddresses([Values(DType.Float32, DType.BFloat16)] DType type, [Values] bool skipA)
    {
        Check(null, 1, 70, 72, 64, "nt", Extras.Bias | Extras.Residual, 0, type, skipA ? 1 : 0, skipA ? 0 : 3);
        Check(null, 1, 70, 72, 64, "tn", Extras.Float, 0, type, skipA ? 1 : 0, skipA ? 0 : 3);
    }

    [Test]
    public void NothingToDoLaunchesNothing() => Assert.That(
        () =>
        {
            Ptr none = new(0, DType.Float32);
            device.Kernels.MatMul(MatMulShape.Contiguous(0, 5, 3), none, none, new Target(new Ptr(16, DType.Float32), false));
            device.Kernels.MatMul(MatMulShape.Contiguous(5, 0, 3), none, none, new Target(new Ptr(16, DType.Float32), false));
            device.Kernels.MatMul(MatMulShape.Contiguous(5, 5, 3), none, none, Target.None);
            device.Synchronize();
        },
        Throws.Nothing);

    /// <summary>The same by cuBLASLt, which knows no way for bfloat16 rows at odd distances here: there the own kernels compute.</summary>
    [Test]
    public void EverySizeByTheLibrary(
        [Values(ProductMath.Simt, ProductMath.Tf32, ProductMath.Bf16)] object math, [Values("nn", "nt", "tn", "tt")] string transposition)
    {
        UseLibrary();
        ProductTile tile = ProductTile.All.First(t => t.Math == (ProductMath)math);
        foreach ((int m, int n, int k) in s_sizes)
        {
            Check(tile, 1, m, n, k, transposition, Extras.None);
            Served(tile.Math != ProductMath.Bf16 || n % 2 == 0 ? 1 : 0, $"{m}x{n}x{k}");
        }
    }

    [Test]
    public void EpiloguesByTheLibrary([Values(ProductMath.Simt, ProductMath.Bf16)] object math)
    {
        UseLibrary();
        ProductTile tile = ProductTile.All.First(t => t.Math == (ProductMath)math);
        for (int extras = 0; extras < 16; extras++)
        {
            Check(tile, 1, 70, 72, 40, "nt", (Extras)extras);
            Check(tile, 1, 6, 66, 10, "nn", (Extras)extras, extra: 2);
            Check(tile, 1, 34, 64, 300, "tn", (Extras)extras, extra: 8); // long enough for workspace
        }

        Served(3 * 16, "epilogues");
        foreach (int ldC in (int[])[72, 74])
            CheckGelu(tile, 1, 70, 72, 200, ldC);
        Served(2 * 3, "GELU");
        Check(tile, 1, 9, 12, 0, "nt", Extras.Bias | Extras.Residual);
        Served(0, "no terms");
        foreach (Extras extras in (Extras[])[Extras.None, Extras.Bias | Extras.Residual | Extras.Accumulate])
            Check(tile, 1, 10, 12, 77, "nt", extras, extra: 1);
        Served(0, "what the stand-in refuses at last");
    }

    private void UseLibrary()
    {
        Assume.That(device.HasLibraries, "cuBLASLt is not installed");
        device.KernelChoice = KernelChoice.Library;
        libraryCalls = device.LibraryCalls;
    }

    /// <summary>The library computed so many products since this was asked last. The true one is free to refuse some.</summary>
    private void Served(int products, string what)
    {
        if (!EmulatorSetUp.OnGpu)
            Assert.That(device.LibraryCalls - libraryCalls, Is.EqualTo(products), what);
        libraryCalls = device.LibraryCalls;
    }

    private void Check(ProductTile? tile, int parts, int m, int n, int k, string transposition, Extras extras, int extra = 0,
        DType type = default, int skipA = 0, int skipC = 0)
    {
        ProductMath math = tile?.Math ?? (type == DType.BFloat16 ? ProductMath.Bf16 : ProductMath.Simt);
        type = math == ProductMath.Bf16 ? DType.BFloat16 : DType.Float32;
        device.AllowTf32 = math == ProductMath.Tf32;
        ProductPlan.Forced = tile == null ? null : new ProductPlan(tile, parts);
        bool transposeA = transposition[0] == 't', transposeB = transposition[1] == 't';
        int wide = tile is { Aligned: true } && extra == 0 ? 8 : 1;
        int ldA = Round(transposeA ? m : k, wide) + extra, ldB = Round(transposeB ? k : n, wide) + extra, ldC = n + extra;
        DType written = extras.HasFlag(Extras.Float) ? DType.Float32 : type;
        using Operand a = Operand.Random(device, type, 1, Math.Max(1, (transposeA ? k : m) * ldA), skipA);
        using Operand b = Operand.Random(device, type, 2, Math.Max(1, (transposeB ? n : k) * ldB));
        using Operand c = Operand.Random(device, written, 3, m * ldC, skipC);
        using Operand bias = Operand.Random(device, DType.Float32, 4, n);
        using Operand residual = Operand.Random(device, written, 5, m * ldC, skipC);
        bool accumulate = extras.HasFlag(Extras.Accumulate), biased = extras.HasFlag(Extras.Bias);
        bool added = extras.HasFlag(Extras.Residual);
        var shape = new MatMulShape(m, n, k, transposeA, transposeB, ldA, ldB, ldC);
        double[] expected = ProductReference.MatMul(
            shape, a.Values, b.Values, c.Values, accumulate, biased ? bias.Values : null, added ? residual.Values : null);
        device.Kernels.MatMul(shape, a.Ptr, b.Ptr, new Target(c.Ptr, accumulate), biased ? bias.Ptr : default,
            added ? residual.Ptr : default);
        double tolerance = math switch { ProductMath.Simt => 1e-6, ProductMath.Tf32 => 1e-3, _ => written == type ? 4e-3 : 1e-6 };
        Assert.That(c.RelativeError(expected), Is.LessThan(tolerance),
            $"{tile} {parts} parts {m}x{n}x{k} {transposition} {extras} +{extra}");
    }

    private void CheckGelu(ProductTile tile, int parts, int m, int n, int k, int ldC)
    {
        DType type = tile.Math == ProductMath.Bf16 ? DType.BFloat16 : DType.Float32;
        device.AllowTf32 = tile.Math == ProductMath.Tf32;
        ProductPlan.Forced = new ProductPlan(tile, parts);
        using Operand a = Operand.Random(device, type, 1, m * k), b = Operand.Random(device, type, 2, n * k);
        using Operand bias = Operand.Random(device, DType.Float32, 3, n);
        using Operand z = Operand.Random(device, type, 4, m * ldC), c = Operand.Random(device, type, 5, m * ldC);
        var shape = new MatMulShape(m, n, k, false, true, k, k, ldC);
        double[] products = ProductReference.MatMul(shape, a.Values, b.Values, c.Values, accumulate: false);
        double[] expectedZ = [.. z.Values], expectedGelu = [.. c.Values], expectedGradient = [.. c.Values];
        for (int at = 0; at < products.Length; at++)
        {
            if (at % ldC >= n)
                continue;
            expectedZ[at] = products[at] + bias.Values[at % ldC];
            expectedGelu[at] = NormalDistribution.Gelu(expectedZ[at]);
            expectedGradient[at] = products[at] * NormalDistribution.GeluSlope(z.Values[at]);
        }

        double tolerance = tile.Math switch { ProductMath.Simt => 2e-6, ProductMath.Tf32 => 1e-3, _ => 4e-3 };
        device.Kernels.MatMulGeluBackward(shape, a.Ptr, b.Ptr, z.Ptr, c.Ptr);
        Assert.That(c.RelativeError(expectedGradient), Is.LessThan(tolerance), $"gradient, {parts} parts");
        device.Kernels.MatMulGelu(shape, a.Ptr, b.Ptr, bias.Ptr, z.Ptr, c.Ptr);
        Assert.That(z.RelativeError(expectedZ), Is.LessThan(tolerance), $"z, {parts} parts");
        double[] stored = c.Read();
        device.Kernels.MatMulGelu(shape, a.Ptr, b.Ptr, bias.Ptr, Ptr.None, c.Ptr);
        Assert.That(c.Read(), Is.EqualTo(stored), "without z");
        Assert.That(c.RelativeError(expectedGelu), Is.LessThan(tolerance), $"GELU, {parts} parts");
    }

    private void CheckWeightGradient(ProductTile tile, int parts, int m, int n, int k, bool accumulate)
    {
        DType type = tile.Math == ProductMath.Bf16 ? DType.BFloat16 : DType.Float32;
        device.AllowTf32 = tile.Math == ProductMath.Tf32;
        ProductPlan.Forced = new ProductPlan(tile, parts);
        if (tile.Aligned)
            (m, n) = (Round(m, 8), Round(n, 8));
        using Operand dy = Operand.Random(device, type, 1, Math.Max(1, k * m)), x = Operand.Random(device, type, 2, Math.Max(1, k * n));
        using Operand dw = Operand.Random(device, DType.Float32, 3, m * n), db = Operand.Random(device, DType.Float32, 4, m);
        MatMulShape shape = MatMulShape.Contiguous(m, n, k, transposeA: true);
        double[] weight = ProductReference.MatMul(shape, dy.Values, x.Values, dw.Values, accumulate), bias = new double[m];
        for (int i = 0; i < m; i++)
        {
            bias[i] = accumulate ? db.Values[i] : 0;
            for (int p = 0; p < k; p++)
                bias[i] += dy.Values[p * m + i];
        }

        device.Kernels.MatMulBackwardWeight(
            shape, dy.Ptr, x.Ptr, new Target(dw.Ptr, accumulate), new Target(db.Ptr, accumulate));
        string what = $"{tile} {parts} parts {m}x{n}x{k}";
        double tolerance = tile.Math == ProductMath.Tf32 ? 1e-3 : 1e-6;
        if (k == 0 && !accumulate)
        {
            Assert.That(dw.Read().Concat(db.Read()), Is.All.Zero, what);
            return;
        }

        Assert.That(dw.RelativeError(weight), Is.LessThan(tolerance), $"weight, {what}");
        Assert.That(db.RelativeError(bias), Is.LessThan(tolerance), $"bias, {what}");
    }

    private static int Round(int n, int multiple) => (n + multiple - 1) / multiple * multiple;

    [Flags]
    private enum Extras
    {
        None = 0,
        Bias = 1,
        Residual = 2,
        Accumulate = 4,
        Float = 8,
    }
}
