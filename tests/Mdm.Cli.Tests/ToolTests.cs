using System.Text.Json;
using Mdm.Cli.Verbs;
using Mdm.Model.Shapes;
using Mdm.Tensors.Checks;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Cli.Tests;

/// <summary>evaluate, inspect, gradcheck, convert, prepare.</summary>
public sealed class ToolTests
{
    private const int Right = 12;

    [Test]
    public void DrawnImagesAreJudgedRight()
    {
        string folder = Draw(wrong: 0), json = Path.Combine(folder, "verdicts.json");
        CliResult result = Cli.Run("evaluate", "shapes", folder, "--json", json, "--at-least=1", "--wrong").Succeeded();
        Assert.That(result.Output, Does.Match(@"all +all +12 +12 +100\.0 %"));
        using JsonDocument verdicts = JsonDocument.Parse(File.ReadAllText(json));
        Assert.That(verdicts.RootElement.GetProperty("images").GetArrayLength(), Is.EqualTo(Right));
        Assert.That(verdicts.RootElement.GetProperty("scores")[0].GetProperty("share").GetDouble(), Is.EqualTo(1));
    }

    [Test]
    public void WrongImagesAreFoundAndListed()
    {
        string folder = Draw(wrong: 4);
        CliResult result = Cli.Run("evaluate", "shapes", Path.Combine(folder, "lst.json"), "--wrong", "--at-least=0.9");
        Assert.That(result.Code, Is.EqualTo(1));
        Assert.That(result.Output, Does.Match(@"all +all +12 +16 +75\.0 %"));
        Assert.That(result.Output.Split('\n').Count(line => line.Contains(".png: \"")), Is.EqualTo(4));
        Cli.Run("evaluate", "shapes", folder, "--at-least=0.7").Succeeded();
        Cli.Run("evaluate", "shapes", folder).Succeeded();
    }

    [TestCase("cc12m_64x64.yaml", "model        unet, 64x64, text width 2048", "461,359,107 in 713")]
    [TestCase("cc12m_256x256.yaml", "nested_unet, 256x256 around 64x64, text width 2048", "476,613,958 in 889")]
    [TestCase("cc12m_1024x1024.yaml", "nested2_unet, 1024x1024 around 256x256 around 64x64", "480,970,057 in 1063")]
    public void PublishedModelsAreInspectedInAMomentWithoutMemory(string name, string model, string parameters)
    {
        long before = GC.GetTotalMemory(forceFullCollection: true);
        var clock = System.Diagnostics.Stopwatch.StartNew();
        CliResult result = Cli.Run("inspect", Path.Combine(AppContext.BaseDirectory, "configs", "models", name)).Succeeded();
        Assert.That(clock.Elapsed.TotalSeconds, Is.LessThan(5));
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - before, Is.LessThan(50_000_000));
        Assert.That(result.Output, Does.Contain(model).And.Contain(parameters).And.Contain("GFLOP per image")
            .And.Contain("MiB to predict"));
    }

    [Test]
    public void ACheckpointIsInspected()
    {
        CliResult pth = Cli.Run("inspect", Tiny.Checkpoint).Succeeded();
        Assert.That(pth.Output, Does.Contain("model        nested_unet").And.Contain("inner_unet.mid_blocks.0")
            .And.Match("batch_num +3"));
        string safe = Path.Combine(Tiny.Folder(), "x.safetensors");
        Cli.Run("convert", Tiny.Checkpoint, safe).Succeeded();
        Assert.That(Cli.Run("inspect", safe).Succeeded().Output, Is.EqualTo(pth.Output));
        Assert.That(Cli.Run("inspect", safe, "--parameters").Succeeded().Output, Does.Match(@"conv_in\.weight +\[8, 3, 3, 3\] +216"));
        string config = Cli.Run("inspect", Path.Combine(Tiny.Root, "model", "config.yaml"), "--parameters").Succeeded().Output;
        Assert.That(config, Does.Match(@"conv_in\.weight +\[8, 3, 3, 3\] +216").And.Contain("16x16 around 8x8, text width 16"));
    }

    [Test]
    public void AFileWithoutTensorsIsNoCheckpoint()
    {
        string file = Path.Combine(Tiny.Folder(), "none.safetensors");
        TensorFile.Save(file, [], new Dictionary<string, string>());
        Cli.Run("inspect", file).Refused("holds no tensors");
        Cli.Run("convert", file, "").Refused("a file name is empty");
        Cli.Run("convert", "", file).Refused("a file name is empty");
    }

    [Test]
    public void CheckpointsGoBothWaysUnchanged()
    {
        string safe = Path.Combine(Tiny.Folder(), "a.safetensors"), back = Path.Combine(Tiny.Folder(), "b.pth"),
            again = Path.Combine(Tiny.Folder(), "c.safetensors"), half = Path.Combine(Tiny.Folder(), "d.pth");
        Assert.That(Cli.Run("convert", Tiny.Checkpoint, safe).Succeeded().Output, Does.Match(@"a\.safetensors: \d+ tensors"));
        Cli.Run("convert", safe, back).Succeeded();
        Cli.Run("convert", back, again).Succeeded();
        Assert.That(File.ReadAllBytes(again), Is.EqualTo(File.ReadAllBytes(safe)));
        Cli.Run("convert", back, half, "--half").Succeeded();
        Assert.That(Cli.Run("inspect", half).Succeeded().Output, Does.Contain("Float16").And.Not.Contain("Float32"));
        Assert.That(new FileInfo(half).Length, Is.LessThan(0.75 * new FileInfo(back).Length));
    }

    [Test]
    public void NumbersBeyondFloat16AreRefused()
    {
        string file = Path.Combine(Tiny.Folder(), "large.safetensors"), half = Path.Combine(Tiny.Folder(), "half.safetensors");
        TensorFile.Save(file, [new StoredTensor("w", [2], () => new float[] { 1, 1e6f })], new Dictionary<string, string>());
        Cli.Run("convert", file, half, "--half").Refused("w holds 1E+06, expected at most 65504");
        Assert.That(half, Does.Not.Exist);
    }

    [Test]
    public void TheWholeGradientTablePasses()
    {
        CliResult result = Cli.Run("gradcheck").Succeeded();
        Assert.That(result.Output, Does.Match(@"(\d+) of \1 cases are right"));
        string some = Cli.Run("gradcheck", "groupnorm").Succeeded().Output;
        Assert.That(some, Does.Contain("GroupNorm").And.Not.Contain("Conv3x3"));
        Assert.That(Cli.Run("gradcheck", "groupnorm", "--quiet").Succeeded().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries),
            Has.Length.EqualTo(1));
        Cli.Run("gradcheck", "--type=bfloat16").Refused("the device cpu does not compute in bfloat16");
        Cli.Run("gradcheck", "--type=int8").Refused("--type", "'int8'", "float32 or bfloat16");
        Cli.Run("gradcheck", "nosuch").Refused("contains 'nosuch'");
        Cli.Run("gradcheck", "--device=cuda:99").Refused("cuda:99");
    }

    [Test]
    public void AWrongGradientFailsTheCommand()
    {
        GradientCheck.Row[] rows =
        [
            new("Add", "[2, 3]", 1e-8, 1e-7, "ok", 0.1), new("Multiply", "[2, 3]", 1e-8, 0.5, "backward: off by 0.5", 0.1),
        ];
        TextWriter output = Console.Out;
        using var printed = new StringWriter();
        Console.SetOut(printed);
        int code = GradcheckVerb.Report(rows, "a device", quiet: true);
        Console.SetOut(output);
        Assert.That(code, Is.EqualTo(1));
        Assert.That(printed.ToString(), Does.Contain("off by 0.5").And.Contain("1 of 2 cases are right").And.Not.Contain("Add"));
    }

    [Test]
    public void TheSameSeedPreparesTheSameData()
    {
        string one = Path.Combine(Tiny.Folder(), "one"), two = Path.Combine(Tiny.Folder(), "two");
        foreach (string folder in (string[])[one, two])
            Cli.Run("prepare", "shapes", folder, "--count=20", "--validation-count=4", "--seed=9", "--hold-out=0.2").Succeeded();
        Assert.That(Tiny.Contents(two).Select(line => line.Replace(two, one)), Is.EqualTo(Tiny.Contents(one)));
    }

    /// <summary>Twelve images with their captions, then so many with the caption of another.</summary>
    private static string Draw(int wrong)
    {
        var generator = new ShapeGenerator(11);
        ShapeSample[] samples = [.. Enumerable.Range(0, Right + wrong).Select(i => generator.Sample(i))];
        for (int i = 0; i < samples.Length; i++)
            Tiny.Write($"{i}.png", PngWriter.Encode(new Image(32, 32, ShapeRenderer.Draw(samples[i].Scene, 32))));
        // Red for blue and so on: a caption that the picture surely contradicts.
        string Caption(int i) => i < Right ? samples[i].Caption : Spoil(samples[i].Caption);
        Tiny.Write("lst.json", JsonSerializer.Serialize(samples.Select((_, i) => new { path = $"{i}.png", caption = Caption(i) })));
        return Tiny.Folder();
    }

    private static string Spoil(string caption)
    {
        foreach ((string from, string to) in new[] { ("circle", "square"), ("square", "triangle"), ("triangle", "circle") })
            if (caption.Contains(from))
                return caption.Replace(from, to);
        return "a red circle";
    }
}
