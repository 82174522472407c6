using Mdm.Kernels.Cpu;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed class ReductionTests(CpuLevel level) : LevelFixture(level)
{
    [TestCase(1, 1)]
    [TestCase(7, 45)]
    [TestCase(3, 50_003)]
    [TestCase(2000, 3)]
    [TestCase(5000, 67)]
    [TestCase(1100, 128)]
    public void Sums(int rows, int cols)
    {
        float[] x = Random((long)rows * cols, 1, 1, 0.1), y = Filled(rows, 1), z = Filled(cols, 1);
        double[] byRow = new double[rows], byColumn = new double[cols];
        for (int i = 0; i < x.Length; i++)
        {
            byRow[i / cols] += x[i];
            byColumn[i % cols] += x[i];
        }

        Kernels.SumRows(rows, cols, 0.5f, Ptr(x), AddTo(y));
        Near(y, Array.ConvertAll(byRow, v => 1 + v / 2), 3e-7);
        Kernels.SumRows(rows, cols, 2, Ptr(x), Into(y));
        Near(y, Array.ConvertAll(byRow, v => 2 * v), 1e-6);
        Kernels.SumColumns(rows, cols, Ptr(x), AddTo(z));
        Near(z, Array.ConvertAll(byColumn, v => 1 + v), 3e-7);
        Kernels.SumColumns(rows, cols, Ptr(x), Into(z));
        Near(z, byColumn, 1e-6);
        Kernels.SumColumns(rows, cols, Ptr(x), Target.None);
    }

    [TestCase(1, 1)]
    [TestCase(3, 41)]
    [TestCase(2, 40_000)]
    public void Mean_squared_error_and_its_gradient(int batch, int inner)
    {
        float[] a = Random(batch * inner, 1), b = Random(batch * inner, 2), dloss = Random(batch, 3), loss = Zeros(batch);
        Kernels.MeanSquaredError(batch, inner, Ptr(a), Ptr(b), Ptr(loss));
        double[] expected = new double[batch];
        for (int i = 0; i < a.Length; i++)
            expected[i / inner] += Math.Pow((double)a[i] - b[i], 2) / inner;
        Near(loss, expected, 2e-7);
        float[] da = Filled(a.Length, 1), db = Zeros(a.Length);
        Kernels.MeanSquaredErrorBackward(batch, inner, Ptr(a), Ptr(b), Ptr(dloss), AddTo(da), Into(db));
        double[] slope = a.Select((v, i) => 2 * ((double)v - b[i]) / inner * dloss[i / inner]).ToArray();
        Near(da, Array.ConvertAll(slope, v => v + 1), 1e-6);
        Near(db, Array.ConvertAll(slope, v => -v), 2e-7);
        Kernels.MeanSquaredErrorBackward(batch, inner, Ptr(a), Ptr(b), Ptr(dloss), Target.None, Target.None);
    }

    [Test]
    public void Rows_are_spread()
    {
        float[] y = Random(5, 1), x = Filled(5 * 37, 2);
        Kernels.SpreadRows(5, 37, 3, Ptr(y), AddTo(x));
        Assert.That(x, Is.EqualTo(Enumerable.Range(0, x.Length).Select(i => 2 + 3 * y[i / 37])));
    }

    [Test]
    public void Masked_mean([Values(1, 5)] int tokens, [Values(3, 40)] int channels, [Values] bool masked)
    {
        const int Batch = 4;
        float[] x = Random(Batch * tokens * channels, 1), dy = Random(Batch * channels, 2), y = Zeros(Batch * channels);
        float[]? mask = masked ? Zeros(Batch * tokens) : null;
        for (int i = 0; masked && i < Batch * tokens; i++)
            mask![i] = i < tokens ? 0 : i % 2 + (i / tokens == 2 ? 0.5f : 1);
        double Weight(int b, int t)
        {
            double all = masked ? Enumerable.Range(0, tokens).Sum(k => mask![b * tokens + k]) : tokens;
            return all == 0 ? 0 : (masked ? mask![b * tokens + t] : 1) / all;
        }

        double[] expected = new double[y.Length], dx = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            (int c, int t, int b) = (i % channels, i / channels % tokens, i / channels / tokens);
            expected[b * channels + c] += Weight(b, t) * x[i];
            dx[i] = 1 + Weight(b, t) * dy[b * channels + c];
        }

        Kernels.MaskedMean(Batch, tokens, channels, Ptr(x), Ptr(mask), Ptr(y));
        Near(y, expected, 1e-7);
        float[] found = Filled(x.Length, 1);
        Kernels.MaskedMeanBackward(Batch, tokens, channels, Ptr(dy), Ptr(mask), AddTo(found));
        Near(found, dx, 1e-7);
    }

    [Test]
    public void Quantiles_of_absolute_values(
        [Values(1, 2, 17, 3072)] int inner, [Values(0f, 0.5f, 0.995f, 1f)] float p, [Values] bool ties)
    {
        float[] x = Random(3 * inner, inner), y = Zeros(3);
        for (int i = 0; ties && i < x.Length; i++)
            x[i] = MathF.Round(x[i]);
        Kernels.AbsQuantile(3, inner, p, Ptr(x), Ptr(y));
        for (int s = 0; s < 3; s++)
        {
            double[] sorted = x.Skip(s * inner).Take(inner).Select(v => Math.Abs((double)v)).Order().ToArray();
            double at = (double)p * (inner - 1);
            int k = (int)at;
            double expected = sorted[k] + (at - k) * (sorted[Math.Min(k + 1, inner - 1)] - sorted[k]);
            Assert.That(y[s], Is.EqualTo((float)expected));
        }
    }

    [Test]
    public void Rows_are_gathered_and_scattered([Values(1, 70)] int cols)
    {
        int[] ids = New<int>(6);
        int[] wanted = [2, 0, 2, -1, 3, 9];
        wanted.CopyTo(ids, 0);
        float[] table = Random(4 * cols, 1), y = Filled(6 * cols, float.NaN);
        float[] dy = Random(6 * cols, 2), dtable = Filled(4 * cols, 1);
        Kernels.GatherRows(6, cols, 4, Ptr(ids, DType.Int32), Ptr(table), Ptr(y));
        Kernels.ScatterAddRows(6, cols, 4, Ptr(ids, DType.Int32), Ptr(dy), Ptr(dtable));
        for (int c = 0; c < cols; c++)
        {
            for (int r = 0; r < 6; r++)
                Assert.That(y[r * cols + c], Is.EqualTo(ids[r] is >= 0 and < 4 ? table[ids[r] * cols + c] : 0));
            Assert.That(dtable[2 * cols + c], Is.EqualTo(1 + dy[c] + dy[2 * cols + c]));
            Assert.That(dtable[cols + c], Is.EqualTo(1));
            Assert.That(dtable[3 * cols + c], Is.EqualTo(1 + dy[4 * cols + c]));
        }
    }

    [Test]
    public void Sinusoids([Values(2, 32, 33)] int width)
    {
        float[] t = Zeros(3), y = Filled(3 * width, 5);
        (t[0], t[1], t[2]) = (0, 1, 999);
        Kernels.Sinusoid(3, width, Ptr(t), Ptr(y));
        int d = width / 2;
        for (int b = 0; b < 3; b++)
            for (int k = 0; k < d; k++)
            {
                double angle = t[b] * Math.Exp(-k * Math.Log(10000) / d);
                Assert.That(y[b * width + k], Is.EqualTo(Math.Sin(angle)).Within(1e-4));
                Assert.That(y[b * width + d + k], Is.EqualTo(Math.Cos(angle)).Within(1e-4));
            }
    }
}
