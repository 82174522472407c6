namespace Mdm.Cli.Tests;

public sealed class TrainTests
{
    [Test]
    public void WritesTheFilesThatSamplingAndResumingNeed()
    {
        string folder = Path.GetDirectoryName(Tiny.Checkpoint)!;
        Assert.That(Directory.GetFiles(folder).Select(Path.GetFileName), Is.EquivalentTo(new[]
        {
            "config.yaml", "loss.csv", "loss.svg", "text_model.json", "training_state.safetensors", "vis_model_000003.pth",
            "vis_model_noema_000003.pth", "vocabulary.vocab",
        }));
        Assert.That(File.ReadAllLines(Path.Combine(folder, "loss.csv")), Has.Length.EqualTo(4));
    }

    [Test]
    public void GoesOnWhereItStoppedAndKeepsTheCurve()
    {
        string atOnce = Path.Combine(Tiny.Folder(), "once"), inTwo = Path.Combine(Tiny.Folder(), "two");
        Tiny.Train(atOnce, "--num-training-steps=5").Succeeded();
        Tiny.Train(inTwo, "--num-training-steps=3").Succeeded();
        CliResult second = Tiny.Train(inTwo, "--resume", "--num-training-steps=5").Succeeded();

        Assert.That(second.Output, Does.Contain("vis_model_000005.pth"));
        Assert.That(File.ReadAllBytes(Path.Combine(inTwo, "vis_model_000005.pth")),
            Is.EqualTo(File.ReadAllBytes(Path.Combine(atOnce, "vis_model_000005.pth"))), "resumed bit for bit");
        Assert.That(Points(inTwo), Is.EqualTo(Points(atOnce)).And.EqualTo(5), "points of the curve");
    }

    [Test]
    public void AFinishedRunGoesOnToNothingAndSucceeds()
    {
        string folder = Tiny.Folder();
        Tiny.Train(folder).Succeeded();
        CliResult again = Tiny.Train(folder, "--resume").Succeeded();
        Assert.That(again.Output, Does.Contain("vis_model_000003.pth"));
        Assert.That(Points(folder), Is.EqualTo(3));
    }

    [Test]
    public void WarnsBeforeItReplacesAnEarlierRun()
    {
        Tiny.Train(Tiny.Folder(), "--num-training-steps=1").Succeeded();
        Assert.That(Tiny.Train(Tiny.Folder(), "--num-training-steps=1").Succeeded().Error, Does.Contain("--resume would go on"));
    }

    [Test]
    public void SaysWhenThereIsNothingToGoOnFrom() => Assert.That(
        Tiny.Train(Tiny.Folder(), "--resume", "--num-training-steps=1").Succeeded().Error, Does.Contain("training starts at step 0"));

    [Test]
    public void UnderstandsTheOriginalsCommandLine()
    {
        CliResult result = Cli.Run("train", "--config_path", Tiny.Config, $"--file-list={Tiny.TrainingIndex}",
            $"--output-dir={Tiny.Folder()}", "--num-training-steps=3", "--warmup-steps", "10", "--num_diffusion_steps=10",
            "--batch-size", "2", "--multinode=0", "--pretrained-vision-file", Tiny.Checkpoint, "--fp16", "0").Succeeded();
        Assert.That(result.Output, Does.Contain(Path.Combine(Tiny.Folder(), "vis_model_000003.pth")));
        Assert.That(File.ReadAllText(Path.Combine(Tiny.Folder(), "config.yaml")),
            Does.Contain("num_diffusion_steps: 10\n").And.Contain("batch_size: 2\n").And.Contain("warmup_steps: 10\n"));
    }

    [Test]
    public void RefusesBfloat16WhereTheDeviceHasNone() => Tiny.Train(Tiny.Folder(), "--fp16=1")
        .Refused("fp16: the device cpu computes in float32 only; leave fp16 out or use --device cuda");

    [Test]
    public void ALineForEveryLoggedStepGoesToAFile()
    {
        string[] lines = Tiny.Train(Tiny.Folder()).Succeeded().Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.That(lines.Where(line => line.StartsWith("step ", StringComparison.Ordinal)).ToArray(), Has.Length.EqualTo(3).And
            .All.Match(@"^step +\d+  loss \d\.\d{4}  +[\d.]+ images/s  \d+:\d\d left$"));
        Assert.That(string.Concat(lines), Does.Not.Contain("\u001b"));
    }

    [Test]
    public void ATimeLimitEndsTheRun()
    {
        CliResult result = Tiny.Train(Tiny.Folder(), "--num-training-steps=1000000", "--minutes=0.01", "--log-freq=100").Succeeded();
        Assert.That(result.Output, Does.Contain("checkpoint"));
    }

    private static int Points(string folder)
    {
        string svg = File.ReadAllText(Path.Combine(folder, "loss.svg"));
        string line = svg[(svg.IndexOf("points=\"", StringComparison.Ordinal) + 8)..];
        return line[..line.IndexOf('"')].Split(' ', StringSplitOptions.RemoveEmptyEntries).Length;
    }
}
