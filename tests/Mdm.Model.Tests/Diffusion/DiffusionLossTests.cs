using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Diffusion;

[TestFixture]
public sealed class DiffusionLossTests
{
    private static readonly CpuDevice s_device = new();

    [Test]
    public void FreshNetworkThatPredictsNothingLosesTheMeanSquareOfTheNoise([Values] bool vdm)
    {
        // The last layer begins with zeros, so the loss of a sample is the mean square of its noise.
        using DenoisingNetwork network = TinyNetwork.Plain(s_device);
        var config = new DiffusionConfig { UseVdmLossWeights = vdm };
        var process = new DiffusionProcess(config, network.NestRatios);
        float[] noise = Enumerable.Range(0, 3 * 8 * 8 * 3).Select(i => (float)Math.Sin(i)).ToArray();
        int[] times = [0, 9, 31];
        using Scope scope = Scope.Enter();
        Tensor images = Tensor.Zeros(s_device, new Shape(3, 8, 8, 3));

        LossResult result =
            new DiffusionLoss(process).Compute(network, images, null, TinyNetwork.NoMicros, times, new FixedNoise(noise));

        double[] expected = noise.Chunk(8 * 8 * 3).Select(sample => sample.Average(n => (double)n * n)).ToArray();
        double[] weights = times.Select(t => vdm ? process.Schedule.VdmWeights()[t + 1] : 1.0).ToArray();
        Assert.That(result.PerSample.ToArray(), Is.EqualTo(expected).Within(1e-5));
        double mean = expected.Zip(weights, (e, w) => e * w).Sum() / weights.Sum();
        Assert.That(result.Loss.ToArray()[0], Is.EqualTo(mean).Within(1e-5));
    }

    [Test]
    public void LevelWeightsAndSharesOfTheBatchScaleTheLosses()
    {
        using DenoisingNetwork network = TinyNetwork.Nested(s_device);
        float[] noise = Enumerable.Range(0, 4 * 16 * 16 * 3).Select(i => (float)Math.Cos(i)).ToArray();
        using Scope scope = Scope.Enter();
        Tensor images = Tensor.Zeros(s_device, new Shape(4, 16, 16, 3));

        float[] Losses(DiffusionConfig config) => new DiffusionLoss(new DiffusionProcess(config, network.NestRatios))
            .Compute(network, images, null, TinyNetwork.NoMicros, [0, 1, 2, 3], new FixedNoise(noise)).PerSample.ToArray();
        DiffusionConfig Config(bool both, double[]? weights = null, double[]? ratio = null) => new()
        {
            NoUseResidual = true,
            UseDoubleLoss = both,
            MultiResWeights = weights,
            MixedRatio = ratio,
            UseVdmLossWeights = false,
        };
        float[] top = Losses(Config(both: false)), sum = Losses(Config(both: true));
        float[] weighted = Losses(Config(both: true, weights: [3, 0.5])), mixed = Losses(Config(both: true, ratio: [1, 1]));

        for (int i = 0; i < 4; i++)
        {
            double low = sum[i] - top[i];
            Assert.That(low, Is.GreaterThan(0.1));
            Assert.That(weighted[i], Is.EqualTo(3 * top[i] + 0.5 * low).Within(1e-4));
            Assert.That(mixed[i], Is.EqualTo(i < 2 ? 2 * top[i] + low : low).Within(1e-4), "only the first half reaches the top");
        }
    }

    [Test]
    public void TimesAndNoiseComeFromTheStream()
    {
        using DenoisingNetwork network = TinyNetwork.Plain(s_device);
        var loss = new DiffusionLoss(new DiffusionProcess(new DiffusionConfig(), network.NestRatios));
        using Scope scope = Scope.Enter();
        Tensor images = Tensor.Zeros(s_device, new Shape(5, 8, 8, 3));

        float[] Draw(RandomStream random) =>
            loss.Compute(network, images, null, TinyNetwork.NoMicros, random).Levels[0].Noisy.ToArray();
        var stream = new RandomStream(3, 1);
        float[] first = Draw(stream), second = Draw(stream), again = Draw(new RandomStream(3, 1));

        Assert.That(again, Is.EqualTo(first));
        Assert.That(second, Is.Not.EqualTo(first));
        int[] times = new RandomStream(3, 1).Integers(10000, 32);
        Assert.That(times, Is.All.InRange(0, 31));
        Assert.That(times.GroupBy(t => t).Select(group => group.Count()), Has.Exactly(32).InRange(220, 410));
    }

    [Test]
    public void SettingsThatDoNotFitAreNamed()
    {
        var nested = new DiffusionConfig { NoUseResidual = true };
        Assert.Multiple(() =>
        {
            Assert.That(() => Loss(new DiffusionConfig()), Message("no_use_residual is false"));
            Assert.That(() => Loss(With(c => c.MultiResWeights = [1, 2, 3])), Message("multi_res_weights has 3 entries"));
            Assert.That(() => Loss(With(c => c.MultiResWeights = [0, 1])), Message("multi_res_weights are all 0"));
            Assert.That(() => Loss(With(c => c.MixedRatio = [0, 1])), Message("mixed_ratio begins with 0"));
            Assert.That(() => Loss(With(c => c.UseRandomInterp = true)), Message("use_random_interp"));
            Assert.That(() => new DiffusionProcess(nested, [4, 1]).LevelShapes(1, 18, 16, 3), Message("16x18, expected"));
        });

        using DenoisingNetwork network = TinyNetwork.Nested(s_device);
        using Scope scope = Scope.Enter();
        Tensor one = Tensor.Zeros(s_device, new Shape(1, 16, 16, 3));
        DiffusionLoss mixed = Loss(With(c => c.MixedRatio = [2, 1]));
        Assert.That(() => mixed.Compute(network, one, null, TinyNetwork.NoMicros, [0], new FixedNoise(new float[768])),
            Message("a batch of 1 leaves no sample for resolution 0"));

        DiffusionLoss Loss(DiffusionConfig config) => new(new DiffusionProcess(config, [2, 1]));
        DiffusionConfig With(Action<DiffusionConfig> change)
        {
            DiffusionConfig config = nested.Clone();
            change(config);
            return config;
        }
    }

    private static NUnit.Framework.Constraints.IResolveConstraint Message(string text) =>
        Throws.TypeOf<MdmException>().With.Message.Contains(text);

    /// <summary>The same numbers at every draw.</summary>
    private sealed class FixedNoise(float[] values) : INoiseSource
    {
        public Tensor Draw(IDevice device, Shape shape) => Tensor.From(device, values.AsSpan(0, (int)shape.Count), shape);
    }
}
