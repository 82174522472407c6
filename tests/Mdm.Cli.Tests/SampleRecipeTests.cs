using System.Text.Json;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Cli.Tests;

/// <summary>What stands in a picture's file draws it again; what a folder holds is not drawn twice.</summary>
public sealed class SampleRecipeTests
{
    private static readonly string[] s_prompts = ["a large red circle above a small blue square", "a green triangle", "a red square"];

    [TestCase("--sampler=ddpm")]
    [TestCase("--sampler=dpm++", "--cfg-weight=3", "--guidance-schedule=interval:0.3-1", "--negative-prompt=a \"blue\" circle")]
    [TestCase("--sampler=heun", "--threshold=DYNAMIC_IF", "--noise=torch", "--style=painting")]
    [TestCase("--eta=0.3", "--guidance=2", "--guidance-schedule=linear", "--num_diffusion_steps=15")]
    public void ARecipeDrawsThePictureAgainBitForBit(params string[] settings)
    {
        Tiny.Sample([.. s_prompts, "--seed=7", "--batch-size=2", .. settings]).Succeeded();
        foreach (int i in new[] { 0, 1, 2 })
        {
            string original = Kept($"0000{i}.png");
            CliResult again = Cli.Run("sample", "--from", original, "--sample-dir", Path.Combine(Tiny.Folder(), "again")).Succeeded();
            Assert.That(again.Output, Does.StartWith($"1 picture, seed {7 + i}\n"));
            Assert.That(File.ReadAllBytes(PathOf("again/00000.png")), Is.EqualTo(File.ReadAllBytes(original)), $"picture {i}");
        }
    }

    [Test]
    public void TheRecipeSaysWhatThePictureWasMadeOf()
    {
        Tiny.Sample("a red square", "--seed=7", "--sampler=heun", "--guidance=2.5", "--style=film", "--negative-prompt=Ärger ✓")
            .Succeeded();
        IReadOnlyDictionary<string, string> texts = PngTexts.Read(File.ReadAllBytes(PathOf("00000.png")));
        using JsonDocument recipe = JsonDocument.Parse(texts["recipe"]);
        JsonElement root = recipe.RootElement;
        Assert.Multiple(() =>
        {
            Assert.That(texts["prompt"], Is.EqualTo("a red square"));
            Assert.That(texts["seed"], Is.EqualTo("7"));
            Assert.That(root.GetProperty("prompt").GetString(), Is.EqualTo("a red square"));
            Assert.That(root.GetProperty("negative_prompt").GetString(), Is.EqualTo("Ärger ✓"));
            Assert.That(root.GetProperty("style").GetString(), Is.EqualTo("film"));
            Assert.That(root.GetProperty("sampler").GetString(), Is.EqualTo("heun"));
            Assert.That(root.GetProperty("guidance").GetDouble(), Is.EqualTo(2.5));
            Assert.That(root.GetProperty("steps").GetInt32(), Is.EqualTo(4));
            Assert.That(root.GetProperty("size").GetInt32(), Is.EqualTo(16));
            Assert.That(root.TryGetProperty("eta", out _), Is.False);
            Assert.That(root.GetProperty("checkpoint").GetProperty("sha256").GetString(), Is.EqualTo(Convert.ToHexStringLower(
                System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(Tiny.Checkpoint)))));
            Assert.That(root.GetProperty("config_sha256").GetString(), Has.Length.EqualTo(64));
            Assert.That(root.GetProperty("version").GetString(), Is.Not.Empty);
            Assert.That(root.GetProperty("device").GetString(), Is.Not.Empty);
        });
        string shown = Cli.Run("inspect", PathOf("00000.png")).Succeeded().Output;
        Assert.That(shown, Does.Contain("\n  \"negative_prompt\": \"Ärger ✓\",").And.Contain("\n  \"sampler\": \"heun\","));
        Cli.Run("inspect", PathOf("grid.png")).Refused("grid.png", "has no recipe");
    }

    [Test]
    public void OtherOptionsChangeTheRecipe()
    {
        Tiny.Sample("a red square", "--seed=7").Succeeded();
        string original = Kept("00000.png"), again = Path.Combine(Tiny.Folder(), "again");
        Cli.Run("sample", "--from", original, "--sample-dir", again, "--seed=8").Succeeded();
        Tiny.Sample("a red square", "--seed=8").Succeeded();
        Assert.That(Pixels("again/00000.png"), Is.EqualTo(Pixels("00000.png")));
        Cli.Run("sample", "--from", original, "--sample-dir", again, "a blue circle").Refused("--from", "expected no prompts");
        Cli.Run("sample", "--from", original, "--sample-dir", again, "--count=2").Refused("expected no --count");
    }

    [Test]
    public void AnotherCheckpointOrConfigurationIsNamed()
    {
        string model = Path.Combine(Tiny.Folder(), "model");
        Directory.CreateDirectory(model);
        foreach (string file in Directory.GetFiles(Path.Combine(Tiny.Root, "model")))
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        string checkpoint = Path.Combine(model, Path.GetFileName(Tiny.Checkpoint)), config = Path.Combine(model, "config.yaml");
        Cli.Run("sample", "--model-file", checkpoint, "--sample-dir", Tiny.Folder(), "a red square", "--seed=7").Succeeded();
        string original = Kept("00000.png");

        string[] again = ["sample", "--from", original, "--sample-dir", Path.Combine(Tiny.Folder(), "again")];
        Cli.Run([.. again, "--model-file", Tiny.Checkpoint]).Succeeded();
        File.WriteAllText(config, File.ReadAllText(config).Replace("schedule_shifted: true", "schedule_shifted: false"));
        Cli.Run(again).Refused("was drawn with another configuration");
        Cli.Run([.. again, "--model-file", Path.Combine(model, "vis_model_noema_000003.pth")])
            .Refused("was drawn with another checkpoint", "SHA-256");
        File.Delete(checkpoint);
        Cli.Run(again).Refused("vis_model_000003.pth, which is not there", "--model-file");
    }

    [Test]
    public void APictureWithoutARecipeIsRefused()
    {
        var grey = new Image(16, 16);
        Cli.Run("sample", "--from", Tiny.Write("plain.png", PngWriter.Encode(grey))).Refused("plain.png", "has no recipe");
        Cli.Run("sample", "--from", Tiny.Write("bad.png", PngWriter.Encode(grey, [new("recipe", "{\"seed\": \"x\"}")])))
            .Refused("bad.png", "the recipe is damaged");
        Cli.Run("sample", "--from", Tiny.Write("none.txt", "no picture")).Refused("none.txt", "signature");
        Cli.Run("sample", "--from", Path.Combine(Tiny.Folder(), "not there.png")).Refused("cannot read");
    }

    [Test]
    public void ASeedAndItsNumberAreTheSameInAnyBatch()
    {
        Tiny.Sample([.. s_prompts, "--seed=7", "--batch-size=3"]).Succeeded();
        byte[][] together = [.. Enumerable.Range(0, 3).Select(i => Pixels($"0000{i}.png"))];
        for (int i = 0; i < 3; i++)
        {
            Tiny.Sample(s_prompts[i], $"--seed={7 + i}").Succeeded();
            Assert.That(Pixels("00000.png").Zip(together[i], (a, b) => Math.Abs(a - b)).Max(), Is.LessThanOrEqualTo(1), $"picture {i}");
        }
    }

    [Test]
    public void AResumedJobDrawsOnlyWhatIsMissing()
    {
        string[] job = [.. s_prompts, "--seed=7", "--output-inner", "--batch-size=2"];
        Tiny.Sample(job).Succeeded();
        IReadOnlyList<string> complete = Tiny.Contents(Tiny.Folder());
        byte[] second = Pixels("00001.png");
        DateTime untouched = new(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        File.SetLastWriteTimeUtc(PathOf("00000.png"), untouched);
        File.Delete(PathOf("00001.png"));
        File.WriteAllBytes(PathOf("00002.png"), File.ReadAllBytes(PathOf("00002.png"))[..^20]);

        CliResult resumed = Tiny.Sample([.. job, "--resume"]).Succeeded();
        Assert.That(resumed.Output, Does.StartWith("3 pictures, seeds 7 to 9, 1 of them drawn before"));
        Assert.That(File.GetLastWriteTimeUtc(PathOf("00000.png")), Is.EqualTo(untouched));
        Assert.That(Pixels("00001.png").Zip(second, (a, b) => Math.Abs(a - b)).Max(), Is.LessThanOrEqualTo(1));
        Assert.That(Tiny.Contents(Tiny.Folder()), Has.Count.EqualTo(complete.Count));

        Assert.That(Tiny.Sample([.. job, "--resume"]).Succeeded().Output, Does.Contain("3 of them drawn before"));
        Assert.That(Tiny.Sample([.. job, "--resume", "--sampler=heun"]).Succeeded().Output, Does.Not.Contain("drawn before"));
        Tiny.Sample("a red square", "--resume", "--seed=-1").Refused("--resume", "--seed");
    }

    [Test]
    public void SeveralCheckpointsDrawARowEach()
    {
        string other = Path.Combine(Tiny.Root, "model", "vis_model_noema_000003.pth");
        string[] ways = [$"--model-file={other}", $"--model-file={Tiny.Checkpoint},{other}"];
        foreach (string way in ways)
        {
            string[] first = way.Contains(',') ? [] : ["--model-file", Tiny.Checkpoint];
            CliResult result = Cli.Run(["sample", .. first, way, "--sample-dir", Tiny.Folder(), .. s_prompts, "--seed=3"]).Succeeded();
            Assert.That(result.Output, Does.StartWith("3 pictures of each of 2 checkpoints, seeds 3 to 5\n"));
            Image row = ImageFile.Read(PathOf("vis_model_000003/grid.png")), both = ImageFile.Read(PathOf("grid.png"));
            Assert.That(both.Width, Is.GreaterThan(3 * 128));
            Assert.That(both.Height, Is.GreaterThan(2 * 128));
            string page = File.ReadAllText(PathOf("index.html"));
            Assert.That(page, Does.Contain("<h2>vis_model_000003</h2>").And.Contain("<h2>vis_model_noema_000003</h2>")
                .And.Contain("vis_model_noema_000003/00002.png"));
            Assert.That(Pixels("vis_model_000003/00001.png"), Is.Not.EqualTo(Pixels("vis_model_noema_000003/00001.png")));
        }

        Tiny.Sample("a red square", "--model-file", "not there.pth").Refused("no checkpoint not there.pth");
        Tiny.Sample("a red square", "--model-file", Tiny.Checkpoint).Refused("more than once");
    }

    [Test]
    public void WhatIsWrongWithTheLastOfSeveralCheckpointsIsToldBeforeTheFirstDraws()
    {
        string model = Path.Combine(Tiny.Folder(), "model"), other = Path.Combine(model, "wider.pth");
        Directory.CreateDirectory(model);
        File.Copy(Tiny.Checkpoint, other);
        string config = File.ReadAllText(Path.Combine(Tiny.Root, "model", "config.yaml"));
        File.WriteAllText(Path.Combine(model, "config.yaml"),
            config.Replace("resolution_channels: [8, 8]", "resolution_channels: [8, 16]"));
        Tiny.SampleRefuses(["a red circle", "--model-file", other], "wider.pth does not fit the configuration", "of another shape");

        // The text model, which takes long, is not looked at before: there is none.
        File.WriteAllText(Path.Combine(model, "text_model.json"), "{\"kind\": \"words\", \"vocabulary\": \"x\", \"width\": 16}");
        Tiny.SampleRefuses(["a red circle", "--model-file", other], "wider.pth does not fit");
    }

    private static string Kept(string name)
    {
        string kept = Path.Combine(Tiny.Folder(), $"kept-{name}");
        File.Copy(PathOf(name), kept, overwrite: true);
        return kept;
    }

    private static byte[] Pixels(string name) => ImageFile.Read(PathOf(name)).Rgb;

    private static string PathOf(string name) => Path.Combine(Tiny.Folder(), name);
}
