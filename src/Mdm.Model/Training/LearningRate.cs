using Mdm.Model.Configuration;

namespace Mdm.Model.Training;

/// <summary>The learning rate of every step: a linear warm-up, then constant or a cosine to zero.</summary>
/// <param name="Peak">The rate after the warm-up.</param>
/// <param name="WarmupSteps">Steps over which it rises; 0: none.</param>
/// <param name="Schedule">What follows the warm-up.</param>
/// <param name="TotalSteps">Where the cosine reaches zero.</param>
public sealed record LearningRate(
    double Peak, int WarmupSteps, LrSchedule Schedule = LrSchedule.Constant, long TotalSteps = long.MaxValue)
{
    /// <summary>The rate of step 0, 1, ..: Peak·min(k, W)/W with k = max(1, step), so the first two steps share a rate.</summary>
    public double At(long step)
    {
        long k = Math.Max(1, step);
        if (k < WarmupSteps)
            return Peak * k / WarmupSteps;
        if (Schedule == LrSchedule.Constant)
            return Peak;
        double done = (double)(step - WarmupSteps) / Math.Max(1, TotalSteps - WarmupSteps);
        return Peak * 0.5 * (1 + Math.Cos(Math.PI * Math.Clamp(done, 0, 1)));
    }
}
