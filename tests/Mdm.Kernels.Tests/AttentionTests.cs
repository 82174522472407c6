using Mdm.Kernels.Cpu;
using Mdm.Tests;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed class AttentionTests(CpuLevel level) : LevelFixture(level)
{
    private static readonly AttentionShape[] Shapes =
    [
        new(1, 1, 1, 1, 1, 1f),
        new(2, 3, 5, 7, 9, 0.5f),
        new(1, 2, 8, 60, 100, 0.35f),
        new(1, 2, 13, 49, 193, 0.3f),
        new(1, 1, 6, 100, 400, 0.3f),
        new(2, 1, 24, 13, 250, 0.2f),
        new(1, 1, 40, 97, 33, 0.15f),
        new(1, 1, 96, 12, 31, 0.1f),
        new(1, 1, 128, 5, 130, 0.1f),
    ];

    [Test]
    public void Output_and_gradients([ValueSource(nameof(Shapes))] AttentionShape s, [Values] bool masked, [Values] bool packed,
        [Values] bool biased)
    {
        int c = s.Heads * s.HeadWidth, queries = s.Batch * s.Queries, keys = s.Batch * s.Keys;
        float[] q = Random(queries * c, 1, 1.5), k = Random(keys * c, 2, 1.5), v = Random(keys * c, 3);
        float[] dO = Random(queries * c, 4);
        float[]? bias = biased ? Random(s.Heads * s.Queries * s.Keys, 5, 2) : null;
        float[]? mask = masked ? Zeros(keys) : null;
        for (int i = 0; masked && i < keys; i++)
            mask![i] = i % 3 == 1 || (i % s.Keys == s.Keys - 1 && i > s.Keys) ? 0 : 1;
        if (masked && s.Batch > 1)
            Array.Clear(mask!, 0, s.Keys);

        // Packed: every operand in a wider matrix, 3 columns in.
        int extra = packed ? 5 : 0, at = packed ? 3 : 0, stride = c + extra;
        float[] wq = Spread(q, c, extra, at), wk = Spread(k, c, extra, at), wv = Spread(v, c, extra, at);
        float[] wdO = Spread(dO, c, extra, at);
        float[] wo = Filled(queries * stride, 7), logSumExp = Zeros(s.Batch * s.Heads * s.Queries);
        Rows Of(float[] a) => new(Ptr(a) + at, stride);
        Kernels.AttentionForward(s, Of(wq), Of(wk), Of(wv), Ptr(mask), Of(wo), Ptr(logSumExp), Ptr(bias));
        AttentionReference reference = Reference(s, q, k, v, mask, bias, dO);
        Near(Gather(wo, c, extra, at), reference.O, 1e-6, "o");
        Assert.That(wo.Where((_, i) => i % stride < at || i % stride >= at + c), Is.All.EqualTo(7), "columns beside the heads");
        for (int i = 0; i < logSumExp.Length; i++)
            Assert.That(logSumExp[i], Is.EqualTo(reference.LogSumExp[i]).Within(1e-5));

        float[] dq = Filled(queries * stride, 1), dk = Filled(keys * stride, 1), dv = Filled(keys * stride, 1);
        RowsTarget To(float[] a, bool add) => new(Ptr(a) + at, stride, add);
        void Backward(RowsTarget tq, RowsTarget tk, RowsTarget tv) => Kernels.AttentionBackward(
            s, Of(wq), Of(wk), Of(wv), Ptr(mask), Of(wo), Ptr(logSumExp), Of(wdO), tq, tk, tv, Ptr(bias));
        Backward(To(dq, true), To(dk, true), To(dv, true));
        Near(Gather(dq, c, extra, at), Array.ConvertAll(reference.DQ, x => 1 + x), 2e-6, "dq added");
        Near(Gather(dk, c, extra, at), Array.ConvertAll(reference.DK, x => 1 + x), 2e-6, "dk added");
        Near(Gather(dv, c, extra, at), Array.ConvertAll(reference.DV, x => 1 + x), 2e-6, "dv added");
        Backward(To(dq, false), RowsTarget.None, To(dv, false));
        Near(Gather(dv, c, extra, at), reference.DV, 2e-6, "dv");
        if (s.Keys > 1)
            Near(Gather(dq, c, extra, at), reference.DQ, 5e-6, "dq");
        Backward(RowsTarget.None, To(dk, false), RowsTarget.None);
        if (s.Keys > 1)
            Near(Gather(dk, c, extra, at), reference.DK, 5e-6, "dk");
        Backward(RowsTarget.None, RowsTarget.None, RowsTarget.None);
    }

    [Test]
    public void Reference_gradients_are_slopes()
    {
        AttentionShape s = new(1, 2, 3, 4, 5, 0.7f);
        float[] mask = Filled(5, 1);
        mask[2] = 0;
        float[] q = Random(24, 1), k = Random(30, 2), v = Random(30, 3), dO = Random(24, 4);
        float[] bias = Random(40, 5);
        AttentionReference at = Reference(s, q, k, v, mask, bias, dO);
        foreach ((float[] x, double[] slopes) in new[] { (q, at.DQ), (k, at.DK), (v, at.DV) })
            for (int i = 0; i < x.Length; i++)
            {
                float before = x[i];
                x[i] = before + 0.0078125f;
                float up = x[i];
                double high = Reference(s, q, k, v, mask, bias, dO).Loss;
                x[i] = before - 0.0078125f;
                double slope = (high - Reference(s, q, k, v, mask, bias, dO).Loss) / ((double)up - x[i]);
                x[i] = before;
                Assert.That(slopes[i], Is.EqualTo(slope).Within(1e-4));
            }
    }

    [Test]
    public void Large_scores_do_not_overflow_and_nan_is_not_hidden()
    {
        AttentionShape s = new(1, 1, 8, 3, 150, 1f);
        float[] q = Random(24, 1, 30), k = Random(1200, 2, 30), v = Random(1200, 3), o = Zeros(24), logSumExp = Zeros(3);
        Rows Of(float[] a) => new(Ptr(a), 8);
        Kernels.AttentionForward(s, Of(q), Of(k), Of(v), Mdm.Kernels.Ptr.None, Of(o), Ptr(logSumExp));
        Near(o, Reference(s, q, k, v, null, null, o).O, 1e-3);
        q[9] = float.NaN;
        Kernels.AttentionForward(s, Of(q), Of(k), Of(v), Mdm.Kernels.Ptr.None, Of(o), Ptr(logSumExp));
        Assert.That(o.Skip(8).Take(8), Is.All.NaN);
        Assert.That(o.Take(8), Is.All.Not.NaN);
    }

    private static float[] Spread(float[] a, int columns, int extra, int at)
    {
        float[] wide = Filled(a.Length / columns * (columns + extra), 99);
        for (int i = 0; i < a.Length; i++)
            wide[i / columns * (columns + extra) + at + i % columns] = a[i];
        return wide;
    }

    private static float[] Gather(float[] wide, int columns, int extra, int at) =>
        wide.Where((_, i) => i % (columns + extra) >= at && i % (columns + extra) < at + columns).ToArray();

    private static AttentionReference Reference(
        AttentionShape s, float[] q, float[] k, float[] v, float[]? mask, float[]? bias, float[] dO) =>
        new(s, Wide(q), Wide(k), Wide(v), mask == null ? null : Wide(mask), bias == null ? null : Wide(bias), Wide(dO));
}
