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
    /// <summary>Share of the roofline that was reached; above 1 where an algorithm saves operations of the definition, 0 where the
    /// clock saw no time pass.</summary>
    public double Share => Seconds > 0 ? LeastSeconds / Seconds : 0;

    /// <summary>What libraries (cuBLASLt, cuDNN) need for those of the calls that they can compute, over what these took; NaN where
    /// there are none.</summary>
    public double LibraryRatio { get; init; } = double.NaN;
}

/// <summary>A call and how long it took.</summary>
public readonly record struct TimedCall(KernelRecord Call, double Seconds);

/// <summary>Sums over the calls of some equal steps.</summary>
public static class KernelProfile
{
    /// <summary>One row per group, the slowest first; figures are those of one step.</summary>
    /// <param name="calls">In the order they were made.</param>
    /// <param name="libraries">The same calls, made once more where libraries come first; empty if they were not.</param>
    /// <param name="steps">How many equal steps they come from.</param>
    /// <param name="peaks">Of the device.</param>
    /// <param name="group">What calls have in common.</param>
    public static IReadOnlyList<ProfileRow> Rows(IReadOnlyList<TimedCall> calls, IReadOnlyList<TimedCall> libraries, int steps,
        MachinePeaks peaks, Func<KernelRecord, string> group)
    {
        if (libraries.Count > 0 && libraries.Count != calls.Count)
            throw new ArgumentException($"{libraries.Count} calls with libraries, expected {calls.Count} as without");
        return calls.Select((call, i) => (Own: call, Library: libraries.Count > 0 ? libraries[i] : default))
            .GroupBy(pair => group(pair.Own.Call)).Select(pairs => Row(pairs.Key, [.. pairs], steps, peaks))
            .OrderByDescending(row => row.Seconds).ToArray();
    }

    private static ProfileRow Row(string name, (TimedCall Own, TimedCall Library)[] calls, int steps, MachinePeaks peaks)
    {
        var replaced = calls.Where(pair => pair.Library.Call.ByLibrary).ToArray();
        return new ProfileRow(name, (double)calls.Length / steps, calls.Sum(pair => pair.Own.Seconds) / steps,
            calls.Sum(pair => (double)pair.Own.Call.Operations) / steps, calls.Sum(pair => (double)pair.Own.Call.Bytes) / steps,
            calls.Sum(pair => peaks.LeastTime(pair.Own.Call.Operations, pair.Own.Call.Bytes)) / steps)
        {
            LibraryRatio = replaced.Sum(pair => pair.Own.Seconds) > 0
                ? replaced.Sum(pair => pair.Library.Seconds) / replaced.Sum(pair => pair.Own.Seconds)
                : double.NaN,
        };
    }
}
