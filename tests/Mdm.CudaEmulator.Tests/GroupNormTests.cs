using Mdm.Kernels;
using static Mdm.CudaEmulator.Tests.KernelArrays;

namespace Mdm.CudaEmulator.Tests;

/// <summary>GroupNorm on CUDA against float64: both ways to launch it, both widths of loads, one and two sources.</summary>
public sealed class GroupNormTests
{
    private static IEnumerable<GroupNormShape> Shapes() =>
    [
        // One block a slice.
        new(2, 16, 33, 1, 1e-5f, true),
        new(3, 1, 32, 8, 1e-5f, true),
        new(2, 37, 64, 32, 1e-5f, false),
        new(1, 300, 48, 2, 1e-5f, true),
        new(2, 50, 40, 5, 1e-5f, true, 24),
        new(2, 11, 12, 4, 1e-5f, false, 7),
        // Chunks of positions: too much for a block's shared memory.
        new(1, 10501, 8, 2, 1e-5f, true),
        new(1, 17003, 5, 1, 1e-5f, false),
        new(1, 5501, 16, 1, 1e-5f, true, 8),
        new(2, 4001, 21, 1, 1e-3f, true, 4),
    ];

    [TearDown]
    public void ForgetError() => Planted.ForgetError();

    [Test]
    public void AgreesWithTheFormula([ValueSource(nameof(Shapes))] GroupNormShape s, [Values] bool modulated,
        [Values(DType.Float32, DType.BFloat16)] DType type)
    {
        using var a = new KernelArrays();
        var test = new Numbers(s, modulated, type);
        (Ptr mean, Ptr rstd) = test.Forward(a, type == DType.Float32 ? 1e-6 : 5e-3);
        test.Backward(a, mean, rstd, accumulate: !modulated, type == DType.Float32 ? 1e-5 : 1e-2);
    }

    [TestCase(64, 64, 32)]
    [TestCase(10501, 8, 2)]
    public void AMeanOfAThousandDeviationsLeavesTheVarianceRight(int positions, int channels, int groups)
    {
        using var a = new KernelArrays();
        var test = new Numbers(new(2, positions, channels, groups, 1e-5f, false), true, DType.Float32, shift: 1000);
        // A float32 near 1000 is right to 3e-5 of the deviation 1, and so is the mean.
        test.Forward(a, 1e-4);
    }

    [Test]
    public void OneWantedGradientIsTheSameAsAmongOthers()
    {
        using var a = new KernelArrays();
        var test = new Numbers(new(2, 50, 40, 5, 1e-5f, true, 24), true, DType.Float32);
        (Ptr mean, Ptr rstd) = test.Forward(a, 1e-6);
        for (int wanted = 0; wanted < 5; wanted++)
            test.Backward(a, mean, rstd, accumulate: false, 1e-5, wanted);
    }

    [TestCase(0, 5)]
    [TestCase(2, 0)]
    public void NothingHasNoGradient(int batch, int positions)
    {
        using var a = new KernelArrays();
        var s = new GroupNormShape(batch, positions, 8, 2, 1e-5f, true);
        double[] ones = Enumerable.Repeat(1.0, 8).ToArray();
        Ptr gamma = a.New(DType.Float32, ones), scaleShift = a.Empty(DType.Float32, Math.Max(1, 16 * batch));
        Ptr some = a.Empty(DType.Float32, 1), statistics = a.Empty(DType.Float32, 4);
        Target dgamma = a.Target(DType.Float32, 8, false), dbeta = a.Target(DType.Float32, 8, true);
        Target dscaleShift = a.Target(DType.Float32, Math.Max(1, 16 * batch), false);
        a.Kernels.GroupNormForward(s, some, gamma, gamma, scaleShift, some, statistics, statistics);
        a.Kernels.GroupNormBackward(s, some, some, gamma, gamma, scaleShift, statistics, statistics,
            new Target(some, false), dgamma, dbeta, dscaleShift);
        Assert.That(a.Read(dgamma.Ptr, 8), Is.All.EqualTo(0));
        Assert.That(a.Read(dbeta.Ptr, 8), Is.All.EqualTo(1));
        if (batch > 0)
            Assert.That(a.Read(dscaleShift.Ptr, 16 * batch), Is.All.EqualTo(0));
    }

    [Test]
    public void AGradientOfAnotherTypeIsRefused()
    {
        using var a = new KernelArrays();
        Ptr x = a.Empty(DType.BFloat16, 8), p = a.Empty(DType.Float32, 8);
        Assert.That(() => a.Kernels.GroupNormBackward(new(1, 1, 8, 2, 1e-5f, true), x, x, p, p, Ptr.None, p, p,
            new Target(p, false), Target.None, Target.None, Target.None),
            Throws.ArgumentException.With.Message.Contains("dx has the type Float32, expected BFloat16"));
    }

    private sealed class Numbers
    {
        private readonly GroupNormShape s;
        private readonly DType type;
        private readonly double[] x, dy, gamma, beta;
        private readonly double[]? scaleShift;
        private readonly int rows, first;

        public Numbers(GroupNormShape s, bool modulated, DType type, double shift = 0.5)
        {
            (this.s, this.type) = (s, type);
            (rows, first) = (s.Batch * s.Positions, s.Channels - s.SkipChannels);
            x = Normal((long)rows * s.Channels, type, 1, shift == 0.5 ? 1.5 : 1, shift);
            dy = Normal((long)rows * s.Channels, type, 2);
            gamma = Normal(s.Channels, DType.Float32, 3, 0.2, 1);
            beta = Normal(s.Channels, DType.Float32, 4, 0.2);
            scaleShift = modulated ? Normal(2L * s.Batch * s.Channels, type, 5, 0.3) : null;
        }

        public (Ptr Mean, Ptr Rstd) Forward(KernelArrays a, double tolerance)
        {
            Ptr y = a.Empty(type, x.Length), mean = a.Empty(DType.Float32, s.Batch * s.Groups);
            Ptr rstd = a.Empty(DType.Float32, s.Batch * s.Groups);
            a.Kernels.GroupNormForward(
                s, a.New(type, Part(x, false)), Floats(a, gamma), Floats(a, beta), Modulation(a), y, mean, rstd, Skip(a));
            double[] expected = new double[x.Length];
            Each((i, n, u, _) => expected[i] = s.Silu ? u / (1 + Math.Exp(-u)) : u);
            a.Near(y, expected, tolerance, "y");
            return (mean, rstd);
        }

        /// <summary>Checks all gradients, or the wanted one: of x, skip, gamma, beta, scale and shift.</summary>
        public void Backward(KernelArrays a, Ptr mean, Ptr rstd, bool accumulate, double tolerance, int? wanted = null)
        {
            Target For(int which, long count, DType of) =>
                count == 0 || (wanted ?? which) != which ? Target.None : a.Target(of, count, accumulate);
            Target dx = For(0, (long)rows * first, type), dskip = For(1, (long)rows * s.SkipChannels, type);
            Target dgamma = For(2, s.Channels, DType.Float32), dbeta = For(3, s.Channels, DType.Float32);
            Target dscaleShift = For(4, scaleShift?.Length ?? 0, type);
            a.Kernels.GroupNormBackward(s, a.New(type, dy), a.New(type, Part(x, false)), Floats(a, gamma), Floats(a, beta),
                Modulation(a), mean, rstd, dx, dgamma, dbeta, dscaleShift, Skip(a), dskip);

            double[] inner = new double[x.Length], gammas = new double[s.Channels], betas = new double[s.Channels];
            double[] modulations = new double[2 * s.Batch * s.Channels], means = new double[s.Batch * s.Groups];
            double[] alongs = new double[s.Batch * s.Groups];
            double count = (double)s.Positions * s.Channels / s.Groups;
            Each((i, n, u, scale) =>
            {
                (int b, int c) = (i / s.Channels / s.Positions, i % s.Channels);
                int g = b * s.Groups + c / (s.Channels / s.Groups), at = 2 * b * s.Channels + c;
                double sigma = 1 / (1 + Math.Exp(-u)), du = s.Silu ? dy[i] * sigma * (1 + u * (1 - sigma)) : dy[i];
                gammas[c] += du * scale * n;
                betas[c] += du * scale;
                modulations[at] += du * (gamma[c] * n + beta[c]);
                modulations[at + s.Channels] += du;
                inner[i] = du * scale * gamma[c];
                means[g] += inner[i] / count;
                alongs[g] += inner[i] * n / count;
            });
            double[] rates = a.Read(rstd, s.Batch * s.Groups), inputs = new double[x.Length];
            Each((i, n, _, _) =>
            {
                int g = i / s.Channels / s.Positions * s.Groups + i % s.Channels / (s.Channels / s.Groups);
                inputs[i] = rates[g] * (inner[i] - means[g] - n * alongs[g]);
            });
            Check(dx, Part(inputs, false), "dx");
            Check(dskip, Part(inputs, true), "dskip");
            Check(dgamma, gammas, "dgamma");
            Check(dbeta, betas, "dbeta");
            Check(dscaleShift, modulations, "dscaleShift");

            void Check(Target target, double[] expected, string what)
            {
                if (!target.IsNone)
                    a.Near(target, expected, tolerance, what);
            }
        }

        // Calls with the index of each element, its normalised value n, what SiLU sees, and 1 + scale.
        private void Each(Action<int, double, double, double> visit)
        {
            int size = s.Channels / s.Groups;
            for (int b = 0; b < s.Batch; b++)
            {
                for (int g = 0; g < s.Groups; g++)
                {
                    int[] members = [.. from p in Enumerable.Range(0, s.Positions)
                                        from c in Enumerable.Range(g * size, size)
                                        select (b * s.Positions + p) * s.Channels + c];
                    double mean = members.Average(i => x[i]);
                    double rate = 1 / Math.Sqrt(members.Average(i => (x[i] - mean) * (x[i] - mean)) + s.Epsilon);
                    foreach (int i in members)
                    {
                        int c = i % s.Channels, at = 2 * b * s.Channels + c;
                        double n = (x[i] - mean) * rate, scale = 1 + (scaleShift?[at] ?? 0);
                        visit(i, n, (n * gamma[c] + beta[c]) * scale + (scaleShift?[at + s.Channels] ?? 0), scale);
                    }
                }
            }
        }

        private double[] Part(double[] all, bool second) =>
            [.. all.Where((_, i) => i % s.Channels >= first == second)];

        private static Ptr Floats(KernelArrays a, double[] values) => a.New(DType.Float32, values);

        private Ptr Skip(KernelArrays a) => s.SkipChannels == 0 ? Ptr.None : a.New(type, Part(x, true));

        private Ptr Modulation(KernelArrays a) => scaleShift == null ? Ptr.None : a.New(type, scaleShift);
    }
}
