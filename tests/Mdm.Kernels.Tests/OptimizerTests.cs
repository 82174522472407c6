using Mdm.Kernels.Cpu;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed class OptimizerTests(CpuLevel level) : LevelFixture(level)
{
    [TestCase(1)]
    [TestCase(37)]
    [TestCase(50_001)]
    public void Squared_norm(int n)
    {
        float[] g = Random(n, 1, 1e25);
        double[] state = New<double>(OptimizerState.Length);
        Kernels.SquaredNorm(n, Ptr(g), Ptr(state, DType.Float64));
        double expected = g.Sum(v => (double)v * v);
        Assert.That(state[OptimizerState.SquaredNorm], Is.EqualTo(expected).Within(1e-10).Percent);
    }

    [Test]
    public void Adam([Values(3, 257)] int n, [Values] bool decoupled, [Values(0f, 0.7f)] float clip, [Values] bool averaged)
    {
        AdamOptions o = new(0.9f, 0.999f, 1e-8f, 0.1f, decoupled, clip, 0.5f);
        float[] p = Random(n, 1), m = Zeros(n), v = Zeros(n);
        float[]? ema = averaged ? Copy(p) : null;
        double[] state = New<double>(OptimizerState.Length), rp = Wide(p), rm = new double[n], rv = new double[n], re = Wide(p);
        (state[OptimizerState.LearningRate], state[OptimizerState.EmaDecay]) = (0.01, 0.9);
        for (int t = 1; t <= 5; t++)
        {
            float[] g = Random(n, 10 + t);
            Kernels.SquaredNorm(n, Ptr(g), Ptr(state, DType.Float64));
            Kernels.AdamStep(n, o, Ptr(p), Ptr(g), Ptr(m), Ptr(v), Ptr(ema), Mdm.Kernels.Ptr.None, Ptr(state, DType.Float64));
            double norm = 0.5 * Math.Sqrt(g.Sum(x => (double)x * x));
            for (int i = 0; i < n; i++)
            {
                double grad = 0.5 * g[i] * (clip == 0 ? 1 : Math.Min(1, clip / (norm + 1e-6)));
                rm[i] = 0.9 * rm[i] + 0.1 * grad;
                rv[i] = 0.999 * rv[i] + 0.001 * grad * grad;
                rp[i] -= decoupled ? 0.01 * 0.1 * rp[i] : 0;
                rp[i] -= 0.01 * (rm[i] / (1 - Math.Pow(0.9, t))) / (Math.Sqrt(rv[i] / (1 - Math.Pow(0.999, t))) + 1e-8);
                re[i] = 0.9 * re[i] + 0.1 * rp[i];
            }
        }

        Near(p, rp, 3e-7);
        Near(m, rm, 3e-7);
        Near(v, rv, 3e-7);
        if (averaged)
            Near(ema!, re, 3e-7);
        Assert.That(state[OptimizerState.Step], Is.EqualTo(5));
        Assert.That(state[OptimizerState.Skipped], Is.Zero);
    }

    [Test]
    public void A_gradient_that_is_not_finite_changes_nothing([Values(float.NaN, float.PositiveInfinity)] float bad)
    {
        float[] p = Random(40, 1), g = Random(40, 2), m = Random(40, 3), v = Random(40, 4), before = Copy(p);
        g[33] = bad;
        double[] state = New<double>(OptimizerState.Length);
        state[OptimizerState.Step] = 7;
        Kernels.SquaredNorm(40, Ptr(g), Ptr(state, DType.Float64));
        Kernels.AdamStep(40, new AdamOptions(0.9f, 0.999f, 1e-8f, 0, false, 1, 1), Ptr(p), Ptr(g), Ptr(m), Ptr(v),
            Mdm.Kernels.Ptr.None, Mdm.Kernels.Ptr.None, Ptr(state, DType.Float64));
        Assert.That(p, Is.EqualTo(before));
        Assert.That(state[OptimizerState.Step], Is.EqualTo(7));
        Assert.That(state[OptimizerState.Skipped], Is.EqualTo(1));
    }
}
