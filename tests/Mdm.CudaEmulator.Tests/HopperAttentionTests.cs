using Mdm.Kernels;
using Mdm.Kernels.Cuda.Products;
using Mdm.Tests;
using static Mdm.CudaEmulator.Tests.AttentionNumbers;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Attention on the matrix core of Hopper, on an emulated GPU of capability 9.0 with 4 multiprocessors, against the
/// formulas in float64: odd lengths, masks, rows inside wider rows of NaN, blocks that take several tiles.</summary>
public sealed class HopperAttentionTests : HopperFixture
{
    private const double Tolerance = 1e-2;

    [TestCase(32, 1, 1, 1, 1, Masked.No)]
    [TestCase(32, 2, 1, 130, 129, Masked.AllButOne)]
    [TestCase(64, 1, 1, 128, 128, Masked.No)]
    [TestCase(64, 2, 3, 65, 37, Masked.Some)]
    [TestCase(64, 1, 2, 150, 700, Masked.Some)] // more tiles of keys than stages
    [TestCase(64, 2, 1, 129, 257, Masked.OneSample)]
    [TestCase(64, 3, 3, 66, 70, Masked.No)] // more tiles of queries than two rounds of the blocks
    [TestCase(96, 2, 2, 67, 131, Masked.Some)]
    [TestCase(96, 1, 1, 256, 256, Masked.No)]
    [TestCase(128, 1, 2, 70, 390, Masked.No)]
    [TestCase(128, 2, 1, 63, 140, Masked.AllButOne)]
    [TestCase(8, 1, 2, 5, 9, Masked.No)]
    [TestCase(40, 2, 2, 66, 70, Masked.Some)]
    [TestCase(72, 1, 2, 66, 150, Masked.No)]
    [TestCase(104, 2, 1, 40, 33, Masked.OneSample)]
    public void Forward(int width, int batch, int heads, int queries, int keys, Masked masked)
    {
        AttentionShape s = new(batch, heads, width, queries, keys, 1 / MathF.Sqrt(width));
        Check(s, masked, 16, 1);
    }

    [TestCase(32, 1, 1, 1, 1, Masked.No)]
    [TestCase(32, 2, 1, 130, 129, Masked.AllButOne)]
    [TestCase(64, 1, 1, 128, 128, Masked.No)]
    [TestCase(64, 2, 3, 65, 37, Masked.Some)]
    [TestCase(64, 1, 1, 350, 150, Masked.Some)] // more tiles of queries than stages
    [TestCase(64, 1, 1, 150, 700, Masked.Some)] // more tiles of keys than stages
    [TestCase(64, 2, 1, 129, 257, Masked.OneSample)]
    [TestCase(64, 3, 3, 66, 70, Masked.No)] // more tiles than two rounds of the blocks
    [TestCase(96, 2, 2, 67, 131, Masked.Some)]
    [TestCase(96, 1, 1, 256, 256, Masked.No)]
    [TestCase(128, 1, 2, 170, 190, Masked.No)]
    [TestCase(128, 2, 1, 63, 140, Masked.AllButOne)]
    [TestCase(8, 1, 2, 5, 9, Masked.No)]
    [TestCase(40, 2, 2, 66, 70, Masked.Some)]
    [TestCase(72, 1, 2, 66, 150, Masked.No)]
    [TestCase(104, 2, 1, 40, 33, Masked.OneSample)]
    public void Backward(int width, int batch, int heads, int queries, int keys, Masked masked) =>
        CheckBackward(new(batch, heads, width, queries, keys, 1 / MathF.Sqrt(width)), masked, 16);

    [Test]
    public void ScoresOfHundreds() => Check(new(1, 1, 64, 66, 290, 1), Masked.No, 0, 8);

    [TestCase("reverse")]
    [TestCase("shuffle:7")]
    public void InAnyOrderOfThreads(string order)
    {
        Planted.SetOrder(order);
        Check(new(1, 5, 64, 70, 400, 0.1f), Masked.Some, 0, 1);
        CheckBackward(new(1, 5, 64, 140, 150, 0.1f), Masked.Some, 0);
        Planted.SetOrder("shuffle");
    }

    // The portable kernels take tiles of 64 keys and so round differently.
    [TestCase(65, true)]
    [TestCase(64, false)]
    public void TheContractComesHereWithMoreThan64Queries(int queries, bool comes)
    {
        AttentionShape s = new(1, 1, 64, queries, 300, 0.125f);
        using AttentionOperands on = new(device, DType.BFloat16, 64, 0);
        Rows q = on.Rows(Draw(queries * 64, 1, 4)), k = on.Rows(Draw(300 * 64, 2, 4)), v = on.Rows(Draw(300 * 64, 3));
        Rows dO = on.Rows(Draw(queries * 64, 4));
        Rows[] results = [.. Enumerable.Range(0, 8).Select(i => on.Rows(new double[(i % 4 < 2 ? queries : 300) * 64]))];
        Ptr sums = on.Floats(new double[queries]), delta = on.Floats(new double[queries]);
        RowsTarget To(int i) => new(results[i].Ptr, results[i].Stride, false);
        kernels.AttentionForward(s, q, k, v, Ptr.None, results[0], sums);
        Assert.That(kernels.HopperAttentionForward(s, q, k, v, Ptr.None, results[4], sums));
        // With o = 0, δ is 0.
        Rows zeros = on.Rows(new double[queries * 64]);
        kernels.AttentionBackward(s, q, k, v, Ptr.None, zeros, sums, dO, To(1), To(2), To(3));
        Assert.That(kernels.HopperAttentionBackward(s, q, k, v, Ptr.None, sums, delta, dO, To(5), To(6), To(7)));
        for (int i = 0; i < 4; i++)
            Assert.That(on.Read(results[i]).SequenceEqual(on.Read(results[4 + i])), Is.EqualTo(comes), $"result {i}");
    }

    [Test]
    public void WhatItCannotDoIsLeftToThePortableKernels()
    {
        var hopper = new Hopper(device);
        AttentionShape good = new(1, 2, 64, 65, 65, 1);
        var rows = new Rows(new Ptr(4096, DType.BFloat16), 128);
        Assert.That(hopper.Handles(good, rows, rows));
        Assert.That(hopper.Handles(good, rows, rows with { Ptr = rows.Ptr + 1 }), Is.False, "address");
        Assert.That(hopper.Handles(good, rows with { Stride = 130 }, rows), Is.False, "stride");
        Assert.That(hopper.Handles(good, rows with { Ptr = new(4096, DType.Float32) }, rows), Is.False, "type");
        Assert.That(hopper.Handles(good with { HeadWidth = 60 }, rows), Is.False, "width of a head");
        Assert.That(hopper.Handles(good with { HeadWidth = 136 }, rows), Is.False, "width of a head");
        Assert.That(hopper.Handles(good with { Scale = -1 }, rows), Is.False, "scale");
        Assert.That(hopper.Handles(good with { Keys = 0 }, rows), Is.False, "no keys");
    }

    // From the float64 log-sums and δ, so that these kernels alone are judged; the sums, then each alone and added.
    private void CheckBackward(AttentionShape s, Masked masked, int extra)
    {
        int c = s.Heads * s.HeadWidth;
        using AttentionOperands on = new(device, DType.BFloat16, c, extra);
        double[] q = Draw(s.Batch * s.Queries * c, 1), k = Draw(s.Batch * s.Keys * c, 2);
        double[] v = Draw(k.Length, 3), dO = Draw(q.Length, 4);
        double[]? mask = DrawMask(masked, s);
        AttentionReference expected = new(s, q, k, v, mask, null, dO);
        var delta = new double[expected.LogSumExp.Length];
        for (int i = 0; i < q.Length; i++)
        {
            (int row, int head) = (i / c, i % c / s.HeadWidth);
            delta[(row / s.Queries * s.Heads + head) * s.Queries + row % s.Queries] += dO[i] * expected.O[i];
        }

        Rows pq = on.Rows(q), pk = on.Rows(k), pv = on.Rows(v), pdO = on.Rows(dO);
        Rows dq = on.Rows(new double[q.Length]), dk = on.Rows(new double[k.Length]), dv = on.Rows(new double[k.Length]);
        Ptr pMask = on.Floats(mask), sums = on.Floats(expected.LogSumExp), deltas = on.Floats(delta);
        void Backward(bool wantsQ, bool wantsK, bool wantsV, bool add) => Assert.That(kernels.HopperAttentionBackward(
            s, pq, pk, pv, pMask, sums, deltas, pdO, wantsQ ? new(dq.Ptr, dq.Stride, add) : default,
            wantsK ? new(dk.Ptr, dk.Stride, add) : default, wantsV ? new(dv.Ptr, dv.Stride, add) : default));
        // Of a single key the weight is 1 whatever q is: then dq and dk are 0 but for rounding.
        double least = Norm(expected.DV) / 10;
        Backward(true, true, true, false);
        on.Near(dv, expected.DV, Tolerance, "dv");
        on.Near(dq, expected.DQ, Tolerance, "dq", least);
        on.Near(dk, expected.DK, Tolerance, "dk", least);
        Backward(true, false, true, true);
        on.Near(dq, Twice(expected.DQ), Tolerance, "dq added", least);
        on.Near(dv, Twice(expected.DV), Tolerance, "dv added");
        on.Near(dk, expected.DK, Tolerance, "dk not asked for", least);
        Backward(false, true, false, true);
        on.Near(dk, Twice(expected.DK), Tolerance, "dk added", least);
    }

    private void Check(AttentionShape s, Masked masked, int extra, double range)
    {
        int c = s.Heads * s.HeadWidth;
        using AttentionOperands on = new(device, DType.BFloat16, c, extra);
        double[] q = Draw(s.Batch * s.Queries * c, 1, range), k = Draw(s.Batch * s.Keys * c, 2, range);
        double[] v = Draw(k.Length, 3), dO = Draw(q.Length, 4);
        double[]? mask = DrawMask(masked, s);
        AttentionReference expected = new(s, q, k, v, mask, null, dO);
        Rows pq = on.Rows(q), pk = on.Rows(k), pv = on.Rows(v), po = on.Rows(new double[q.Length]);
        Ptr pMask = on.Floats(mask), sums = on.Floats(new double[s.Batch * s.Heads * s.Queries]);
        Assert.That(kernels.HopperAttentionForward(s, pq, pk, pv, pMask, po, sums));
        on.Near(po, expected.O, Tolerance, "o");
        double[] logSums = on.Floats(sums, expected.LogSumExp.Length);
        for (int i = 0; i < logSums.Length; i++)
            Assert.That(logSums[i], Is.EqualTo(expected.LogSumExp[i]).Within(1e-5 + (1e-5 * Math.Abs(expected.LogSumExp[i]))));
    }
}
