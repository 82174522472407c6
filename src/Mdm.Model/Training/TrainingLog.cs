using System.Globalization;
using Mdm.Kernels;

namespace Mdm.Model.Training;

/// <summary>The table <c>loss.csv</c> in the output folder: a line every log_freq steps. A run that is resumed goes on behind
/// the step it resumes from; a log that cannot be written is reported once and given up, training goes on.</summary>
internal sealed class TrainingLog
{
    public const string FileName = "loss.csv";
    private const string Header =
        "step,loss,average_loss,spread,learning_rate,gradient_norm,skipped,images_per_second,step_seconds";

    private readonly string _path;
    private readonly Action<string> _warn;
    private bool _failed;

    /// <param name="folder">The output folder, which exists.</param>
    /// <param name="step">Lines of later steps are left out: they will be written again.</param>
    /// <param name="warn">Told if the log cannot be written.</param>
    public TrainingLog(string folder, long step, Action<string> warn)
    {
        _path = Path.Combine(folder, FileName);
        _warn = warn;
        Try(() =>
        {
            string[] earlier = step > 0 && File.Exists(_path) ? File.ReadAllLines(_path) : [];
            File.WriteAllLines(_path, [Header, .. earlier.Skip(1).Where(line => IsUpTo(line, step))]);
        });
    }

    public void Write(StepReport report, long skipped)
    {
        string line = string.Create(CultureInfo.InvariantCulture,
            $"{report.Step},{report.Loss:G6},{report.Running.Average:G6},{report.Running.Spread:G6},{report.LearningRate:G6},"
            + $"{report.GradientNorm:G6},{skipped},{report.ImagesPerSecond:G5},{report.StepTime.TotalSeconds:G4}");
        Try(() => File.AppendAllText(_path, line + "\n"));
    }

    private static bool IsUpTo(string line, long step) => long.TryParse(line.Split(',')[0], out long own) && own <= step;

    private void Try(Action write)
    {
        if (_failed)
            return;
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _failed = true;
            _warn($"cannot write {_path}: {e.Message}; training goes on without it");
        }
    }
}
