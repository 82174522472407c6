namespace Mdm.Cli;

/// <summary>What goes to the terminal beside results: everything here is on standard error, so that output can be piped.</summary>
internal static class Terminal
{
    public static void Error(string message) => Console.Error.WriteLine($"mdm: {message}");

    public static void Warn(string message) => Console.Error.WriteLine($"mdm: warning: {message}");

    public static void Note(string message) => Console.Error.WriteLine(message);

    /// <summary>A token that the first Ctrl-C cancels, so that work can be saved; the second one ends the program at once.</summary>
    public static CancellationTokenSource Interruption()
    {
        var source = new CancellationTokenSource();
        Console.CancelKeyPress += (_, press) =>
        {
            if (source.IsCancellationRequested)
                return;
            press.Cancel = true;
            Note("interrupted: finishing this step and saving (Ctrl-C again to stop at once)");
            source.Cancel();
        };
        return source;
    }
}
