using System.Diagnostics;

namespace Mdm.Tests;

/// <summary>Asks the system's Python, where it is installed with the module a test compares with.</summary>
internal static class Python
{
    private const string Program = "/usr/bin/python3";

    /// <summary>What the script prints; the test is skipped by name where Python or the module is missing.</summary>
    public static string Run(string script, string module)
    {
        if (!File.Exists(Program))
            Assert.Ignore($"{Program} is not installed");
        if (Execute($"import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)").Code != 0)
            Assert.Ignore($"{Program} has no module {module}");
        (int code, string output, string error) = Execute(script);
        Assert.That(code, Is.Zero, error);
        return output;
    }

    private static (int Code, string Output, string Error) Execute(string script)
    {
        using Process process = Process.Start(new ProcessStartInfo(Program, ["-c", script])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
