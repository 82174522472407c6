using Spectre.Console;

namespace Mdm.Cli;

/// <summary>What goes to the terminal beside results: messages are on standard error, so that output can be piped.</summary>
internal static class Terminal
{
    /// <summary>A file or a pipe has no width of its own: nothing is broken there that a person may search for.</summary>
    private const int RedirectedWidth = 200;

    public static void Error(string message) => Console.Error.WriteLine($"mdm: {message}");

    public static void Warn(string message) => Console.Error.WriteLine($"mdm: warning: {message}");

    public static void Note(string message) => Console.Error.WriteLine(message);

    /// <summary>Prints a table to standard output.</summary>
    public static void Print(Table table)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });
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
