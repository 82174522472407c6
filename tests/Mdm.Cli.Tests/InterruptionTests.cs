namespace Mdm.Cli.Tests;

/// <summary>Ctrl-C, sent to a process of its own.</summary>
public sealed class InterruptionTests
{
    [Test]
    public void TrainingSavesAndGoesOn()
    {
        string folder = Tiny.Folder();
        CliResult result = Cli.Interrupt("step     20", "train", "--config-path", Tiny.Config, "--output-dir", folder,
            "--num-training-steps=100000000");
        Assert.That(result.Code, Is.EqualTo(130), result.Error);
        Assert.That(result.Error, Does.Contain("interrupted: finishing this step and saving"));
        Assert.That(result.Output, Does.Match(@"interrupted at step \d+; the same command with --resume goes on"));
        string checkpoint = Directory.GetFiles(folder, "vis_model_0*.pth").Single();
        int step = int.Parse(Path.GetFileNameWithoutExtension(checkpoint)[^6..]);
        Assert.That(step, Is.GreaterThanOrEqualTo(20));

        Cli.Run("sample", "--model-file", checkpoint, "--sample-dir", Path.Combine(folder, "samples"), "a circle").Succeeded();
        CliResult resumed = Tiny.Train(folder, "--resume", $"--num-training-steps={step + 2}").Succeeded();
        Assert.That(resumed.Error, Does.Contain($"step {step + 1,6}  "));
        Assert.That(Directory.GetFiles(folder, "*.tmp"), Is.Empty);
    }

    [Test]
    public void SamplingKeepsWhatIsDone()
    {
        string[] prompts = [.. Enumerable.Repeat("a circle", 5000)];
        CliResult result = Cli.InterruptAfter(Path.Combine(Tiny.Folder(), "00000.png"),
            ["sample", "--model-file", Tiny.Checkpoint, "--sample-dir", Tiny.Folder(), "--batch-size=1", .. prompts]);
        Assert.That(result.Code, Is.EqualTo(130), result.Error);
        Assert.That(result.Output, Does.Match(@"^(1 picture|\d+ pictures) of 5000, interrupted"));
        Assert.That(File.Exists(Path.Combine(Tiny.Folder(), "index.html")));
    }

    [Test]
    public void QuickstartGoesOnAfterEveryStop()
    {
        string folder = Tiny.Folder();
        string[] command =
            ["quickstart", "--output-dir", folder, "--images=48", "--minutes=0.1", "--threads=1", "--log-freq=1", .. Tiny.Networks];
        CliResult first = Cli.Interrupt("step      5", command);
        Assert.That(first.Code, Is.EqualTo(130), first.Error);
        Assert.That(first.Output, Does.Contain("the same command goes on, and this draws with what was learnt:")
            .And.Contain("sample --model-file"));
        string checkpoint = Directory.GetFiles(Path.Combine(folder, "model"), "vis_model_0*.pth").Single();
        Cli.Run("sample", "--model-file", checkpoint, "--sample-dir", Path.Combine(folder, "own"), "a circle").Succeeded();

        CliResult second = Cli.Start(command).Succeeded();
        Assert.That(second.Error, Does.Contain("going on from"));
        foreach (string name in (string[])["samples/grid.png", "samples/index.html", "model/loss.svg"])
        {
            Assert.That(Path.Combine(folder, name), Does.Exist);
            Assert.That(second.Output, Does.Contain(Path.Combine(folder, name)));
        }

        DateTime drawn = File.GetLastWriteTimeUtc(Path.Combine(folder, "data", "training.tsv"));
        Cli.Run([.. command, "--seed=2"]).Refused("--seed: found 2, expected 1", "another --output-dir starts afresh");
        Assert.That(File.GetLastWriteTimeUtc(Path.Combine(folder, "data", "training.tsv")), Is.EqualTo(drawn), "the data");

        CliResult third = Cli.Start(command).Succeeded();
        Assert.That(third.Error, Does.Contain("trained for 0.1 minutes already; a larger --minutes trains on").And.Not.Contain("step "));
        Assert.That(third.Output, Is.EqualTo(second.Output), "samples again, trains no more");
        Assert.That(File.ReadAllText(Path.Combine(folder, "model", "loss.svg")), Does.Contain("polyline"));
    }
}
