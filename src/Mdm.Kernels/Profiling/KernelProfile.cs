namespace Mdm.Kernels.Profiling;

/// <summary>Calls of a profile that belong together.</summary>
/// <param name="Name">What they have in common.</param>
/// <param name="Calls">How many.</param>
/// <param name="Seconds">Together.</param>
/// <param name="Operations">Floating-point operations, together.</param>
/// <param name="Bytes">Bytes moved, together.</param>
/// <param name="LeastSeconds">What the machine's peaks allow: for each call the longer of its operations and its
/// bytes.</param>
public sealed record ProfileRow(string Name, double Calls, double Seconds, double Operations, double Bytes, double LeastSeconds)
{
    /// <summary>Share of the roofline that was reached; above 1 where an algorithm saves operations of the definition.</summary>
    public double Share => LeastSeconds / Seconds;
}

/// <summary>Sums over the records of some equal steps.</summary>
public static class KernelProfile
{
    /// <summary>One row per group, the slowest first; figures are those of one step.</summary>
    /// <param name="device">Whose records they are.</param>
    /// <param name="steps">How many equal steps they come from.</param>
    /// <param name="peaks">Of the device.</param>
    /// <param name="group">What calls have in common.</param>
    public static IReadOnlyList<ProfileRow> Rows(
        ProfilingDevice device, int steps, MachinePeaks peaks, Func<KernelRecord, string> group) =>
        device.Records.GroupBy(group).Select(calls => Row(device, calls.Key, calls, steps, peaks))
            .OrderByDescending(row => row.Seconds).ToArray();

    private static ProfileRow Row(
        ProfilingDevice device, string name, IEnumerable<KernelRecord> calls, int steps, MachinePeaks peaks)
    {
        double seconds = 0, operations = 0, bytes = 0, least = 0;
        int count = 0;
        foreach (KernelRecord call in calls)
        {
            count++;
            seconds += device.Seconds(call.From, call.To) / device.Repeats;
            operations += call.Operations;
            bytes += call.Bytes;
            least += peaks.LeastTime(call.Operations, call.Bytes);
        }

        return new ProfileRow(name, (double)count / steps, seconds / steps, operations / steps, bytes / steps, least / steps);
    }
}
