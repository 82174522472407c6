using Mdm.Kernels.Counting;
using Mdm.Kernels.Profiling;

namespace Mdm.Kernels.Tests;

/// <summary>Sums and shares of a profile's calls.</summary>
public sealed class KernelProfileTests
{
    private static readonly MachinePeaks s_peaks = new(Operations: 100, Bytes: 10);

    private static readonly TimedCall[] s_calls = [Call("a", 200, 5, 4), Call("b", 1, 1, 0), Call("a", 100, 30, 6)];

    [Test]
    public void CallsOfAGroupAreSummedAndHeldAgainstThePeaks()
    {
        ProfileRow row = Rows([]).First();
        Assert.That((row.Name, row.Calls, row.Seconds, row.Operations, row.Bytes), Is.EqualTo(("a", 1.0, 5.0, 150.0, 17.5)));
        // 2 s for 200 operations, 3 s for 30 bytes, in two steps of 5 s.
        Assert.That(row.Share, Is.EqualTo(0.5).Within(1e-12));
        Assert.That(row.LibraryRatio, Is.NaN);
    }

    [Test]
    public void ALibraryIsComparedWhereItComputes()
    {
        TimedCall[] libraries = [.. s_calls.Select((call, i) => new TimedCall(call.Call with { ByLibrary = i > 0 }, 3))];
        Assert.That(Rows(libraries).First().LibraryRatio, Is.EqualTo(0.5).Within(1e-12), "3 s for 6 s");
    }

    [Test]
    public void ACallTooShortForTheClockHasNoShare()
    {
        TimedCall[] libraries = [.. s_calls.Select(call => new TimedCall(call.Call with { ByLibrary = true }, 1))];
        ProfileRow row = Rows(libraries).Last();
        Assert.That((row.Name, row.Seconds, row.Share), Is.EqualTo(("b", 0.0, 0.0)));
        Assert.That(row.LibraryRatio, Is.NaN);
    }

    private static IReadOnlyList<ProfileRow> Rows(TimedCall[] libraries) =>
        KernelProfile.Rows(s_calls, libraries, steps: 2, s_peaks, call => call.Kernel);

    private static TimedCall Call(string kernel, long operations, long bytes, double seconds) =>
        new(new KernelRecord(kernel, KernelFamily.Matrix, "", "", operations, bytes, 0, 0, ByLibrary: false), seconds);
}
