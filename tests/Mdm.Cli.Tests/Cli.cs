using System.Diagnostics;

namespace Mdm.Cli.Tests;

/// <summary>What a command printed and how it ended.</summary>
internal sealed record CliResult(int Code, string Output, string Error)
{
    /// <summary>The lines on standard error that are not warnings.</summary>
    public string[] Complaints => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)
        .Where(line => line.StartsWith("mdm: ", StringComparison.Ordinal))
        .Where(line => !line.StartsWith("mdm: warning: ", StringComparison.Ordinal))
        .ToArray();

    /// <summary>It ended well.</summary>
    public CliResult Succeeded()
    {
        Assert.That(Code, Is.Zero, Error + Output);
        Assert.That(Complaints, Is.Empty);
        return this;
    }

    /// <summary>It refused in one line that helps, without the insides of the program.</summary>
    public CliResult Refused(params string[] words)
    {
        Assert.That(Code, Is.EqualTo(1), Error + Output);
        Assert.That(Complaints, Has.Length.EqualTo(1), Error);
        Assert.That(Complaints[0], Has.Length.LessThan(1000));
        Assert.That(Error, Does.Not.Contain("   at ").And.Not.Contain("a mistake in this program"));
        foreach (string word in words)
            Assert.That(Complaints[0], Does.Contain(word));
        return this;
    }
}

/// <summary>Runs the program, inside this process or as one of its own.</summary>
internal static class Cli
{
    // Started from a job in the background, a command would ignore SIGINT.
    private const string Interruptible = "exec env --default-signal=INT \"$0\" \"$@\"";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(100);

    /// <summary>Runs a command in this process.</summary>
    public static CliResult Run(params string[] args)
    {
        (TextWriter output, TextWriter error) = (Console.Out, Console.Error);
        using StringWriter newOutput = new(), newError = new();
        try
        {
            // Other threads of the program write too.
            Console.SetOut(TextWriter.Synchronized(newOutput));
            Console.SetError(TextWriter.Synchronized(newError));
            int code = Mdm.Cli.Shell.Run(args);
            return new CliResult(code, newOutput.ToString(), newError.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }

    /// <summary>Runs a command as a process.</summary>
    public static CliResult Start(params string[] args) => Shell("exec \"$0\" \"$@\"", args);

    /// <summary>Runs a line of sh in which <c>"$0" "$@"</c> is the command.</summary>
    public static CliResult Shell(string line, params string[] args)
    {
        using Process process = Launch(line, args);
        return Wait(process, process.StandardError.ReadToEndAsync());
    }

    /// <summary>Starts a command, sends it SIGINT as soon as a line on standard error contains <paramref name="word"/>, and waits
    /// for its end.</summary>
    public static CliResult Interrupt(string word, params string[] args)
    {
        using Process process = Launch(Interruptible, args);
        Task<string> error = Task.Run(() =>
        {
            var text = new System.Text.StringBuilder();
            bool sent = false;
            while (process.StandardError.ReadLine() is { } line)
            {
                text.Append(line).Append('\n');
                if (sent || !line.Contains(word))
                    continue;
                sent = true;
                SendInterrupt(process);
            }

            return text.ToString();
        });
        return Wait(process, error);
    }

    /// <summary>The same as soon as a file exists.</summary>
    public static CliResult InterruptAfter(string path, params string[] args)
    {
        using Process process = Launch(Interruptible, args);
        Task<string> error = process.StandardError.ReadToEndAsync();
        while (!File.Exists(path) && !process.WaitForExit(10))
        {
        }

        SendInterrupt(process);
        return Wait(process, error);
    }

    private static void SendInterrupt(Process process)
    {
        using Process kill = Process.Start("kill", ["-INT", $"{process.Id}"]);
        kill.WaitForExit();
    }

    private static Process Launch(string line, string[] args)
    {
        if (OperatingSystem.IsWindows())
            Assert.Ignore("needs sh");
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string word in (string[])["-c", line, "dotnet", Path.Combine(AppContext.BaseDirectory, "mdm.dll"), .. args])
            start.ArgumentList.Add(word);
        return Process.Start(start)!;
    }

    private static CliResult Wait(Process process, Task<string> error)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(s_patience))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"the program did not end within {s_patience.TotalSeconds} s:\n{error.Result}");
        }

        return new CliResult(process.ExitCode, output.Result, error.Result);
    }
}
