using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Diffusion;

public sealed class GuidanceScheduleTests
{
    private static readonly CpuDevice s_device = new();

    [TestCase("constant", new[] { 3.0, 3, 3, 3 })]
    [TestCase("LINEAR", new[] { 1.5, 2, 2.5, 3 })]
    [TestCase("interval:0-0.5", new[] { 3.0, 3, 1, 1 })]
    [TestCase("interval:0.25-0.75", new[] { 1.0, 3, 3, 1 })]
    [TestCase("interval:0.9-1", new[] { 1.0, 1, 1, 1 })]
    public void WeightsOfFourSteps(string text, double[] expected)
    {
        var schedule = GuidanceSchedule.Parse(text);
        Assert.That(Enumerable.Range(0, 4).Select(i => schedule.Weight(3, i, 4)), Is.EqualTo(expected).Within(1e-12));
        Assert.That(GuidanceSchedule.Parse(schedule.ToString()), Is.EqualTo(schedule));
    }

    [TestCase("")]
    [TestCase("cosine")]
    [TestCase("constant:3")]
    [TestCase("interval:-1-1")]
    [TestCase("interval:0.5-0.5")]
    [TestCase("interval:0.5-1.5")]
    [TestCase("interval:a-b")]
    public void OthersAreRefused(string text) => Assert.That(() => GuidanceSchedule.Parse(text),
        Throws.TypeOf<MdmException>().With.Message.Contains($"found '{text}', expected constant"));

    /// <summary>A step without guidance is that of the prompt alone, and one with it that of constant guidance.</summary>
    [Test]
    public void EachStepHasTheWeightOfTheSchedule()
    {
        using DenoisingNetwork network = TinyNetwork.Plain(s_device, textWidth: 6).Awake();
        var config = new DiffusionConfig
        {
            SamplerConfig = new SamplerConfig { NumDiffusionSteps = 32, ScheduleType = ScheduleType.Deepfloyd },
        };
        using var sampler = new Sampler(network, new DiffusionProcess(config, network.NestRatios));
        using Scope scope = Scope.Enter();
        TextFeatures Text(float value) => new(Tensor.Full(s_device, new Shape(1, 2, 6), value), null);
        var request = new SamplingRequest
        {
            Batch = 1,
            Height = 8,
            Width = 8,
            Steps = 4,
            Eta = 0,
            Text = Text(1.5f),
            NegativeText = Text(-2),
            Threshold = ThresholdType.None,
        };
        float[][] Path(double guidance, string schedule) => [.. sampler.Steps(
            request with { Guidance = guidance, GuidanceSchedule = GuidanceSchedule.Parse(schedule) },
            new PictureNoise(1, [0])).Select(state => state.Noisy[0].ToArray())];

        float[][] none = Path(1, "constant"), constant = Path(3, "constant"), late = Path(3, "interval:0.5-1"), early = Path(3, "interval:0-0.5");
        Assert.Multiple(() =>
        {
            Assert.That(late[1], Is.EqualTo(none[1]));
            Assert.That(late[2], Is.Not.EqualTo(none[2]).Within(1e-4));
            Assert.That(early[1], Is.EqualTo(constant[1]));
            Assert.That(early[2], Is.Not.EqualTo(constant[2]).Within(1e-4));
            Assert.That(Path(1, "linear")[3], Is.EqualTo(none[3]));
            Assert.That(Path(3, "linear")[0], Is.EqualTo(Path(1.5, "constant")[0]).Within(1e-6));
        });
    }
}
