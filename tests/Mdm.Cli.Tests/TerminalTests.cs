using System.Text.RegularExpressions;

namespace Mdm.Cli.Tests;

/// <summary>What a person sees on a terminal of 80 columns.</summary>
public sealed partial class TerminalTests
{
    private const string Terminal = "stty cols 80 rows 24; dotnet \"$MDM\" ";

    [Test]
    public void TheTrainingBarFitsOneLine()
    {
        string[] lines = Show($"train --config-path {Tiny.Config} --output-dir {Tiny.Folder()} --num-training-steps=60");
        Assert.That(lines, Has.Some.Match(@"^step +\d+  loss \d\.\d{4}  +[\d.]+ images/s  \d+:\d\d left .* +\d+%"));
        Assert.That(lines, Has.Some.Contain("100%"));
        Assert.That(lines, Has.Some.StartWith("checkpoint  "));
    }

    [Test]
    public void TheSamplingBarFitsOneLine() => Assert.That(
        Show($"sample --model-file {Tiny.Checkpoint} --sample-dir {Tiny.Folder()} 'a circle' 'a red square'"),
        Has.Some.Match(@"^sampling .*100%").And.Some.StartWith("2 pictures"));

    [Test]
    public void AMistakeUnderTheBarIsStillOneLine()
    {
        string[] lines = Show($"train --config-path {Tiny.Config} --output-dir {Tiny.Folder()} --num-training-steps=60 --lr=1e30");
        Assert.That(lines, Has.Exactly(1).StartWith("mdm: the loss was not a finite number"));
        Assert.That(lines, Has.None.StartWith("   at "));
    }

    [Test]
    public void TheGradientTableFits() =>
        Assert.That(Show("gradcheck softmax; dotnet \"$MDM\" gradcheck groupnorm"), Has.Some.Contain("cases are right"));

    /// <summary>The lines that appear, without colours; what is drawn over counts too.</summary>
    private static string[] Show(string arguments)
    {
        if (!File.Exists("/usr/bin/script"))
            Assert.Ignore("needs script, which makes a terminal");
        string dll = Path.Combine(AppContext.BaseDirectory, "mdm.dll");
        string command = (Terminal + arguments).Replace("'", "'\\''");
        CliResult result = Cli.Shell($"export MDM='{dll}' TERM=xterm; exec script -qefc '{command}' /dev/null");
        string[] lines = [.. Controls().Replace(result.Output, "").Split('\n', '\r').Select(line => line.TrimEnd())];
        // An error or a path may be longer than a line; what is drawn must not be.
        Assert.That(lines.Where(line => line.Length > 80 && !line.StartsWith("mdm: ", StringComparison.Ordinal) && !line.Contains('/')),
            Is.Empty);
        return lines;
    }

    [GeneratedRegex(@"\x1b\[[0-9;?]*[a-zA-Z]|\x1b=")]
    private static partial Regex Controls();
}
