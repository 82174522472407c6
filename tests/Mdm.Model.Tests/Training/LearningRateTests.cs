using Mdm.Model.Configuration;
using Mdm.Model.Training;

namespace Mdm.Model.Tests.Training;

[TestFixture]
public sealed class LearningRateTests
{
    [Test]
    public void WarmsUpLinearlyWithTheFirstTwoStepsAlike()
    {
        var rate = new LearningRate(0.001, WarmupSteps: 4);

        double[] found = Enumerable.Range(0, 6).Select(step => rate.At(step)).ToArray();

        Assert.That(found, Is.EqualTo(new[] { 0.00025, 0.00025, 0.0005, 0.00075, 0.001, 0.001 }).Within(1e-15));
    }

    [Test]
    public void NoWarmupBeginsAtThePeak() => Assert.That(new LearningRate(0.5, 0).At(0), Is.EqualTo(0.5));

    [TestCase(10, 1.0)]
    [TestCase(60, 0.5)]
    [TestCase(110, 0.0)]
    [TestCase(500, 0.0)]
    public void CosineFallsToZeroAtTheEnd(int step, double expected)
    {
        var rate = new LearningRate(1, 10, LrSchedule.Cosine, TotalSteps: 110);

        Assert.That(rate.At(step), Is.EqualTo(expected).Within(1e-12));
    }
}
