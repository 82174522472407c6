using Mdm.Kernels.Cpu;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed class NormalizationTests(CpuLevel level) : LevelFixture(level)
{
    private static readonly GroupNormShape[] Shapes =
    [
        new(1, 1, 10, 2, 1e-5f, true),
        new(2, 9, 8, 8, 1e-5f, true),
        new(3, 5, 36, 4, 1e-5f, false),
        new(1, 131, 3, 1, 1e-3f, true),
        new(1, 4, 96, 32, 1e-5f, true),
        new(9, 2, 16, 8, 1e-5f, false),
    ];

    [Test]
    public void Group_norm([ValueSource(nameof(Shapes))] GroupNormShape s, [Values] bool modulated)
    {
        GroupNormCase data = new(s, modulated);
        float[] y = Zeros(data.X.Length), mean = Zeros(s.Batch * s.Groups), rstd = Zeros(s.Batch * s.Groups);
        data.Forward(Kernels, y, mean, rstd);
        double[][] wide = data.Wide;
        Near(y, GroupNorm(s, wide), 5e-7);

        float[] dx = Filled(y.Length, 1), dgamma = Filled(s.Channels, 1), dbeta = Filled(s.Channels, float.NaN);
        float[] dscaleShift = Filled(2 * s.Batch * s.Channels, 1);
        void Backward(Target tx, Target tg, Target tb, Target ts) => Kernels.GroupNormBackward(s, Ptr(data.Dy), Ptr(data.X),
            Ptr(data.Gamma), Ptr(data.Beta), Ptr(data.ScaleShift), Ptr(mean), Ptr(rstd), tx, tg, tb, ts);
        Backward(AddTo(dx), AddTo(dgamma), Into(dbeta), modulated ? AddTo(dscaleShift) : Target.None);
        double Loss(double[][] w) => GroupNorm(s, w).Select((v, i) => v * data.Dy[i]).Sum();
        double[] Slopes(int which) => wide[which].Select((_, i) => Slope(__ => Loss(wide), wide[which], i)).ToArray();
        double[] slopes = Slopes(0);
        Near(dx, Array.ConvertAll(slopes, v => v + 1), 2e-6, "dx");
        Near(dgamma, Array.ConvertAll(Slopes(1), v => v + 1), 2e-6, "dgamma");
        Near(dbeta, Slopes(2), 2e-6, "dbeta");
        if (modulated)
            Near(dscaleShift, Array.ConvertAll(Slopes(3), v => v + 1), 2e-6, "dscaleShift");

        Backward(Into(dx), Target.None, Target.None, Target.None);
        Near(dx, slopes, 4e-6, "dx alone");
        float[] before = Copy(dbeta);
        Backward(Target.None, Into(dgamma), Target.None, Target.None);
        Assert.That(dbeta, Is.EqualTo(before));
    }

    [TestCase(3, 256, 64, 32)]
    [TestCase(1, 2048, 40, 8)]
    [TestCase(17, 300, 32, 32)]
    public void Group_norm_keeps_its_accuracy_far_from_zero(int batch, int positions, int channels, int groups)
    {
        GroupNormShape s = new(batch, positions, channels, groups, 1e-5f, true);
        GroupNormCase data = new(s, true, shift: 30);
        float[] y = Zeros(data.X.Length), mean = Zeros(batch * groups), rstd = Zeros(batch * groups), again = Zeros(y.Length);
        data.Forward(Kernels, y, mean, rstd);
        Near(y, GroupNorm(s, data.Wide), 5e-6);
        data.Forward(Kernels, again, mean, rstd);
        Assert.That(again, Is.EqualTo(y), "the same bits twice");
    }

    [TestCase(1, 2048, 40, 8, 13, true)]
    [TestCase(2, 131, 24, 3, 16, false)]
    [TestCase(9, 7, 9, 1, 8, true)]
    public void Group_norm_of_two_sources_is_that_of_their_concatenation(
        int batch, int positions, int channels, int groups, int skipChannels, bool silu)
    {
        GroupNormShape s = new(batch, positions, channels, groups, 1e-5f, silu);
        GroupNormCase data = new(s, true);
        int first = channels - skipChannels, n = data.X.Length;
        (float[] x, float[] skip) = Split(data.X);
        float[] y = Zeros(n), mean = Zeros(batch * groups), rstd = Zeros(batch * groups), joined = Zeros(n);
        data.Forward(Kernels, joined, mean, rstd);
        Kernels.GroupNormForward(s with { SkipChannels = skipChannels }, Ptr(x), Ptr(data.Gamma), Ptr(data.Beta),
            Ptr(data.ScaleShift), Ptr(y), Ptr(mean), Ptr(rstd), Ptr(skip));
        Near(y, Wide(joined), 1e-6, "y");

        float[] dJoined = Zeros(n), gamma = Zeros(channels), beta = Zeros(channels), modulation = Zeros(2 * batch * channels);
        Kernels.GroupNormBackward(s, Ptr(data.Dy), Ptr(data.X), Ptr(data.Gamma), Ptr(data.Beta), Ptr(data.ScaleShift), Ptr(mean),
            Ptr(rstd), Into(dJoined), Into(gamma), Into(beta), Into(modulation));
        (float[] dx, float[] dskip) = Split(dJoined);
        float[] x2 = Filled(x.Length, float.NaN), skip2 = Filled(skip.Length, 1), modulation2 = Zeros(modulation.Length);
        float[] gamma2 = Zeros(channels), beta2 = Zeros(channels);
        Kernels.GroupNormBackward(s with { SkipChannels = skipChannels }, Ptr(data.Dy), Ptr(x), Ptr(data.Gamma), Ptr(data.Beta),
            Ptr(data.ScaleShift), Ptr(mean), Ptr(rstd), Into(x2), Into(gamma2), Into(beta2), Into(modulation2), Ptr(skip),
            AddTo(skip2));
        Near(x2, Wide(dx), 1e-6, "dx");
        Near(skip2, Array.ConvertAll(dskip, v => v + 1.0), 1e-6, "dskip");
        Near(gamma2, Wide(gamma), 1e-6, "dgamma");
        Near(beta2, Wide(beta), 1e-6, "dbeta");
        Near(modulation2, Wide(modulation), 1e-6, "dscaleShift");

        (float[] First, float[] Second) Split(float[] all)
        {
            float[] a = Zeros(batch * positions * first), b = Zeros(batch * positions * skipChannels);
            for (int i = 0; i < all.Length; i++)
            {
                (int row, int c) = (i / channels, i % channels);
                if (c < first)
                    a[row * first + c] = all[i];
                else
                    b[row * skipChannels + c - first] = all[i];
            }

            return (a, b);
        }
    }

    [TestCase(1, 5)]
    [TestCase(3, 17)]
    [TestCase(130, 40)]
    [TestCase(5, 2048)]
    public void Layer_norm(int rows, int cols)
    {
        float[] x = Random(rows * cols, 1, 2, 3), gamma = Random(cols, 2, 0.2, 1), beta = Random(cols, 3);
        float[] dy = Random(rows * cols, 4);
        float[] y = Zeros(x.Length), mean = Zeros(rows), rstd = Zeros(rows);
        Kernels.LayerNormForward(rows, cols, 1e-5f, Ptr(x), Ptr(gamma), Ptr(beta), Ptr(y), Ptr(mean), Ptr(rstd));
        double[] expected = new double[x.Length], dx = new double[x.Length], dgamma = new double[cols], dbeta = new double[cols];
        for (int r = 0; r < rows; r++)
        {
            double[] row = Wide(x[(r * cols)..((r + 1) * cols)]);
            double m = row.Average(), k = 1 / Math.Sqrt(row.Average(v => (v - m) * (v - m)) + 1e-5);
            double[] n = Array.ConvertAll(row, v => (v - m) * k);
            double[] g = n.Select((_, c) => (double)dy[r * cols + c] * gamma[c]).ToArray();
            double across = g.Average(), along = g.Select((v, c) => v * n[c]).Average();
            for (int c = 0; c < cols; c++)
            {
                expected[r * cols + c] = n[c] * gamma[c] + beta[c];
                dx[r * cols + c] = k * (g[c] - across - n[c] * along);
                dgamma[c] += dy[r * cols + c] * n[c];
                dbeta[c] += dy[r * cols + c];
            }
        }

        Near(y, expected, 1e-6);
        float[] fx = Filled(x.Length, 1), fgamma = Filled(cols, 1), fbeta = Filled(cols, 5);
        void Backward(Target tx, Target tg, Target tb) =>
            Kernels.LayerNormBackward(rows, cols, Ptr(dy), Ptr(x), Ptr(gamma), Ptr(mean), Ptr(rstd), tx, tg, tb);
        Backward(AddTo(fx), AddTo(fgamma), Into(fbeta));
        Near(fx, Array.ConvertAll(dx, v => v + 1), 2e-6, "dx");
        Near(fgamma, Array.ConvertAll(dgamma, v => v + 1), 2e-6, "dgamma");
        Near(fbeta, dbeta, 1e-6, "dbeta");
        Backward(Target.None, Into(fgamma), Target.None);
        Near(fgamma, dgamma, 2e-6, "dgamma alone");
        Backward(Target.None, Target.None, Target.None);
    }

    [TestCase(1, 2)]
    [TestCase(3, 47)]
    [TestCase(2, 300)]
    public void Std_normalisation(int batch, int inner)
    {
        float[] x = Random(batch * inner, 1, 2, 1), dy = Random(batch * inner, 2), y = Zeros(x.Length);
        float[] mean = Zeros(batch), std = Zeros(batch);
        Kernels.StdNormalizeForward(batch, inner, Ptr(x), Ptr(y), Ptr(mean), Ptr(std));
        double[] wide = Wide(x);
        Near(y, StdNormalize(wide, inner), 3e-7);
        double Loss(double[] w) => StdNormalize(w, inner).Select((v, i) => v * dy[i]).Sum();
        double[] slopes = wide.Select((_, i) => Slope(Loss, wide, i)).ToArray();
        float[] dx = Filled(x.Length, 1);
        Kernels.StdNormalizeBackward(batch, inner, Ptr(dy), Ptr(x), Ptr(mean), Ptr(std), AddTo(dx));
        Near(dx, Array.ConvertAll(slopes, v => v + 1), 2e-6);
    }

    private static double[] StdNormalize(double[] x, int inner)
    {
        double[] y = new double[x.Length];
        for (int s = 0; s < x.Length; s += inner)
        {
            double m = x.AsSpan(s, inner).ToArray().Average();
            double std = Math.Sqrt(x.AsSpan(s, inner).ToArray().Sum(v => (v - m) * (v - m)) / (inner - 1));
            for (int i = s; i < s + inner; i++)
                y[i] = x[i] / std;
        }

        return y;
    }

    /// <summary>Inputs x, gamma, beta, scaleShift (or null).</summary>
    private static double[] GroupNorm(GroupNormShape s, double[][] inputs)
    {
        double[] x = inputs[0], y = new double[x.Length];
        int size = s.Channels / s.Groups;
        for (int b = 0; b < s.Batch; b++)
            for (int g = 0; g < s.Groups; g++)
            {
                double sum = 0, squares = 0, count = (double)s.Positions * size;
                IEnumerable<int> group = from p in Enumerable.Range(0, s.Positions)
                                         from c in Enumerable.Range(g * size, size)
                                         select (b * s.Positions + p) * s.Channels + c;
                foreach (int i in group)
                    sum += x[i];
                foreach (int i in group)
                    squares += Math.Pow(x[i] - sum / count, 2);
                double k = 1 / Math.Sqrt(squares / count + s.Epsilon);
                foreach (int i in group)
                {
                    int c = i % s.Channels;
                    double n = (x[i] - sum / count) * k * inputs[1][c] + inputs[2][c];
                    if (inputs.Length > 3)
                        n = n * (1 + inputs[3][2 * b * s.Channels + c]) + inputs[3][(2 * b + 1) * s.Channels + c];
                    y[i] = s.Silu ? n / (1 + Math.Exp(-n)) : n;
                }
            }

        return y;
    }

    private sealed class GroupNormCase(GroupNormShape s, bool modulated, double shift = 0.5)
    {
        public float[] X { get; } = Random(s.Batch * s.Positions * s.Channels, 1, 1.5, shift);

        public float[] Dy { get; } = Random(s.Batch * s.Positions * s.Channels, 2);

        public float[] Gamma { get; } = Random(s.Channels, 3, 0.2, 1);

        public float[] Beta { get; } = Random(s.Channels, 4, 0.2);

        public float[]? ScaleShift { get; } = modulated ? Random(2 * s.Batch * s.Channels, 5, 0.3) : null;

        public double[][] Wide => ScaleShift == null
            ? [Arrays.Wide(X), Arrays.Wide(Gamma), Arrays.Wide(Beta)]
            : [Arrays.Wide(X), Arrays.Wide(Gamma), Arrays.Wide(Beta), Arrays.Wide(ScaleShift)];

        public void Forward(IKernels kernels, float[] y, float[] mean, float[] rstd) => kernels.GroupNormForward(
            s, Ptr(X), Ptr(Gamma), Ptr(Beta), Ptr(ScaleShift), Ptr(y), Ptr(mean), Ptr(rstd));
    }
}
