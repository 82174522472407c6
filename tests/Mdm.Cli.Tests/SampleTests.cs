using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Cli.Tests;

public sealed class SampleTests
{
    private static readonly string[] s_prompts = ["a large red circle above a small blue square", "a green triangle", "a red square"];

    [Test]
    public void DrawsEveryPromptAndTellsWhereAllIs()
    {
        CliResult result = Tiny.Sample([.. s_prompts, "--seed=5"]).Succeeded();
        Assert.That(result.Output, Does.StartWith("3 pictures, seeds 5 to 7\n"));
        Assert.That(List(), Is.EqualTo(s_prompts.Select((prompt, i) => ($"0000{i}.png", prompt))));
        foreach ((string path, _) in List())
            Assert.That(Picture(path), Has.Property("Width").EqualTo(16).And.Property("Height").EqualTo(16));
        string page = File.ReadAllText(PathOf("index.html"));
        Assert.That(page, Does.StartWith("<!doctype html>").And.Contain("<img src=\"00002.png\" alt=\"a red square\">")
            .And.Contain("4 steps, ancestral"));
        Assert.That(Picture("grid.png").Width, Is.GreaterThan(3 * 128 / 2));
        Assert.That(result.Output, Does.Contain(PathOf("grid.png")).And.Contain(PathOf("index.html")));
    }

    [Test]
    public void FeaturesComputedBeforehandDoNotServePrompts()
    {
        string model = Tiny.Write("model.pth", File.ReadAllBytes(Tiny.Checkpoint));
        Cli.Run("sample", "--model-file", model, "--config-path", Tiny.Config, "--use-precomputed-text-embeddings",
            "--language-model-dim=16", "--sample-dir", Tiny.Folder(), "a red circle")
            .Refused("use_precomputed_text_embeddings", "expected false");
    }

    [Test]
    public void WhatWasTrainedInBfloat16IsDrawnInFloat32WhereTheDeviceHasNothingElse()
    {
        string model = Tiny.Write("model.pth", File.ReadAllBytes(Tiny.Checkpoint));
        foreach (string name in (string[])["text_model.json", "vocabulary.vocab"])
            Tiny.Write(name, File.ReadAllBytes(Path.Combine(Tiny.Root, "model", name)));
        Tiny.Write("config.yaml", "fp16: 1\n" + File.ReadAllText(Tiny.Config));
        string[] arguments = ["sample", "--model-file", model, "--sample-dir", Tiny.Folder(), "a red circle"];
        Assert.That(Cli.Run(arguments).Succeeded().Error, Does.Contain("the device cpu draws in float32"));
        Cli.Run([.. arguments, "--fp16=1"]).Refused("fp16", "cpu computes in float32 only");
    }

    [Test]
    public void ThePageEscapesWhatPromptsSay()
    {
        Tiny.Sample("a circle <script>alert(\"x\")</script> & more").Succeeded();
        Assert.That(TextOf("index.html"), Does.Contain("&lt;script&gt;").And.Not.Contain("<script>"));
        Assert.That(List()[0].Caption, Is.EqualTo("a circle <script>alert(\"x\")</script> & more"));
    }

    [Test]
    public void TheSameSeedDrawsTheSameBytes()
    {
        Tiny.Sample([.. s_prompts, "--seed=7", "--cfg-weight=3"]).Succeeded();
        IReadOnlyList<string> first = Tiny.Contents(Tiny.Folder());
        Tiny.Sample([.. s_prompts, "--seed=7", "--cfg-weight=3"]).Succeeded();
        Assert.That(Tiny.Contents(Tiny.Folder()), Is.EqualTo(first));
        Tiny.Sample([.. s_prompts, "--seed=8", "--cfg-weight=3"]).Succeeded();
        Assert.That(Tiny.Contents(Tiny.Folder()), Is.Not.EqualTo(first));
    }

    [TestCase("--batch-size=1")]
    [TestCase("--batch-size=2")]
    public void TheBatchChangesNothingButTheLastBits(string batch)
    {
        Tiny.Sample([.. s_prompts, "--seed=7", "--batch-size=3"]).Succeeded();
        Image[] together = [.. List().Select(entry => Picture(entry.Path))];
        Tiny.Sample([.. s_prompts, "--seed=7", batch]).Succeeded();
        foreach ((Image one, Image other) in together.Zip(List().Select(entry => Picture(entry.Path))))
            Assert.That(one.Rgb.Zip(other.Rgb, (a, b) => Math.Abs(a - b)).Max(), Is.LessThanOrEqualTo(1));
    }

    [Test]
    public void PromptsComeFromAFileToo()
    {
        string file = Tiny.Write("prompts.txt", "a red circle\n\n  a blue square \r\n");
        Tiny.Sample("a green triangle", "--prompts-file", file, "--count=2").Succeeded();
        Assert.That(List().Select(entry => entry.Caption), Is.EqualTo(new[]
        {
            "a green triangle", "a green triangle", "a red circle", "a red circle", "a blue square", "a blue square",
        }));
        Assert.That(File.ReadAllBytes(PathOf("00000.png")), Is.Not.EqualTo(File.ReadAllBytes(PathOf("00001.png"))));

        foreach (string column in (string[])["prompt", "caption"])
        {
            string table = Tiny.Write($"{column}.tsv", $"n\t{column}\n1\ta red circle\n2\t\"a \"\"blue\"\" square\"\n3\t\n");
            Tiny.Sample("--prompts-file", table).Succeeded();
            Assert.That(List().Select(entry => entry.Caption), Is.EqualTo(new[] { "a red circle", "a \"blue\" square" }));
        }
    }

    [Test]
    public void AValidationListIsDrawnWithItsReferences()
    {
        CliResult result = Cli.Run("sample", "--config_path", Path.Combine(Tiny.Root, "model", "config.yaml"), "--min-examples", "3",
            "--test-file-list", Tiny.ValidationIndex, "--sample-image-size", "16", "--model-file", Tiny.Checkpoint,
            "--cfg_weight", "2.5", "--num_inference_steps", "5", "--ddim_eta", "0", "--sample-dir", Tiny.Folder()).Succeeded();
        string[] captions = [.. File.ReadAllLines(Path.Combine(Tiny.Root, "data", "validation-00000.tsv"))
            .Skip(1).Take(3).Select(line => line.Split('\t')[2])];
        Assert.That(result.Output, Does.StartWith("3 pictures"));
        Assert.That(List().Select(entry => entry.Caption), Is.EqualTo(captions));
        Assert.That(Picture("00002_reference.png").Width, Is.EqualTo(16));
        Assert.That(TextOf("index.html"), Does.Contain("00001_reference.png").And.Contain("guidance 2.5, 5 steps, eta 0"));
    }

    [Test]
    public void AListThatOnlyTheConfigurationNamesGivesWayToPrompts()
    {
        string config = Tiny.Write("listed.yaml",
            File.ReadAllText(Tiny.Config) + $"\ntest_file_list: {Tiny.ValidationIndex}\nmin_examples: 2\n");
        Assert.That(Tiny.Sample("--config-path", config, "a red circle").Succeeded().Output, Does.StartWith("1 picture,"));
        Assert.That(Tiny.Sample("--config-path", config).Succeeded().Output, Does.StartWith("2 pictures"));
        Assert.That(Tiny.Sample("--config-path", config, "--test-file-list", Tiny.ValidationIndex, "a red circle").Succeeded().Output,
            Does.StartWith("3 pictures"));
    }

    [TestCase("--negative-prompt=a red circle", "--cfg-weight=3")]
    [TestCase("--threshold=dynamic")]
    [TestCase("--threshold=NONE")]
    [TestCase("--eta=0.5")]
    [TestCase("--cfg-weight=3")]
    [TestCase("--num-inference-steps=7")]
    public void SettingsChangeThePicture(params string[] settings)
    {
        string[] guided = settings.Length > 1 ? ["--cfg-weight=3"] : [];
        Tiny.Sample(["a large red circle", .. guided]).Succeeded();
        byte[] plain = Picture("00000.png").Rgb;
        Tiny.Sample(["a large red circle", .. settings]).Succeeded();
        Assert.That(Picture("00000.png").Rgb.SequenceEqual(plain), Is.False);
    }

    [Test]
    public void LevelsStandSideBySide()
    {
        Tiny.Sample("a red circle", "--output-inner").Succeeded();
        Image levels = Picture("00000_levels.png"), picture = Picture("00000.png");
        Assert.That(levels, Has.Property("Width").EqualTo(32).And.Property("Height").EqualTo(16));
        for (int y = 0; y < 16; y++)
            Assert.That(levels.Rgb.AsSpan(3 * (32 * y + 16), 48).ToArray(), Is.EqualTo(picture.Rgb.AsSpan(3 * 16 * y, 48).ToArray()));
    }

    [Test]
    public void TheAnimationIsAValidAnimatedPng()
    {
        Tiny.Sample("a red circle", "--animation", "--num-inference-steps=5").Succeeded();
        byte[] bytes = File.ReadAllBytes(PathOf("00000_path.png"));
        List<(string Type, byte[] Data)> chunks = Chunks(bytes);
        Assert.That(chunks[0].Type, Is.EqualTo("IHDR"));
        Assert.That(chunks[^1].Type, Is.EqualTo("IEND"));
        int frames = BinaryPrimitives.ReadInt32BigEndian(chunks.Single(chunk => chunk.Type == "acTL").Data);
        Assert.That(frames, Is.EqualTo(5));
        Assert.That(chunks.Count(chunk => chunk.Type == "fcTL"), Is.EqualTo(frames));
        int[] sequence = [.. chunks.Where(chunk => chunk.Type is "fcTL" or "fdAT")
            .Select(chunk => BinaryPrimitives.ReadInt32BigEndian(chunk.Data))];
        Assert.That(sequence, Is.EqualTo(Enumerable.Range(0, sequence.Length)));
        Assert.That(chunks.FindIndex(chunk => chunk.Type == "fcTL"), Is.LessThan(chunks.FindIndex(chunk => chunk.Type == "IDAT")));
        Assert.That(PngReader.Decode(bytes).Height, Is.EqualTo(128), "a reader without animation sees the first frame");
        Assert.That(TextOf("index.html"), Does.Contain("00000_path.png"));
    }

    [Test]
    public void AConvertedCheckpointDrawsTheSame()
    {
        Tiny.Sample("a red circle").Succeeded();
        byte[] before = Picture("00000.png").Rgb;
        string safe = Path.Combine(Tiny.Folder(), "x.safetensors"), half = Path.Combine(Tiny.Folder(), "half.pth");
        string config = Path.Combine(Tiny.Root, "model", "config.yaml");
        Cli.Run("convert", Tiny.Checkpoint, safe).Succeeded();
        Cli.Run("convert", safe, half, "--half").Succeeded();
        string vocabulary = $"--vocab-file={Path.Combine(Tiny.Root, "data", "shapes.vocab")}";
        Cli.Run("sample", "--model-file", safe, "--config-path", config, vocabulary, "--sample-dir", Tiny.Folder(), "a red circle")
            .Succeeded();
        Assert.That(Picture("00000.png").Rgb, Is.EqualTo(before));
        Cli.Run("sample", "--model-file", half, "--config-path", config, vocabulary, "--sample-dir", Tiny.Folder(), "a red circle")
            .Succeeded();
        Assert.That(Picture("00000.png").Rgb.Zip(before, (a, b) => Math.Abs(a - b)).Average(), Is.LessThan(1));
    }

    [Test]
    public void UnknownWordsAreNamed() => Assert.That(Tiny.Sample("a red (dog) above a cat's rug, ... a cat's").Succeeded().Error,
        Does.Contain("not in the vocabulary: dog, cat's, rug, ..."));

    private static string PathOf(string name) => Path.Combine(Tiny.Folder(), name);

    private static string TextOf(string name) => File.ReadAllText(PathOf(name));

    private static Image Picture(string name) => ImageFile.Read(PathOf(name));

    private static (string Path, string Caption)[] List()
    {
        using JsonDocument json = JsonDocument.Parse(TextOf("lst.json"));
        return [.. json.RootElement.EnumerateArray().Select(entry =>
            (entry.GetProperty("path").GetString()!, entry.GetProperty("caption").GetString()!))];
    }

    private static List<(string Type, byte[] Data)> Chunks(byte[] png)
    {
        var chunks = new List<(string, byte[])>();
        for (int at = 8; at < png.Length;)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(at));
            chunks.Add((Encoding.ASCII.GetString(png, at + 4, 4), png[(at + 8)..(at + 8 + length)]));
            at += length + 12;
        }

        return chunks;
    }
}
