using System.Diagnostics;
using System.Runtime.InteropServices;
using Mdm.Kernels.Cpu;

namespace Mdm.Bench;

/// <summary>One line of the result table.</summary>
/// <param name="Group">what kind of thing was measured: matmul, conv, ...</param>
/// <param name="Name">which one</param>
/// <param name="Value">in <paramref name="Unit"/></param>
/// <param name="Share">of the peak measured beside it, or NaN</param>
internal sealed record Result(string Group, string Name, double Value, string Unit, double Share);

internal static unsafe partial class Measure
{
    private const int ThreadCpuTime = 3;

    private const int Rounds = 9;

    /// <summary>Seconds of one call: the shortest of some, in rounds of at least 3 ms.</summary>
    public static double Seconds(Action act)
    {
        act();
        int calls = CallsFor(act, 3e-3);
        double best = double.MaxValue;
        for (int round = 0; round < 5; round++)
            best = Math.Min(best, Time(act, calls));
        return best;
    }

    /// <summary>Rate of an act of so much work, and its share of a peak: the two are measured in turns, and the median of the
    /// ratios of neighbours is taken.</summary>
    public static (double Rate, double Share) AgainstPeak(Action act, double work, Func<double> peak)
    {
        act();
        int calls = CallsFor(act, 5e-3);
        var rates = new double[Rounds];
        var shares = new double[Rounds];
        double before = peak();
        for (int round = 0; round < Rounds; round++)
        {
            rates[round] = work / Time(act, calls);
            double after = peak();
            shares[round] = rates[round] / ((before + after) / 2);
            before = after;
        }

        Array.Sort(rates);
        Array.Sort(shares);
        return (rates[Rounds / 2], shares[Rounds / 2]);
    }

    /// <summary>As <see cref="AgainstPeak"/>, with the multiply-add peak of a level as the peak.</summary>
    public static Result Flops(string group, string name, CpuLevel level, Action act, double flops)
    {
        CpuLevel before = CpuFeatures.Level;
        CpuFeatures.Level = level;
        try
        {
            (double rate, double share) = AgainstPeak(act, flops, () => Peaks.MultiplyAdds(level));
            return new Result(group, $"{name} {level.ToString().ToLowerInvariant()}", rate / 1e9, "GFLOP/s", share);
        }
        finally
        {
            CpuFeatures.Level = before;
        }
    }

    private static int CallsFor(Action act, double seconds) => Math.Max(1, (int)(seconds / Time(act, 1)));

    private static double Time(Action act, int calls)
    {
        double start = Now();
        for (int i = 0; i < calls; i++)
            act();
        return (Now() - start) / calls;
    }

    /// <summary>Whether time is what this thread spent on a processor, not what passed: with one thread, the figures then
    /// hold on a machine whose cores are busy with other things too (Linux only).</summary>
    public static bool CpuTime { get; set; }

    /// <summary>Seconds, from some start.</summary>
    public static double Now()
    {
        if (!CpuTime)
            return Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
        long* time = stackalloc long[2];
        _ = ClockGetTime(ThreadCpuTime, time);
        return time[0] + time[1] * 1e-9;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, long* time);
}
