using Spectre.Console;

namespace Mdm.Cli;

/// <summary>Progress bars on standard error; nothing is drawn where it is not a terminal.</summary>
internal static class Progress
{
    /// <summary>Runs a job that reports its share done, 0..1, from any thread.</summary>
    public static T Bar<T>(string what, Func<Action<double>, T> job) => Console.IsErrorRedirected
        ? job(_ => { })
        : Terminal.Draw(what, bar =>
        {
            T result = job(share => bar.Value = 100 * share);
            bar.Value = bar.MaxValue;
            return result;
        },
            new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn());
}
