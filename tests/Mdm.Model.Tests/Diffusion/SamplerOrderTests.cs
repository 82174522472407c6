using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Diffusion;

/// <summary>Samplers on data for which the probability-flow equation has a solution on paper. Data distributed as N(m, v²) are
/// N(√γ·m, γv²+1-γ) at signal power γ; the flow keeps the place within that distribution, and the best prediction is
/// m + v²√γ·(x - √γ·m)/(γv²+1-γ).</summary>
public sealed class SamplerOrderTests
{
    private const double Mean = 0.4, Deviation = 0.3, Place = 1.3;

    private static readonly CpuDevice s_device = new();

    private static readonly SamplerKind[] s_deterministic = [SamplerKind.Ddim, SamplerKind.DpmSolver, SamplerKind.Heun];

    [Test]
    public void TheErrorFallsWithTheOrderOfTheSampler(
        [ValueSource(nameof(s_deterministic))] SamplerKind kind,
        [Values(ScheduleType.Deepfloyd, ScheduleType.Cosine)] ScheduleType type,
        [Values(1, 4)] int scale)
    {
        // With T + 1 and N + 1 powers of two, the times are equally far apart and the same two are always among them. Between
        // them all is smooth; towards pure noise and in the last step to the picture ln(σ/α) grows without bound.
        NoiseSchedule schedule = Schedule(type, 8191).Shifted(scale, 1);
        const int from = 8192 / 8 * 7, to = 8192 / 8;
        double[] errors = [.. new[] { 31, 63, 127, 255 }.Select(steps =>
        {
            int[] times = [.. TimeSteps.Create(schedule.Steps, steps).Where(t => t is >= to and <= from)];
            return Path(kind, schedule, times, Deviation).Zip(times.Skip(1)).Where(point => point.Second % 256 == 0)
                .Max(point => Math.Abs(point.First.X - point.First.Exact));
        })];
        double[] orders = [.. errors.Zip(errors.Skip(1), (before, after) => Math.Log2(before / after))];

        double expected = kind == SamplerKind.Ddim ? 1 : 2;
        Assert.That(orders, Is.All.EqualTo(expected).Within(0.25), $"errors {string.Join(", ", errors)}");
    }

    [Test]
    public void TheSecondOrderIsWorthItsEvaluations()
    {
        // 30 evaluations each.
        NoiseSchedule schedule = Schedule(ScheduleType.Deepfloyd, 1000);
        double Error(SamplerKind kind, int steps) => Math.Abs(End(kind, schedule, steps) - (Mean + Deviation * Place));
        double ddim = Error(SamplerKind.Ddim, 30);
        Assert.That(Error(SamplerKind.DpmSolver, 30), Is.LessThan(ddim / 4));
        Assert.That(Error(SamplerKind.Heun, 15), Is.LessThan(ddim));
    }

    [Test]
    public void NothingIsAddedWhereThePredictionDoesNotChange()
    {
        // Data that are a single point: every sampler follows the straight line to it, whatever the steps.
        NoiseSchedule schedule = Schedule(ScheduleType.Deepfloyd, 100);
        foreach (SamplerKind kind in s_deterministic)
        {
            foreach ((double x, double exact) in Path(kind, schedule, TimeSteps.Create(100, 7), deviation: 0))
                Assert.That(x, Is.EqualTo(exact).Within(1e-12), kind.Name());
        }
    }

    /// <summary>A network that predicts the velocity 0 is the best one for data of N(0, 1), which noise leaves as they are: the
    /// exact flow ends where it began, at every resolution.</summary>
    [Test]
    public void TheSamplerOfANetworkStepsAsThePaperSays(
        [ValueSource(nameof(s_deterministic))] SamplerKind kind, [Values] bool nested)
    {
        using DenoisingNetwork network = nested ? TinyNetwork.Nested(s_device) : TinyNetwork.Plain(s_device);
        var process = new DiffusionProcess(Config(512), network.NestRatios);
        using var sampler = new Sampler(network, process);
        using Scope scope = Scope.Enter();
        foreach (int steps in new[] { 5, 20 })
        {
            var noise = new Remembering(new PictureNoise(3, [0, 1]));
            var request = new SamplingRequest
            {
                Batch = 2,
                Height = 16,
                Width = 16,
                Steps = steps,
                Sampler = kind,
                Threshold = ThresholdType.None,
            };
            float[][] last = [];
            foreach (SamplingState state in sampler.Steps(request, noise))
                last = [.. state.Noisy.Select(x => x.ToArray())];

            for (int level = 0; level < last.Length; level++)
            {
                NoiseSchedule schedule = process.Levels[level].Schedule;
                double factor = Path(
                    kind, schedule, TimeSteps.Create(512, steps), deviation: 1, mean: 0, place: 1).Last().X;
                Assert.That(last[level], Is.EqualTo(noise.Drawn[level].Select(z => factor * z)).Within(2e-5), $"level {level}");
                Assert.That(factor, Is.EqualTo(1).Within(steps == 5 ? 0.4 : kind == SamplerKind.Ddim ? 0.1 : 0.02));
            }
        }
    }

    [Test]
    public void AThresholdActsOnEveryPrediction([ValueSource(nameof(s_deterministic))] SamplerKind kind)
    {
        using DenoisingNetwork network = TinyNetwork.Nested(s_device).Awake();
        using var sampler = new Sampler(network, new DiffusionProcess(Config(32), network.NestRatios));
        using Scope scope = Scope.Enter();
        var request = new SamplingRequest
        {
            Batch = 1,
            Height = 16,
            Width = 16,
            Steps = 5,
            Sampler = kind,
            Threshold = ThresholdType.Clip,
        };
        foreach (SamplingState state in sampler.Steps(request, new PictureNoise(1, [0])))
            foreach (Tensor denoised in state.Denoised)
                Assert.That(denoised.ToArray(), Is.All.InRange(-1f, 1f));
        float[] clipped = sampler.Sample(request, new PictureNoise(1, [0])).ToArray();
        float[] free = sampler.Sample(request with { Threshold = ThresholdType.None }, new PictureNoise(1, [0])).ToArray();
        Assert.That(clipped, Is.Not.EqualTo(free).Within(0.01));
    }

    [Test]
    public void AnEtaBelongsToDdim()
    {
        Assert.Multiple(() =>
        {
            Assert.That(SamplerKinds.Resolve(null, null), Is.EqualTo(SamplerKind.Ddpm));
            Assert.That(SamplerKinds.Resolve(null, 0), Is.EqualTo(SamplerKind.Ddim));
            Assert.That(SamplerKinds.Resolve(SamplerKind.Ddim, null), Is.EqualTo(SamplerKind.Ddim));
            foreach (SamplerKind kind in new[] { SamplerKind.Ddpm, SamplerKind.DpmSolver, SamplerKind.Heun })
                Assert.That(() => SamplerKinds.Resolve(kind, 0.5), Throws.TypeOf<MdmException>()
                    .With.Message.Contains($"expected none with the sampler {kind.Name()}"));
            Assert.That(() => SamplerKinds.Parse("dpm+"), Throws.TypeOf<MdmException>().With.Message.Contains("did you mean 'dpm++'"));
            Assert.That(SamplerKinds.Parse("Heun"), Is.EqualTo(SamplerKind.Heun));
        });
    }

    private static double End(SamplerKind kind, NoiseSchedule schedule, int steps) =>
        Path(kind, schedule, TimeSteps.Create(schedule.Steps, steps), Deviation).Last().X;

    // The samplers in float64, with the weights that the engine's have, beside the solution on paper.
    private static IEnumerable<(double X, double Exact)> Path(
        SamplerKind kind, NoiseSchedule schedule, int[] times, double deviation, double mean = Mean, double place = Place)
    {
        double Variance(double gamma) => gamma * deviation * deviation + 1 - gamma;
        double Exact(double gamma) => Math.Sqrt(gamma) * mean + Math.Sqrt(Variance(gamma)) * place;
        double Predict(double x, double gamma) =>
            mean + deviation * deviation * Math.Sqrt(gamma) * (x - Math.Sqrt(gamma) * mean) / Variance(gamma);

        double x = Exact(schedule[times[0]]), before = 0;
        for (int i = 0; i < times.Length - 1; i++)
        {
            double gamma = schedule[times[i]], next = schedule[times[i + 1]], image = Predict(x, gamma);
            SamplerUpdate update = kind == SamplerKind.DpmSolver
                ? SamplerUpdate.Multistep(i == 0 ? null : schedule[times[i - 1]], gamma, next)
                : SamplerUpdate.Of(gamma, next, 0);
            double y = update.Image * image + update.Noisy * x + update.Other * before;
            if (kind == SamplerKind.Heun && next < 1)
            {
                update = SamplerUpdate.HeunCorrection(gamma, next);
                y = update.Image * Predict(y, next) + update.Noisy * x + update.Other * image;
            }

            (x, before) = (y, image);
            yield return (x, Exact(next));
        }
    }

    private static NoiseSchedule Schedule(ScheduleType type, int steps) =>
        NoiseSchedule.Create(new SamplerConfig { ScheduleType = type, NumDiffusionSteps = steps });

    private static DiffusionConfig Config(int steps) => new()
    {
        NoUseResidual = true,
        SamplerConfig = new SamplerConfig
        {
            NumDiffusionSteps = steps,
            ScheduleType = ScheduleType.Deepfloyd,
            PredictionType = PredictionType.VPrediction,
            ScheduleShifted = true,
        },
    };

    private sealed class Remembering(INoiseSource inner) : INoiseSource
    {
        public List<float[]> Drawn { get; } = [];

        public Tensor Draw(IDevice device, Shape shape)
        {
            Tensor noise = inner.Draw(device, shape);
            Drawn.Add(noise.ToArray());
            return noise;
        }
    }
}
