using System.Globalization;
using Mdm.Model.Presentation;
using Mdm.Model.Training;
using Mdm.Tensors.Formats;
using Spectre.Console;

namespace Mdm.Cli;

/// <summary>Shows a training run: a progress bar on a terminal, a line every log_freq steps elsewhere. Collects the losses for
/// the curve.</summary>
internal sealed class TrainingDisplay(TimeSpan? timeLimit) : ITrainingObserver
{
    public const string CurveFile = "loss.svg";

    private readonly List<(long Step, double Loss)> _losses = [];
    private ProgressTask? _bar;

    /// <summary>Runs the trainer under this display.</summary>
    public TrainingResult Run(Trainer trainer, string folder, CancellationToken cancellation)
    {
        _losses.AddRange(LossHistory.Read(folder, trainer.Progress.Step));
        TrainingResult result = Console.IsErrorRedirected
            ? trainer.Run(cancellation)
            : Terminal.Draw("training", bar =>
            {
                _bar = bar;
                return trainer.Run(cancellation);
            }, stays: true, new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(),
                new PercentageColumn());
        AtomicFile.WriteText(Path.Combine(folder, CurveFile), LossCurve.Svg(_losses));
        return result;
    }

    public void StepDone(StepReport report)
    {
        if (!report.Skipped)
            _losses.Add((report.Step, report.Loss));
        string line = string.Create(CultureInfo.InvariantCulture,
            $"step {report.Step,6}  loss {report.Running.Average:F4}  {report.ImagesPerSecond,6:F1} images/s  ")
            + $"{Left(report.Left)} left";
        if (_bar != null)
        {
            _bar.Description = line;
            _bar.Value = 100 * (timeLimit is { } limit ? report.Elapsed / limit : (double)report.Step / report.TotalSteps);
        }
        else if (report.Logged)
        {
            Terminal.Note(line);
        }
    }

    public void Saved(string path)
    {
        if (_bar == null)
            Terminal.Note($"saved {path}");
    }

    public void Warning(string message) => Terminal.Warn(message);

    private static string Left(TimeSpan left) =>
        left.TotalHours >= 1
            ? $"{(int)left.TotalHours}:{left.Minutes:D2}:{left.Seconds:D2}"
            : $"{left.Minutes}:{left.Seconds:D2}";
}
