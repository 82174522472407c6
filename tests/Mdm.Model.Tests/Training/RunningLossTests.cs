using Mdm.Model.Configuration;
using Mdm.Model.Training;

namespace Mdm.Model.Tests.Training;

public class RunningLossTests
{
    [Test]
    public void It_follows_the_mean_slowly_and_outliers_hardly()
    {
        RunningLoss running = RunningLoss.None.With(0.5);
        Assert.That((running.Average, running.Variance, running.Best), Is.EqualTo((0.5, 0.25, 0.5)));
        RunningLoss near = running.With(0.6), far = running.With(1e9);
        double pulled = 1.5 * Math.Tanh(0.1 / 1.5);
        Assert.That(near.Average, Is.EqualTo(0.5 + 0.01 * pulled).Within(1e-15));
        Assert.That(near.Variance, Is.EqualTo(0.99 * 0.25 + 0.01 * pulled * pulled).Within(1e-15));
        Assert.That(far.Average, Is.EqualTo(0.5 + 0.01 * 1.5).Within(1e-12), "at most 3 spreads");
        Assert.That(far.Best, Is.EqualTo(0.5));
        Assert.That(far.Last, Is.EqualTo(1e9));
        for (int i = 0; i < 3000; i++)
            running = running.With(0.2 + (i % 2 * 0.02));
        Assert.That(running.Average, Is.EqualTo(0.21).Within(1e-3));
        Assert.That(running.Spread, Is.EqualTo(0.01).Within(1e-3));
    }

    [Test]
    public void A_loss_of_zero_is_no_trap()
    {
        RunningLoss running = RunningLoss.None.With(0).With(1);
        Assert.That(running.Average, Is.EqualTo(0.01));
    }

    [Test]
    public void Steps_that_fit_into_the_time_are_estimated_from_the_pace()
    {
        var config = new ProgramConfig { NumTrainingSteps = 1000 };
        Assert.That(new Pace(config, null, 0, TimeSpan.Zero).ExpectedSteps(10), Is.EqualTo(1000));
        var half = new Pace(config, TimeSpan.FromHours(2), 100, TimeSpan.FromHours(1));
        Assert.That(half.ExpectedSteps(100), Is.InRange(198, 200));
        Assert.That(half.ExpectedSteps(600), Is.EqualTo(1000));
        Assert.That(half.TimeIsUp, Is.False);
        Assert.That(new Pace(config, TimeSpan.FromHours(2), 100, TimeSpan.FromHours(2)).TimeIsUp);
    }
}
