using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Diffusion;

[TestFixture]
public sealed class SamplerTests
{
    private static readonly CpuDevice s_device = new();

    private static readonly DiffusionConfig s_config = new()
    {
        NoUseResidual = true,
        SamplerConfig = new SamplerConfig { ScheduleType = ScheduleType.Deepfloyd, PredictionType = PredictionType.VPrediction },
    };

    [Test]
    public void PictureDependsOnSeedAndNumberNotOnItsBatch()
    {
        using DenoisingNetwork network = TinyNetwork.Nested(s_device).Awake();
        Sampler sampler = NewSampler(network);
        using Scope scope = Scope.Enter();

        float[] three = sampler.Sample(Request(3), new PictureNoise(5, [7, 8, 9])).ToArray();
        float[] one = sampler.Sample(Request(1), new PictureNoise(5, [8])).ToArray();

        Assert.That(three.AsSpan(one.Length, one.Length).ToArray(), Is.EqualTo(one).Within(1e-5));
        Assert.That(three.AsSpan(0, one.Length).ToArray(), Is.Not.EqualTo(one).Within(0.1));
    }

    [Test]
    public void EveryStepShowsEveryResolution()
    {
        using DenoisingNetwork network = TinyNetwork.Nested(s_device).Awake();
        using Scope scope = Scope.Enter();
        var seen = new List<(int, int, int)>();
        double last = double.NegativeInfinity;

        Tensor picture = NewSampler(network).Sample(Request(2), new PictureNoise(0, [0, 1]), state =>
        {
            seen.Add((state.Step, state.Time, state.NextTime));
            Assert.That(state.Noisy.Select(x => x.Shape), Is.EqualTo(new[] { new Shape(2, 16, 16, 3), new Shape(2, 8, 8, 3) }));
            Assert.That(state.SideBySide(denoised: true).Shape, Is.EqualTo(new Shape(2, 16, 32, 3)));
            Assert.That(state.LogSnr[0], Is.GreaterThan(last));
            last = state.LogSnr[0];
        });

        int[] times = TimeSteps.Create(32, 4);
        Assert.That(seen, Is.EqualTo(Enumerable.Range(0, 4).Select(i => (i + 1, times[i], times[i + 1]))));
        Assert.That(last, Is.EqualTo(double.PositiveInfinity));
        Assert.That(picture.ToArray(), Is.All.InRange(-1f, 1f));
    }

    [Test]
    public void NothingIsLeftBehind()
    {
        using DenoisingNetwork network = TinyNetwork.Nested(s_device).Awake();
        long before = s_device.Memory.InUse;
        foreach (SamplingState state in NewSampler(network).Steps(Request(2), new PictureNoise(0, [0, 1])))
        {
            if (state.Step == 2)
                break;
        }

        using (Scope.Enter())
            NewSampler(network).Sample(Request(1), new PictureNoise(0, [0]));
        Assert.That(s_device.Memory.InUse, Is.EqualTo(before));
    }

    [Test]
    public void CancellationEndsBetweenSteps()
    {
        using DenoisingNetwork network = TinyNetwork.Plain(s_device);
        using var source = new CancellationTokenSource();
        using Scope scope = Scope.Enter();
        int steps = 0;

        Assert.That(() => NewSampler(network).Sample(Request(1), new PictureNoise(0, [0]), _ =>
        {
            steps++;
            source.Cancel();
        }, source.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(steps, Is.EqualTo(1));
    }

    [Test]
    public void DeterministicDdimDrawsNoNoiseOnTheWay()
    {
        using DenoisingNetwork network = TinyNetwork.Plain(s_device).Awake();
        using Scope scope = Scope.Enter();
        var noise = new Counting(new PictureNoise(0, [0]));

        NewSampler(network).Sample(Request(1) with { Eta = 0 }, noise);
        int ddim = noise.Draws;
        NewSampler(network).Sample(Request(1), noise);

        Assert.That((ddim, noise.Draws - ddim), Is.EqualTo((1, 4)), "the first noise; and one per step but the last");
    }

    [Test]
    public void PerfectPredictionIsReachedInOneStep()
    {
        // With x0 known exactly, a step to s = 0 must land on it, whatever the sampler.
        foreach (double? eta in new double?[] { null, 0, 0.5, 1 })
        {
            SamplerUpdate update = SamplerUpdate.Of(0.3, 1, eta);
            Assert.That((update.Image, update.Noisy, update.Noise), Is.EqualTo((1.0, 0.0, 0.0)), $"eta {eta}");
        }

        // DDIM with eta = 1 has the mean and variance of ancestral sampling.
        SamplerUpdate ancestral = SamplerUpdate.Of(0.2, 0.7, null), ddim = SamplerUpdate.Of(0.2, 0.7, 1);
        Assert.Multiple(() =>
        {
            Assert.That(ddim.Image, Is.EqualTo(ancestral.Image).Within(1e-12));
            Assert.That(ddim.Noisy, Is.EqualTo(ancestral.Noisy).Within(1e-12));
            Assert.That(ddim.Noise, Is.EqualTo(ancestral.Noise).Within(1e-12));
        });
    }

    [Test]
    public void ThresholdsKeepImagesInRange()
    {
        using Scope scope = Scope.Enter();
        float[] values = Enumerable.Range(0, 200).Select(i => (i - 100) * 0.05f).ToArray();
        Tensor x = Tensor.From(s_device, values, new Shape(1, 10, 20, 1));

        float[] Apply(ThresholdType type, double scale = 1) => Threshold.Apply(type, x, scale).ToArray();

        // Sorted |x|: 0, then 0.05 to 4.95 twice each, then 5; position 0.995 * 199 = 198.005 lies between 4.95 and 5.
        double quantile = 4.95 + 0.005 * 0.05;
        Assert.Multiple(() =>
        {
            Assert.That(Apply(ThresholdType.None), Is.EqualTo(values));
            Assert.That(Apply(ThresholdType.Clip), Is.EqualTo(values.Select(v => Math.Clamp(v, -1, 1))).Within(1e-6));
            Assert.That(Apply(ThresholdType.Clip, 4), Is.EqualTo(values.Select(v => Math.Clamp(v, -0.25, 0.25))).Within(1e-6));
            Assert.That(Apply(ThresholdType.Dynamic),
                Is.EqualTo(values.Select(v => Math.Clamp(v, -quantile, quantile) / quantile)).Within(1e-5));
            Assert.That(Apply(ThresholdType.DynamicIf),
                Is.EqualTo(values.Select(v => Math.Clamp(v, -1.5, 1.5) / 1.5)).Within(1e-6));
        });
    }

    [Test]
    public void RequestsThatDoNotFitAreNamed()
    {
        using DenoisingNetwork plain = TinyNetwork.Plain(s_device), withText = TinyNetwork.Plain(s_device, textWidth: 6);
        using Scope scope = Scope.Enter();
        var text = new TextFeatures(Tensor.Zeros(s_device, new Shape(1, 2, 6)), null);
        Assert.Multiple(() =>
        {
            Refused(plain, Request(1) with { Guidance = 3 }, "cfg_weight is 3, expected 1");
            Refused(withText, Request(1), "no text features");
            Refused(withText, Request(1) with { Text = text, Guidance = 3 }, "empty or negative prompt");
            Refused(plain, Request(0), "batch of 0");
            Refused(plain, Request(1) with { Eta = 2 }, "ddim_eta is 2");
            Refused(plain, Request(1) with { Steps = 33 }, "33 sampling steps, expected 1 to 32");
        });

        static void Refused(DenoisingNetwork network, SamplingRequest request, string message) =>
            Assert.That(() => NewSampler(network).Sample(request, new PictureNoise(0, [0])),
                Throws.TypeOf<MdmException>().With.Message.Contains(message));
    }

    private static Sampler NewSampler(DenoisingNetwork network) =>
        new(network, new DiffusionProcess(s_config, network.NestRatios));

    private static SamplingRequest Request(int batch) => new() { Batch = batch, Height = 16, Width = 16, Steps = 4 };

    private sealed class Counting(INoiseSource inner) : INoiseSource
    {
        public int Draws { get; private set; }

        public Tensor Draw(IDevice device, Shape shape)
        {
            Draws++;
            return inner.Draw(device, shape);
        }
    }
}
