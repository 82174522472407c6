using Spectre.Console;

namespace Mdm.Cli;

/// <summary>Progress bars on standard error; nothing is drawn where it is not a terminal.</summary>
internal static class Progress
{
    /// <summary>Runs a job that reports its share done, 0..1, from any thread.</summary>
    public static T Bar<T>(string what, Func<Action<double>, T> job)
    {
        if (Console.IsErrorRedirected)
            return job(_ => { });
        return AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) }).Progress()
            .HideCompleted(false)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(what));
                T result = job(share => task.Value = 100 * share);
                task.Value = 100;
                return result;
            });
    }
}
