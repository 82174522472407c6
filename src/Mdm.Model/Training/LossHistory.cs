using System.Globalization;

namespace Mdm.Model.Training;

/// <summary>Losses that a run has logged, for whoever draws a curve over a run that was interrupted.</summary>
public static class LossHistory
{
    /// <summary>Steps up to <paramref name="lastStep"/> with their losses, from <c>loss.csv</c> in the output folder. What
    /// is not there or cannot be read is left out: a curve is no reason to end a run.</summary>
    public static IReadOnlyList<(long Step, double Loss)> Read(string folder, long lastStep)
    {
        var losses = new List<(long, double)>();
        try
        {
            IEnumerable<string> lines = File.ReadLines(Path.Combine(folder, TrainingLog.FileName));
            foreach (string[] fields in lines.Select(line => line.Split(',')))
                if (fields.Length > 1 && long.TryParse(fields[0], out long step) && step <= lastStep
                    && double.TryParse(fields[1], CultureInfo.InvariantCulture, out double loss))
                    losses.Add((step, loss));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return losses;
        }

        return losses;
    }
}
