namespace Mdm.Model.Training;

/// <summary>What one update did.</summary>
/// <param name="Step">Updates so far, this one included.</param>
/// <param name="TotalSteps">Updates to make.</param>
/// <param name="Loss">Mean over the batch and its accumulated parts, before loss_factor.</param>
/// <param name="Running">Mean and spread of the losses.</param>
/// <param name="LearningRate">Of this update.</param>
/// <param name="GradientNorm">Of all gradients together, before clipping.</param>
/// <param name="Skipped">The loss or a gradient was not finite, and nothing was changed.</param>
/// <param name="ImagesPerSecond">Over the steps since the last log line.</param>
/// <param name="StepTime">Of this update.</param>
/// <param name="Elapsed">Training time so far, earlier runs included.</param>
/// <param name="Left">Until the last update or the end of the time allowed, at the present pace.</param>
/// <param name="Logged">Whether it is one of every log_freq steps.</param>
public sealed record StepReport(
    long Step, long TotalSteps, double Loss, RunningLoss Running, double LearningRate, double GradientNorm, bool Skipped,
    double ImagesPerSecond, TimeSpan StepTime, TimeSpan Elapsed, TimeSpan Left, bool Logged);

/// <summary>Watches a training run: a progress bar, a log. Called on the training thread, except for
/// <see cref="Warning"/>, which also comes from reading threads.</summary>
public interface ITrainingObserver
{
    void StepDone(StepReport report);

    /// <summary>A checkpoint is complete.</summary>
    /// <param name="path">The file with the averaged weights.</param>
    void Saved(string path);

    void Warning(string message);
}

/// <summary>Ignores everything.</summary>
public sealed class SilentObserver : ITrainingObserver
{
    public void StepDone(StepReport report)
    {
    }

    public void Saved(string path)
    {
    }

    public void Warning(string message)
    {
    }
}
