using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;

namespace Mdm.Model.Tests.Diffusion;

[TestFixture]
public sealed class NoiseScheduleTests
{
    [Test]
    public void SigmoidFallsSymmetricallyFromOne()
    {
        NoiseSchedule schedule = NoiseSchedule.Create(new SamplerConfig { ScheduleType = ScheduleType.Sigmoid, NumDiffusionSteps = 8 });

        // gamma(u) = (s(3) - s(6u-3)) / (s(3) - s(-3)) with the logistic s (arXiv 2301.10972), here at u = 1/4.
        double expected = (Logistic(3) - Logistic(-1.5)) / (Logistic(3) - Logistic(-3));
        Assert.Multiple(() =>
        {
            Assert.That(schedule[0], Is.EqualTo(1f));
            Assert.That(schedule[2], Is.EqualTo(expected).Within(1e-6));
            Assert.That(schedule[4], Is.EqualTo(0.5).Within(1e-6));
            Assert.That(schedule[2] + schedule[6], Is.EqualTo(1).Within(1e-6));
            Assert.That(schedule[8], Is.EqualTo(1e-9).Within(1e-12));
        });
    }

    [Test]
    public void ShiftDividesTheSignalToNoiseRatio([Values] ScheduleType kind)
    {
        var config = new SamplerConfig { ScheduleType = kind, NumDiffusionSteps = 50 };
        NoiseSchedule plain = NoiseSchedule.Create(config), shifted = plain.Shifted(4, 2);

        Assert.That(shifted[0], Is.EqualTo(1f));
        for (int t = 1; t <= 50; t++)
            Assert.That(shifted.LogSnr(t), Is.EqualTo(plain.LogSnr(t) - Math.Log(16)).Within(1e-3), $"t = {t}");

        config.RescaleSchedule = 4;
        config.ScheduleShiftedPower = 2;
        Assert.That(NoiseSchedule.Create(config).Gammas.ToArray(), Is.EqualTo(shifted.Gammas.ToArray()));
    }

    [Test]
    public void VdmWeightsAreTheRelativeLossOfSignalToNoiseRatio()
    {
        NoiseSchedule schedule = NoiseSchedule.Create(new SamplerConfig { ScheduleType = ScheduleType.Cosine, NumDiffusionSteps = 20 });
        float[] weights = schedule.VdmWeights();

        for (int t = 2; t <= 20; t++)
        {
            double expected = Math.Exp(schedule.LogSnr(t - 1) - schedule.LogSnr(t)) - 1;
            Assert.That(weights[t], Is.EqualTo(expected).Within(1e-4 * expected), $"t = {t}");
        }

        Assert.That(weights[..2], Is.All.EqualTo(weights[2]));
    }

    [Test]
    public void OneStepHasEqualWeights()
    {
        NoiseSchedule schedule = NoiseSchedule.Create(new SamplerConfig { NumDiffusionSteps = 1 });

        Assert.That(schedule.Steps, Is.EqualTo(1));
        Assert.That(schedule.VdmWeights(), Is.EqualTo(new float[] { 1, 1 }));
    }

    [TestCase(0.0, 0.02, "1")]
    [TestCase(1e-4, 1.0, "0")]
    public void BetasThatLeaveNoNoiseOrNoSignalAreRejected(double start, double end, string found)
    {
        var config = new SamplerConfig { BetaStart = start, BetaEnd = end, NumDiffusionSteps = 10 };

        Assert.That(() => NoiseSchedule.Create(config),
            Throws.TypeOf<MdmException>().With.Message.Contains($"signal power {found} at step"));
    }

    [TestCase(0)]
    [TestCase(11)]
    public void MoreSamplingThanDiffusionStepsAreRejected(int steps)
    {
        Assert.That(() => TimeSteps.Create(10, steps), Throws.TypeOf<MdmException>().With.Message.Contains($"{steps} sampling steps"));
    }

    [Test]
    public void TimesFallStrictly([Values(1, 7, 250, 999, 1000)] int steps)
    {
        int[] times = TimeSteps.Create(1000, steps);

        Assert.That(times, Is.Ordered.Descending.And.Unique);
        Assert.That((times.Length, times[^1]), Is.EqualTo((steps + 1, 0)));
    }

    private static double Logistic(double x) => 1 / (1 + Math.Exp(-x));
}
