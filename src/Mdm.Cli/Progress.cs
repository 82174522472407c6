using Spectre.Console;

namespace Mdm.Cli;

/// <summary>Progress bars on standard error; nothing is drawn where it is not a terminal.</summary>
internal static class Progress
{
    /// <summary>Runs a job that reports its share done, 0..1, from any thread.</summary>
    public static T Bar<T>(string what, Func<Action<double>, T> job) =>
        Draw(what, report => job(share => report(what, share)), stays: true);

    /// <summary>Runs a job of several parts, one after the other, that reports from any thread what it is at and how much of that
    /// is done, 0..1. The bar disappears with the job, which may be over at once.</summary>
    /// <param name="what">The first part.</param>
    /// <param name="job">The job.</param>
    public static T Stages<T>(string what, Func<Action<string, double>, T> job) => Draw(what, job, stays: false);

    /// <summary>As <see cref="Stages{T}"/>, for a job without a result.</summary>
    public static void Stages(string what, Action<Action<string, double>> job) => Stages(what, report =>
    {
        job(report);
        return true;
    });

    private static T Draw<T>(string what, Func<Action<string, double>, T> job, bool stays) => Console.IsErrorRedirected
        ? job((_, _) => { })
        : Terminal.Draw(what, bar =>
        {
            T result = job((part, share) =>
            {
                bar.Description = Markup.Escape(part);
                bar.Value = 100 * share;
            });
            bar.Value = bar.MaxValue;
            return result;
        },
            stays, new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn());
}
