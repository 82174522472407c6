using Mdm.Kernels;
using static Mdm.CudaEmulator.Tests.KernelArrays;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Adam against float64 loops.</summary>
internal sealed class OptimizerKernelTests(string order) : KernelFixture(order)
{
    [Test]
    public void Five_steps([Values(3, 4099)] int n, [Values(0, 1)] int shift, [Values] bool decoupled,
        [Values(0f, 0.7f)] float clip, [Values] bool extras)
    {
        AdamOptions options = new(0.9f, 0.999f, 1e-8f, 0.1f, decoupled, clip, 0.5f);
        double[] p = Random(n, 1), m = new double[n], v = new double[n], average = (double[])p.Clone();
        Ptr pp = Arrays.New(DType.Float32, p, shift), pm = Arrays.New(DType.Float32, m), pv = Arrays.New(DType.Float32, v);
        Ptr ema = extras ? Arrays.New(DType.Float32, p) : Ptr.None, copy = extras ? Arrays.Empty(DType.BFloat16, n) : Ptr.None;
        Ptr state = Arrays.New(DType.Float64, [0, 0, 0.01, 0, 0.9, 0, 0, 0]);
        for (int t = 1; t <= 5; t++)
        {
            double[] g = Random(n, 10 + t);
            Ptr pg = Arrays.New(DType.Float32, g, shift);
            Kernels.SquaredNorm(n, pg, state);
            double square = g.Sum(x => x * x), norm = 0.5 * Math.Sqrt(square);
            Assert.That(Arrays.Read(state, 8)[OptimizerState.SquaredNorm], Is.EqualTo(square).Within(1e-12 * square));
            Kernels.AdamStep(n, options, pp, pg, pm, pv, ema, copy, state);
            for (int i = 0; i < n; i++)
            {
                double grad = 0.5 * g[i] * (clip == 0 ? 1 : Math.Min(1, clip / (norm + 1e-6)));
                m[i] = 0.9 * m[i] + 0.1 * grad;
                v[i] = 0.999 * v[i] + 0.001 * grad * grad;
                p[i] -= decoupled ? 0.01 * 0.1 * p[i] : 0;
                p[i] -= 0.01 * (m[i] / (1 - Math.Pow(0.9, t))) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.999, t))) + 1e-8);
                average[i] = 0.9 * average[i] + 0.1 * p[i];
            }
        }

        double[] found = Arrays.Read(pp, n);
        Near(found, p, DType.Float32, 3e-7);
        Near(Arrays.Read(pm, n), m, DType.Float32, 3e-7);
        Near(Arrays.Read(pv, n), v, DType.Float32, 3e-7);
        if (extras)
        {
            Near(Arrays.Read(ema, n), average, DType.Float32, 3e-7);
            Assert.That(Arrays.Read(copy, n), Is.EqualTo(Array.ConvertAll(found, ToBFloat16)));
        }

        Assert.That(Arrays.Read(state, 5), Is.EqualTo(new[] { 5, Arrays.Read(state, 2)[1], 0.01, 0, 0.9 }));
    }

    [Test]
    public void A_gradient_that_is_not_finite_changes_nothing(
        [Values(double.NaN, double.PositiveInfinity, double.NegativeInfinity)] double bad)
    {
        const int N = 1030;
        double[] p = Random(N, 1), g = Random(N, 2), m = Random(N, 3), v = Random(N, 4), ema = Random(N, 5), copy = Random(N, 6);
        g[1029] = bad;
        Ptr pp = Arrays.New(DType.Float32, p), pg = Arrays.New(DType.Float32, g), pm = Arrays.New(DType.Float32, m);
        Ptr pv = Arrays.New(DType.Float32, v), pe = Arrays.New(DType.Float32, ema), pc = Arrays.New(DType.BFloat16, copy);
        Ptr state = Arrays.New(DType.Float64, [7, 0, 0.01, 2, 0.9, 0, 0, 0]);
        Kernels.SquaredNorm(N, pg, state);
        Kernels.AdamStep(N, new AdamOptions(0.9f, 0.999f, 1e-8f, 0.1f, true, 1, 1), pp, pg, pm, pv, pe, pc, state);
        foreach ((Ptr array, double[] before) in new[] { (pp, p), (pm, m), (pv, v), (pe, ema), (pc, copy) })
            Assert.That(Arrays.Read(array, N), Is.EqualTo(before));
        double[] after = Arrays.Read(state, 8);
        Assert.That((after[OptimizerState.Step], after[OptimizerState.Skipped]), Is.EqualTo((7.0, 3.0)));
    }

    [TestCase(1, 1e25)]
    [TestCase(37, 1e-30)]
    [TestCase(50_001, 1e25)]
    public void The_norm_neither_overflows_nor_vanishes(int n, double scale)
    {
        double[] g = Random(n, 1, scale);
        Ptr state = Arrays.New(DType.Float64, new double[8]);
        Kernels.SquaredNorm(n, Arrays.New(DType.Float32, g, 1), state);
        double expected = g.Sum(v => v * v);
        Assert.That(Arrays.Read(state, 2)[1], Is.EqualTo(expected).Within(1e-12 * expected));
    }
}
