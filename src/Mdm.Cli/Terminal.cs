using Spectre.Console;

namespace Mdm.Cli;

/// <summary>What goes to the terminal beside results: messages are on standard error, so that output can be piped.</summary>
internal static class Terminal
{
    /// <summary>A file or a pipe has no width of its own: nothing is broken there that a person may search for.</summary>
    private const int RedirectedWidth = 200;

    private static IAnsiConsole? s_drawing;

    public static void Error(string message) => Note($"mdm: {message}");

    public static void Warn(string message) => Note($"mdm: warning: {message}");

    public static void Note(string message)
    {
        // What is written past the console that draws a bar ends up in the middle of it.
        if (s_drawing is { } console)
            console.WriteLine(message);
        else
            Console.Error.WriteLine(message);
    }

    /// <summary>Runs a job under a progress bar on standard error, which must be a terminal.</summary>
    /// <param name="what">The words before the bar, until the job changes them.</param>
    /// <param name="job">Moves the bar (0..100), from any thread.</param>
    /// <param name="stays">Whether the bar is left on the terminal at the end.</param>
    /// <param name="columns">What stands in the line.</param>
    public static T Draw<T>(string what, Func<ProgressTask, T> job, bool stays, params ProgressColumn[] columns)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        try
        {
            return console.Progress().AutoClear(!stays).Columns(columns).Start(context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(what));
                s_drawing = console;
                return job(task);
            });
        }
        finally
        {
            s_drawing = null;
        }
    }

    /// <summary>Prints a table to standard output.</summary>
    public static void Print(Table table)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(Console.Out),
            ColorSystem = Console.IsOutputRedirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
        });
        if (Console.IsOutputRedirected)
            console.Profile.Width = RedirectedWidth;
        console.Write(table);
    }

    /// <summary>How this program is started from here, for commands that somebody is to copy: <c>mdm</c> where the PATH leads to
    /// it, else the path of the program.</summary>
    public static string Command { get; } = FindCommand(Environment.ProcessPath ?? "mdm");

    private static string FindCommand(string process)
    {
        string name = Path.GetFileNameWithoutExtension(process);
        string[] path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        if (name != "mdm")
            return $"{name} {Near(Path.Combine(AppContext.BaseDirectory, "mdm.dll"))}";
        return path.Contains(Path.GetDirectoryName(process)) ? name : Near(process);
    }

    // The shorter of the full path and the one from here.
    private static string Near(string path)
    {
        string relative = Path.GetRelativePath(Environment.CurrentDirectory, path);
        string local = relative.Contains('/') || relative.Contains('\\') ? relative : Path.Combine(".", relative);
        string shown = local.Length < path.Length ? local : path;
        return shown.Contains(' ') ? $"\"{shown}\"" : shown;
    }
}
