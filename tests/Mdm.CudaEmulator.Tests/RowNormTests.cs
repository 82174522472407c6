using Mdm.Kernels;
using static Mdm.CudaEmulator.Tests.KernelArrays;

namespace Mdm.CudaEmulator.Tests;

/// <summary>LayerNorm, RMSNorm and the per-sample deviation on CUDA against float64.</summary>
public sealed class RowNormTests
{
    // A warp or a block a row, 16 bytes or an element a load; rows longer than a thread's registers hold; many rows.
    private static readonly (int Rows, int Cols)[] Sizes =
        [(1, 1), (5, 128), (3, 33), (700, 40), (3, 1500), (2, 2501), (1, 9000), (0, 8)];

    [TearDown]
    public void ForgetError() => Planted.ForgetError();

    [Test]
    public void LayerNorm(
        [ValueSource(nameof(Sizes))] (int Rows, int Cols) size, [Values(DType.Float32, DType.BFloat16)] DType type) =>
        Check(size.Rows, size.Cols, type, rms: false, shift: 2, type == DType.Float32 ? 2e-6 : 1e-2);

    [Test]
    public void RmsNorm(
        [ValueSource(nameof(Sizes))] (int Rows, int Cols) size, [Values(DType.Float32, DType.BFloat16)] DType type) =>
        Check(size.Rows, size.Cols, type, rms: true, shift: 0.5, type == DType.Float32 ? 2e-6 : 1e-2);

    [Test]
    public void LayerNormOfAMeanOfAThousandDeviations() => Check(5, 512, DType.Float32, rms: false, shift: 1000, 2e-4);

    [TestCase(1, 2)]
    [TestCase(3, 20011)]
    [TestCase(2, 65536)]
    [TestCase(40, 16400)]
    public void StdNormalize(int batch, int inner)
    {
        foreach (DType type in new[] { DType.Float32, DType.BFloat16 })
        {
            using var a = new KernelArrays();
            double[] x = Normal((long)batch * inner, type, 1, 2, 30), dy = Normal(x.Length, type, 2), y = new double[x.Length];
            double[] expected = new double[x.Length];
            for (int s = 0; s < batch; s++)
            {
                double[] sample = x[(s * inner)..((s + 1) * inner)];
                double mean = sample.Average(), std = Math.Sqrt(sample.Sum(v => (v - mean) * (v - mean)) / (inner - 1));
                double along = sample.Select((v, i) => v * dy[s * inner + i]).Sum() / (inner - 1) / Math.Pow(std, 3);
                for (int i = 0; i < inner; i++)
                {
                    y[s * inner + i] = sample[i] / std;
                    expected[s * inner + i] = dy[s * inner + i] / std - (sample[i] - mean) * along;
                }
            }

            double tolerance = type == DType.Float32 ? 1e-5 : 1e-2;
            Ptr input = a.New(type, x), gradient = a.New(type, dy), result = a.Empty(type, x.Length);
            Ptr means = a.Empty(DType.Float32, batch), deviations = a.Empty(DType.Float32, batch);
            a.Kernels.StdNormalizeForward(batch, inner, input, result, means, deviations);
            a.Near(result, y, tolerance, "y");
            foreach (bool accumulate in new[] { false, true })
            {
                Target dx = a.Target(type, x.Length, accumulate);
                a.Kernels.StdNormalizeBackward(batch, inner, gradient, input, means, deviations, dx);
                a.Near(dx, expected, tolerance, "dx");
            }
        }
    }

    [Test]
    public void AGradientOfAnotherTypeIsRefused()
    {
        using var a = new KernelArrays();
        Ptr x = a.Empty(DType.BFloat16, 8), p = a.Empty(DType.Float32, 8);
        var dx = new Target(p, false);
        string expected = "dx has the type Float32, expected BFloat16";
        Assert.That(() => a.Kernels.LayerNormBackward(1, 8, x, x, p, p, p, dx, Target.None, Target.None),
            Throws.ArgumentException.With.Message.Contains(expected));
        Assert.That(() => a.Kernels.RmsNormBackward(1, 8, x, x, p, p, dx, Target.None),
            Throws.ArgumentException.With.Message.Contains(expected));
        Assert.That(() => a.Kernels.StdNormalizeBackward(1, 8, x, x, p, p, dx),
            Throws.ArgumentException.With.Message.Contains(expected));
    }

    private static void Check(int rows, int cols, DType type, bool rms, double shift, double tolerance)
    {
        using var a = new KernelArrays();
        double[] x = Normal(Math.Max(1, (long)rows * cols), type, 1, 1, shift), dy = Normal(x.Length, type, 2);
        double[] gamma = Normal(cols, DType.Float32, 3, 0.2, 1), beta = rms ? new double[cols] : Normal(cols, DType.Float32, 4);
        double[] y = new double[x.Length], dx = new double[x.Length], dgamma = new double[cols], dbeta = new double[cols];
        for (int r = 0; r < rows; r++)
        {
            double[] row = x[(r * cols)..((r + 1) * cols)];
            double m = rms ? 0 : row.Average(), k = 1 / Math.Sqrt(row.Average(v => (v - m) * (v - m)) + 1e-5f);
            double[] n = Array.ConvertAll(row, v => (v - m) * k), g = [.. n.Select((_, c) => dy[r * cols + c] * gamma[c])];
            double across = rms ? 0 : g.Average(), along = g.Select((v, c) => v * n[c]).Average();
            for (int c = 0; c < cols; c++)
            {
                y[r * cols + c] = n[c] * gamma[c] + beta[c];
                dx[r * cols + c] = k * (g[c] - across - n[c] * along);
                dgamma[c] += dy[r * cols + c] * n[c];
                dbeta[c] += dy[r * cols + c];
            }
        }

        Ptr input = a.New(type, x), gradient = a.New(type, dy), result = a.Empty(type, x.Length);
        Ptr weight = a.New(DType.Float32, gamma), bias = a.New(DType.Float32, beta);
        Ptr mean = a.Empty(DType.Float32, Math.Max(1, rows)), rstd = a.Empty(DType.Float32, Math.Max(1, rows));
        if (rms)
            a.Kernels.RmsNormForward(rows, cols, 1e-5f, input, weight, result, rstd);
        else
            a.Kernels.LayerNormForward(rows, cols, 1e-5f, input, weight, bias, result, mean, rstd);
        if (rows > 0)
            a.Near(result, y, tolerance, "y");
        foreach (bool accumulate in new[] { false, true })
        {
            Target tx = a.Target(type, x.Length, accumulate), tg = a.Target(DType.Float32, cols, accumulate);
            Target tb = a.Target(DType.Float32, cols, accumulate);
            if (rms)
                a.Kernels.RmsNormBackward(rows, cols, gradient, input, weight, rstd, tx, tg);
            else
                a.Kernels.LayerNormBackward(rows, cols, gradient, input, weight, mean, rstd, tx, tg, tb);
            if (rows == 0)
            {
                Assert.That(a.Read(tg.Ptr, cols), Is.All.EqualTo(accumulate ? 1 : 0));
                continue;
            }

            // One number minus itself, or divided by its own size, has the gradient 0 but for rounding.
            if (cols > 1)
                a.Near(tx, dx, tolerance, "dx");
            if (cols > 1 || rms)
                a.Near(tg, dgamma, tolerance, "dgamma");
            if (!rms)
                a.Near(tb, dbeta, tolerance, "dbeta");
        }
    }
}
