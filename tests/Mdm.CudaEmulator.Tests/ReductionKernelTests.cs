using Mdm.Kernels;
using static Mdm.CudaEmulator.Tests.KernelArrays;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Sums, means, quantiles and look-ups against float64.</summary>
internal sealed class ReductionKernelTests(string order) : KernelFixture(order)
{
    [Test]
    public void Sums([ValueSource(nameof(Activations))] DType type,
        [Values("1x1", "7x45", "3x40003", "2000x3", "5000x67", "1100x128", "40001x8", "300x1040", "0x5")] string size,
        [Values(0, 1)] int shift)
    {
        int rows = int.Parse(size.Split('x')[0]), cols = int.Parse(size.Split('x')[1]);
        double[] x = Array.ConvertAll(Random((long)rows * cols, 1), v => ToBFloat16(v + 0.25));
        double[] byRow = new double[rows], byColumn = new double[cols];
        for (int i = 0; i < x.Length; i++)
        {
            byRow[i / cols] += x[i];
            byColumn[i % cols] += x[i];
        }

        Ptr px = Arrays.New(type, x, shift), y = Arrays.New(DType.Float32, Filled(rows, 1));
        Ptr z = Arrays.New(DType.Float32, Filled(cols, 1));
        Kernels.SumRows(rows, cols, 0.5f, px, AddTo(y));
        Near(Arrays.Read(y, rows), Array.ConvertAll(byRow, v => 1 + v / 2), DType.Float32, 3e-7);
        Kernels.SumColumns(rows, cols, px, AddTo(z));
        Near(Arrays.Read(z, cols), Array.ConvertAll(byColumn, v => 1 + v), DType.Float32, 3e-7);
        Kernels.SumColumns(rows, cols, px, Into(z));
        Near(Arrays.Read(z, cols), byColumn, DType.Float32, 3e-7);
    }

    [Test]
    public void Mean_squared_error_and_its_gradients([ValueSource(nameof(Activations))] DType type,
        [Values(1, 3)] int batch, [Values(1, 41, 20_003)] int inner, [Values(0, 1)] int shift)
    {
        int n = batch * inner;
        double[] a = Random(n, 1), b = Random(n, 2), dloss = Random(batch, 3), before = Random(n, 4);
        Ptr pa = Arrays.New(type, a, shift), pb = Arrays.New(type, b, shift), da = Arrays.New(type, before, shift);
        Ptr db = Arrays.Empty(type, n), loss = Arrays.Empty(DType.Float32, batch);
        Kernels.MeanSquaredError(batch, inner, pa, pb, loss);
        double[] expected = new double[batch], slope = new double[n];
        for (int i = 0; i < n; i++)
        {
            expected[i / inner] += (a[i] - b[i]) * (a[i] - b[i]) / inner;
            slope[i] = 2 * (a[i] - b[i]) / inner * dloss[i / inner];
        }

        Near(Arrays.Read(loss, batch), expected, DType.Float32, 3e-7);
        Kernels.MeanSquaredErrorBackward(batch, inner, pa, pb, Arrays.New(DType.Float32, dloss), AddTo(da), Into(db));
        Near(Arrays.Read(da, n), slope.Zip(before, (s, v) => s + v).ToArray(), type);
        Near(Arrays.Read(db, n), Array.ConvertAll(slope, v => -v), type);
    }

    [Test]
    public void Masked_means(
        [ValueSource(nameof(Activations))] DType type, [Values(1, 5)] int tokens, [Values(3, 300)] int channels)
    {
        const int Batch = 4;
        double[] x = Random(Batch * tokens * channels, 1), dy = Random(Batch * channels, 2), mask = new double[Batch * tokens];
        for (int i = tokens; i < mask.Length; i++)
            mask[i] = i % 3 == 0 && tokens > 1 ? 0 : i / tokens == 2 ? 0.5 : 1;

        // What is masked may be anything.
        for (int i = 0; i < x.Length; i++)
            x[i] = mask[i / channels] == 0 ? double.NaN : x[i];
        double[] y = new double[Batch * channels], dx = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            (int row, int b, int c) = (i / channels, i / channels / tokens, i % channels);
            double all = mask.Skip(b * tokens).Take(tokens).Sum(), weight = all == 0 ? 0 : mask[row] / all;
            y[b * channels + c] += weight == 0 ? 0 : weight * x[i];
            dx[i] = weight * dy[b * channels + c];
        }

        Ptr pm = Arrays.New(DType.Float32, mask), py = Arrays.Empty(type, y.Length), pdx = Arrays.Empty(type, x.Length);
        Kernels.MaskedMean(Batch, tokens, channels, Arrays.New(type, x), pm, py);
        Near(Arrays.Read(py, y.Length), y, type);
        Kernels.MaskedMeanBackward(Batch, tokens, channels, Arrays.New(type, dy), pm, Into(pdx));
        Near(Arrays.Read(pdx, x.Length), dx, type);
    }

    [Test]
    public void Quantiles([ValueSource(nameof(Activations))] DType type, [Values(1, 2, 1000, 100_003)] int inner,
        [Values(0f, 0.5f, 0.995f, 1f)] float p, [Values] bool ties)
    {
        const int Batch = 2;
        double[] x = Random(Batch * inner, inner, 3);
        for (int i = 0; ties && i < x.Length; i++)
            x[i] = Math.Round(x[i]);
        Ptr y = Arrays.Empty(DType.Float32, Batch);
        Kernels.AbsQuantile(Batch, inner, p, Arrays.New(type, x, 1), y);
        double[] found = Arrays.Read(y, Batch);
        for (int s = 0; s < Batch; s++)
        {
            double[] sorted = x.Skip(s * inner).Take(inner).Select(Math.Abs).Order().ToArray();
            double at = (double)p * (inner - 1);
            int k = (int)at;
            double expected = sorted[k] + (at - k) * (sorted[Math.Min(k + 1, inner - 1)] - sorted[k]);
            Assert.That(found[s], Is.EqualTo((float)expected));
        }
    }

    [Test]
    public void A_quantile_of_finely_spread_numbers([Values(0.3f, 0.995f)] float p)
    {
        const int N = 30_011;
        var random = new Random(3);
        double[] x = Enumerable.Range(0, N).Select(_ => (double)(float)Math.Exp(20 * random.NextDouble() - 10)).ToArray();
        Ptr y = Arrays.Empty(DType.Float32, 1);
        Kernels.AbsQuantile(1, N, p, Arrays.New(DType.Float32, Array.ConvertAll(x, v => -v)), y);
        double[] sorted = [.. x.Order()];
        double at = (double)p * (N - 1);
        int k = (int)at;
        Assert.That(Arrays.Read(y, 1)[0], Is.EqualTo((float)(sorted[k] + (at - k) * (sorted[k + 1] - sorted[k]))));
    }

    [Test]
    public void Rows_are_gathered_and_scattered(
        [ValueSource(nameof(Activations))] DType type, [Values(1, 64, 523)] int cols, [Values] bool ownGradient)
    {
        const int Rows = 300, TableRows = 40;
        var random = new Random(5);
        double[] ids = Enumerable.Range(0, Rows).Select(i => i % 3 == 0 ? 7.0 : random.Next(-2, TableRows + 2)).ToArray();
        double[] table = Random(TableRows * cols, 1), dy = Random(Rows * cols, 2), before = Random(TableRows * cols, 3);
        double[] y = new double[Rows * cols], dtable = (double[])before.Clone();
        for (int i = 0; i < y.Length; i++)
            if (ids[i / cols] is >= 0 and < TableRows)
            {
                int at = (int)ids[i / cols] * cols + i % cols;
                y[i] = table[at];
                dtable[at] += dy[i];
            }

        DType gradient = ownGradient ? type : DType.Float32;
        Ptr pids = Arrays.New(DType.Int32, ids), py = Arrays.Empty(type, y.Length), pd = Arrays.New(gradient, before);
        Kernels.GatherRows(Rows, cols, TableRows, pids, Arrays.New(type, table), py);
        Assert.That(Arrays.Read(py, y.Length), Is.EqualTo(y));
        Kernels.ScatterAddRows(Rows, cols, TableRows, pids, Arrays.New(type, dy), pd);
        Near(Arrays.Read(pd, dtable.Length), dtable, gradient);
    }

    [Test]
    public void Sinusoids([ValueSource(nameof(Activations))] DType type, [Values(2, 33)] int width)
    {
        double[] t = [0, 1, 999.5];
        int d = width / 2;
        double[] expected = new double[3 * width];
        for (int i = 0; i < 3 * width; i++)
        {
            int k = i % width;
            double angle = t[i / width] * Math.Exp(-(k % d) * Math.Log(10000) / d);
            expected[i] = k < d ? Math.Sin(angle) : k < 2 * d ? Math.Cos(angle) : 0;
        }

        Ptr y = Arrays.Empty(type, 3 * width);
        Kernels.Sinusoid(3, width, Arrays.New(DType.Float32, t), y);
        Near(Arrays.Read(y, 3 * width), expected, type, 1e-4);
    }
}
