using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tests;
using static Mdm.CudaEmulator.Tests.AttentionNumbers;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Every compilation of the attention kernels against the formulas in float64: odd lengths, masks, biases, rows inside
/// wider rows (aligned and not), gradients that are added, and either size of block.</summary>
public sealed class AttentionTests
{
    /// <param name="Extra">Columns beside the heads in every row; the heads begin at Extra/2.</param>
    public sealed record Case(DType Type, AttentionShape Shape, Masked Mask = Masked.No, int Extra = 0, bool Bias = false)
    {
        public override string ToString() =>
            $"{Type}, {Shape.Batch}x{Shape.Heads}x{Shape.HeadWidth}, {Shape.Queries} queries, {Shape.Keys} keys, mask {Mask}, "
            + $"{Extra} columns more{(Bias ? ", bias" : "")}";
    }

    private static IEnumerable<Case> Cases()
    {
        (int Queries, int Keys, Masked Mask)[] sizes =
        [
            (1, 1, Masked.No), (5, 37, Masked.Some), (64, 65, Masked.AllButOne), (130, 64, Masked.No),
            (65, 130, Masked.OneSample),
        ];

        // On tensor cores: widths that fill their compilation and widths that do not. The emulated GPU has 4 multiprocessors;
        // with fewer blocks of 128 rows, they get 64 each.
        foreach (int width in new[] { 32, 48, 64, 96, 128, 8, 40, 72, 88, 104 })
            foreach ((int queries, int keys, Masked mask) in width % 32 == 0 ? sizes : sizes[3..])
                yield return new(DType.BFloat16, Shape(mask == Masked.No ? 1 : 2, 1, width, queries, keys), mask, 16);
        foreach (int width in new[] { 32, 48, 64, 96, 128, 40, 72 })
        {
            yield return new(DType.BFloat16, Shape(2, 2, width, 130, 66), Masked.Some, 16);
            yield return new(DType.BFloat16, Shape(2, 2, width, 37, 130), width == 64 ? Masked.No : Masked.OneSample, 16);
        }

        // Many tiles.
        yield return new(DType.BFloat16, Shape(1, 1, 64, 300, 523), Masked.Some, 16);
        yield return new(DType.Float32, Shape(1, 1, 64, 300, 523), Masked.Some, 16);

        // Rows that are not aligned, and odd widths.
        foreach (int width in new[] { 1, 20, 47, 63, 96, 121 })
            yield return new(DType.BFloat16, Shape(2, 2, width, 37, 70), Masked.Some, 6);

        // The generic kernels: both types, each number of columns a block, several slices.
        foreach (int width in new[] { 1, 64, 81, 128, 160 })
            foreach ((int queries, int keys, Masked mask) in width % 64 == 0 ? sizes : sizes[3..])
                yield return new(DType.Float32, Shape(2, 1, width, queries, keys), mask, 8);
        yield return new(DType.Float32, Shape(2, 3, 20, 37, 70), Masked.Some, 5);
        yield return new(DType.Float32, Shape(1, 2, 64, 70, 66), Masked.Some, 8, Bias: true);
        yield return new(DType.Float32, Shape(1, 1, 9, 5, 7) with { Scale = -0.5f });
        foreach (int width in new[] { 136, 200 })
            yield return new(DType.BFloat16, Shape(1, 2, width, 65, 66), Masked.Some, 16);
        yield return new(DType.BFloat16, Shape(2, 2, 64, 70, 66), Masked.Some, 16, Bias: true);
        yield return new(DType.BFloat16, Shape(1, 1, 16, 5, 7) with { Scale = -0.5f });

        // Nothing to attend to, and nobody who asks.
        foreach (DType type in new[] { DType.BFloat16, DType.Float32 })
        {
            yield return new(type, Shape(1, 2, 32, 5, 0));
            yield return new(type, Shape(1, 2, 32, 0, 5));
        }
    }

    private static AttentionShape Shape(int batch, int heads, int width, int queries, int keys) =>
        new(batch, heads, width, queries, keys, 1 / MathF.Sqrt(width));

    [TearDown]
    public void ForgetError() => Planted.ForgetError();

    [TestCaseSource(nameof(Cases))]
    public void Output_and_gradients(Case test)
    {
        AttentionShape s = test.Shape;
        int c = s.Heads * s.HeadWidth, queryRows = s.Batch * s.Queries, keyRows = s.Batch * s.Keys;
        double tolerance = test.Type == DType.Float32 ? 1e-5 : 1e-2;
        using AttentionOperands on = new(Devices.Open("cuda"), test.Type, c, test.Extra);
        double[] q = Draw(queryRows * c, 1), k = Draw(keyRows * c, 2), v = Draw(keyRows * c, 3), dO = Draw(queryRows * c, 4);
        double[]? mask = DrawMask(test.Mask, s), bias = test.Bias ? Draw(s.Heads * s.Queries * s.Keys, 5) : null;
        AttentionReference expected = new(s, q, k, v, mask, bias, dO);

        Rows pq = on.Rows(q), pk = on.Rows(k), pv = on.Rows(v), pdO = on.Rows(dO), po = on.Rows(new double[q.Length]);
        Ptr pMask = on.Floats(mask), pBias = on.Floats(bias), sums = on.Floats(new double[s.Batch * s.Heads * s.Queries]);
        on.Device.Kernels.AttentionForward(s, pq, pk, pv, pMask, po, sums, pBias);
        on.Near(po, expected.O, tolerance, "o");
        double[] logSums = on.Floats(sums, expected.LogSumExp.Length);
        for (int i = 0; i < logSums.Length; i++)
            Assert.That(logSums[i], Is.EqualTo(expected.LogSumExp[i]).Within(1e-5 + (1e-5 * Math.Abs(expected.LogSumExp[i]))));

        Rows dq = on.Rows(new double[q.Length]), dk = on.Rows(new double[k.Length]), dv = on.Rows(new double[k.Length]);
        void Backward(bool wantsQ, bool wantsK, bool wantsV, bool add) => on.Device.Kernels.AttentionBackward(
            s, pq, pk, pv, pMask, po, sums, pdO, wantsQ ? To(dq, add) : default, wantsK ? To(dk, add) : default,
            wantsV ? To(dv, add) : default, pBias);
        Backward(true, true, true, false);
        // Of a single key the weight is 1 whatever q is: then dq and dk are 0 but for rounding.
        double scale = Math.Max(Norm(expected.DV), 1e-30);
        on.Near(dv, expected.DV, tolerance, "dv");
        on.Near(dq, expected.DQ, tolerance, "dq", scale / 10);
        on.Near(dk, expected.DK, tolerance, "dk", scale / 10);
        Backward(true, false, false, true);
        Backward(false, true, false, true);
        on.Near(dq, Twice(expected.DQ), tolerance, "dq added", scale / 10);
        on.Near(dk, Twice(expected.DK), tolerance, "dk added", scale / 10);
        on.Near(dv, expected.DV, tolerance, "dv not asked for");
        Backward(false, false, true, true);
        on.Near(dv, Twice(expected.DV), tolerance, "dv added");
    }

    [TestCase(DType.Float32, 1e-4)]
    [TestCase(DType.BFloat16, 1e-2)]
    public void Scores_of_hundreds_are_stable(DType type, double tolerance)
    {
        AttentionShape s = new(1, 1, 64, 66, 130, 1);
        using AttentionOperands on = new(Devices.Open("cuda"), type, 64, 0);
        double[] q = Draw(66 * 64, 1, 8), k = Draw(130 * 64, 2, 8), v = Draw(130 * 64, 3), dO = Draw(66 * 64, 4);
        AttentionReference expected = new(s, q, k, v, null, null, dO);
        Assert.That(expected.LogSumExp.Max(), Is.GreaterThan(500));
        Rows pq = on.Rows(q), pk = on.Rows(k), pv = on.Rows(v), po = on.Rows(new double[q.Length]);
        Rows dq = on.Rows(new double[q.Length]);
        Ptr sums = on.Floats(new double[66]);
        on.Device.Kernels.AttentionForward(s, pq, pk, pv, Ptr.None, po, sums);
        on.Near(po, expected.O, tolerance, "o");
        on.Device.Kernels.AttentionBackward(s, pq, pk, pv, Ptr.None, po, sums, on.Rows(dO), To(dq, false), default, default);
        Assert.That(on.Read(dq), Has.All.Matches<double>(double.IsFinite));
    }

    private static RowsTarget To(Rows rows, bool add) => new(rows.Ptr, rows.Stride, add);
}
