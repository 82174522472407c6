using System.Text;
using Mdm.Tensors.Formats;

namespace Mdm.Cli.Tests;

/// <summary>What people get wrong: one line that helps, a non-zero exit code, and what was there before stays.</summary>
public sealed class BadInputTests
{
    private IReadOnlyList<string> _before = [];

    [SetUp]
    public void Remember() => _before = Earlier();

    [TearDown]
    public void EarlierFilesAreIntact() => Assert.That(Earlier(), Is.EqualTo(_before));

    [TestCase("--unet_config.resolution_channels=-8,8", "unet_config.resolution_channels", "expected at least 1, found -8")]
    [TestCase("--batch-size=0", "expected at least 1, found 0")]
    [TestCase("--batch-size=many", "expected an integer, found 'many'")]
    [TestCase("--lr=nan", "expected a finite number")]
    [TestCase("--unet_config.resnet_config.num_groups_norm=3", "8 channels are not divisible by 3 groups")]
    [TestCase("--reader_config.image_size=18", "found 18, expected a multiple of 4")]
    [TestCase("--file-list=nosuch.tsv", "nosuch.tsv")]
    [TestCase("--vocab-file=nosuch.vocab", "nosuch.vocab")]
    [TestCase("--pretrained-vision-file=nosuch.pth", "nosuch.pth")]
    [TestCase("--text-model=google/flan-t5-nosuch", "neither as a folder nor in")]
    [TestCase("--device=cuda:99", "cuda:99: ")]
    [TestCase("--device=toaster", "expected auto, cpu, cuda or cuda:N")]
    [TestCase("--batch-size=100|--num-epochs=1", "too few samples for a batch of 100")]
    [TestCase("--file-list=", "file_list is not set")]
    [TestCase("--output-dir=", "output_dir is not set")]
    [TestCase("--diffusion_config.no_use_residual=0", "no_use_residual")]
    public void TrainRefuses(string options, params string[] words) =>
        Tiny.Train(Tiny.Folder(), options.Split('|')).Refused(words);

    [TestCase("batch_szie: 4", "line 1: unknown key 'batch_szie' at the top level; did you mean 'batch_size'?")]
    [TestCase("batch_size: [1, 2]", "line 1: batch_size: expected an integer")]
    [TestCase("unet_config:\n  resolution_channels: [-8, 8]", "line 2", "found -8")]
    [TestCase("unet_config: 3", "line 1", "unet_config")]
    [TestCase("a: [", "not YAML")]
    [TestCase("\0\u0001", "line 1")]
    public void AWrongConfigurationIsRefused(string yaml, params string[] words) =>
        Cli.Run("train", "--config-path", Tiny.Write("wrong.yaml", yaml)).Refused(["wrong.yaml", .. words]);

    [Test]
    public void AMissingConfigurationIsNamed() => Cli.Run("train", "--config-path", "nosuch.yaml").Refused("nosuch.yaml");

    [Test]
    public void AVocabularyWithoutPaddingIsRefused() => Tiny.Train(Tiny.Folder(), "--vocab-file", Tiny.Write("no.vocab",
        "</s>\t0\n<unk>\t0\n\u2581circle\t-1\n")).Refused("no.vocab", "<pad> is missing");

    [Test]
    public void ALearningRateThatIsTooHighIsNoticed()
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        Tiny.Train(Tiny.Folder(), "--lr=1e30", "--num-training-steps=100000").Refused(
            "the loss was not a finite number in 50 steps in a row", "learning rate 1E+30", "lower lr");
        Assert.That(clock.Elapsed.TotalSeconds, Is.LessThan(20));
    }

    [TestCase("sample")]
    [TestCase("train")]
    [TestCase("prepare")]
    [TestCase("convert")]
    [TestCase("quickstart")]
    public void AFileInPlaceOfTheOutputFolderIsNamed(string verb)
    {
        string file = Tiny.Write("occupied", "precious"), folder = Path.Combine(file, "below");
        CliResult result = verb switch
        {
            "sample" => Cli.Run("sample", "--model-file", Tiny.Checkpoint, "--sample-dir", folder, "a circle"),
            "train" => Tiny.Train(folder),
            "prepare" => Cli.Run("prepare", "shapes", folder, "--count=2"),
            "convert" => Cli.Run("convert", Tiny.Checkpoint, Path.Combine(folder, "x.safetensors")),
            _ => Cli.Run(["quickstart", "--output-dir", folder, "--images=4", "--minutes=0.01", .. Tiny.Networks]),
        };
        result.Refused("cannot", "occupied is a file");
        Assert.That(File.ReadAllText(file), Is.EqualTo("precious"));
    }

    [TestCase("|a circle|", "a prompt is empty")]
    [TestCase("漢字 ☃", "no part of the prompt '漢字 ☃' is in the model's vocabulary")]
    [TestCase("a circle|--cfg-weight=nan", "expected a finite number")]
    [TestCase("a circle|--guidance=inf", "expected a number")]
    [TestCase("a circle|--num-inference-steps=21", "found 21, expected at most num_diffusion_steps 20")]
    [TestCase("a circle|--num-inference-steps=0", "expected at least 1, found 0")]
    [TestCase("a circle|--sample-image-size=17", "found 17, expected a multiple of 4")]
    [TestCase("a circle|--threshold=foo", "expected NONE, CLIP, DYNAMIC or DYNAMIC_IF")]
    [TestCase("a circle|--ddim-eta=2", "expected at most 1, found 2")]
    [TestCase("a circle|--count=0", "expected at least 1, found 0")]
    [TestCase("--prompts-file=nosuch.txt", "nosuch.txt")]
    [TestCase("--test-file-list=nosuch.tsv", "nosuch.tsv")]
    [TestCase("--cfg-weight=2", "no prompt is given")]
    [TestCase("a circle|--model-file=nosuch.pth", "there is no checkpoint nosuch.pth")]
    [TestCase("a circle|--unet_config.resolution_channels=16,16", "does not fit the configuration",
        "conv_in.weight: found [8, 3, 3, 3], expected [16, 3, 3, 3]")]
    [TestCase("a circle|--unet_config.inner_config.num_lm_head_layers=2", "parameters are missing (inner_unet.lm_head.1")]
    public void SampleRefuses(string options, params string[] words) => Tiny.SampleRefuses(options.Split('|'), words);

    [Test]
    public void APromptOfAHundredThousandCharactersIsCutWithAWarning() => Assert.That(
        Tiny.Sample("a red circle " + new string('x', 100_000)).Succeeded().Error, Does.Contain("cut to 200 (max_caption_length)"));

    [Test]
    public void PromptsFilesWithoutPromptsAreRefused()
    {
        Tiny.SampleRefuses(["--prompts-file", Tiny.Write("empty.txt", "\n \n")], "empty.txt holds no prompt, expected one a line");
        Tiny.SampleRefuses(["--prompts-file", Tiny.Write("empty.tsv", "caption\n \n")], "holds no prompt, expected one a row");
        Tiny.SampleRefuses(["--prompts-file", Tiny.Write("other.tsv", "a\tb\n1\t2\n")],
            "found the columns a, b, expected one named prompt or caption");
        Tiny.SampleRefuses(["--prompts-file", Tiny.Write("torn.tsv", "a\tcaption\n1\n")], "torn.tsv, line 2: found 1 values");
    }

    [Test]
    public void TooLittleMemoryForOnePictureTellsWhatToLower()
    {
        string pictures = Path.Combine(Tiny.Folder(), "pictures");
        Cli.Shell("export DOTNET_GCHeapHardLimit=0x8000000; exec \"$0\" \"$@\"", "sample", "--model-file", Tiny.Checkpoint,
            "--sample-dir", pictures, "--sample-image-size=2048", "a red circle")
            .Refused("not enough memory to draw one picture of 2048x2048", "in use of 128 MB", "--sample-image-size may be lowered");
        Assert.That(pictures, Does.Not.Exist);
    }

    [TestCase("x.pth")]
    [TestCase("x.safetensors")]
    public void ADamagedCheckpointIsReadOrRefused(string name)
    {
        string good = Path.Combine(Tiny.Folder(), "good" + Path.GetExtension(name));
        Directory.CreateDirectory(Tiny.Folder());
        if (name.EndsWith(".pth", StringComparison.Ordinal))
            File.Copy(Tiny.Checkpoint, good);
        else
            Cli.Run("convert", Tiny.Checkpoint, good).Succeeded();
        byte[] bytes = File.ReadAllBytes(good);
        var random = new Random(5);
        for (int i = 0; i < 24; i++)
        {
            byte[] damaged = [.. bytes];
            if (i < 8)
                damaged = bytes[..(int)(bytes.Length * (long)i / 8)];
            else
                // The description of the tensors, at the beginning or the end, is hit as often as the numbers.
                damaged[(i % 3) switch
                {
                    0 => random.Next(400),
                    1 => bytes.Length - 1 - random.Next(4000),
                    _ => random.Next(bytes.Length),
                }] ^= (byte)(1 << random.Next(8));
            string path = Tiny.Write(name, damaged);
            string config = Path.Combine(Tiny.Root, "model", "config.yaml");
            CliResult result = Cli.Run(
                "sample", "--model-file", path, "--config-path", config, "--sample-dir", Tiny.Folder(), "a circle");
            if (i < 8 || result.Code != 0)
                result.Refused(Path.GetFileNameWithoutExtension(name));
            CliResult inspected = Cli.Run("inspect", path);
            if (inspected.Code != 0)
                inspected.Refused();
        }
    }

    [TestCase("training-00000.tar")]
    [TestCase("training-00000.tsv")]
    [TestCase("training.tsv")]
    [TestCase("shapes.vocab")]
    public void DamagedDataIsReadOrRefused(string name)
    {
        string data = Path.Combine(Tiny.Folder(), "data"), file = Path.Combine(data, name);
        Directory.CreateDirectory(data);
        foreach (string path in Directory.GetFiles(Path.Combine(Tiny.Root, "data")))
            File.Copy(path, Path.Combine(data, Path.GetFileName(path)));
        byte[] bytes = File.ReadAllBytes(file);
        var random = new Random(6);
        for (int i = 0; i < 10; i++)
        {
            byte[] damaged = [.. bytes];
            if (i < 4)
                damaged = bytes[..(bytes.Length * i / 4)];
            else
                damaged[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(file, damaged);
            CliResult result = Tiny.Train(Path.Combine(Tiny.Folder(), "out"), "--num-training-steps=2", "--num-epochs=3",
                "--file-list", Path.Combine(data, "training.tsv"), "--vocab-file", Path.Combine(data, "shapes.vocab"));
            if (i == 0 || result.Code != 0)
                result.Refused();
        }
    }

    [Test]
    public void BrokenPicturesAreCountedAndSkipped([Values("png", "jpg")] string kind)
    {
        var random = new Random(7);
        byte[] noise = new byte[300];
        random.NextBytes(noise);
        byte[] start = kind == "png" ? [137, 80, 78, 71, 13, 10, 26, 10] : [0xFF, 0xD8, 0xFF, 0xE0];
        using (FileStream stream = File.Create(Tiny.Write("all.tar", "")))
        using (var tar = new TarWriter(stream))
        {
            using TarFile good = TarFile.Open(Path.Combine(Tiny.Root, "data", "training-00000.tar"));
            tar.Add("good.png", good.Read("training-0000000.png"));
            tar.Add($"noise.{kind}", [.. start, .. noise]);
            tar.Add($"empty.{kind}", []);
            tar.Add("cut.png", good.Read("training-0000001.png")[..60]);
        }

        var table = new StringBuilder("tar\tfile\tcaption\n");
        string[] broken = [$"noise.{kind}", $"empty.{kind}", "cut.png", "missing.png", "../../x.png"];
        foreach (string file in (string[])["good.png", "good.png", "good.png", .. broken])
            table.Append($"all.tar\t{file}\ta circle\n");
        Tiny.Write("shard.tsv", table.ToString());
        string index = Tiny.Write("index.tsv", "filename\nshard.tsv\n");
        CliResult result = Tiny.Train(Path.Combine(Tiny.Folder(), "out"), "--file-list", index, "--batch-size=2").Succeeded();
        foreach (string file in broken)
            Assert.That(result.Error, Does.Contain(file));
    }

    [TestCase("nosuch")]
    [TestCase("[{\"path\": 3}]")]
    [TestCase("{}")]
    [TestCase("[]")]
    [TestCase("[{\"path\": \"a.png\", \"caption\": \"an elephant\"}]")]
    public void EvaluateRefusesListsThatAreNone(string list) => Cli.Run("evaluate", "shapes",
        list == "nosuch" ? Path.Combine(Tiny.Folder(), list) : Tiny.Write("lst.json", list)).Refused();

    [TestCase("a.txt")]
    [TestCase("a.pth|a.foo")]
    public void ConvertRefusesOtherFormats(string names)
    {
        string[] files = [.. names.Split('|').Select(name => Path.Combine(Tiny.Folder(), name))];
        string input = files.Length == 1 ? Tiny.Write("a.txt", "no checkpoint") : Tiny.Checkpoint;
        Cli.Run("convert", input, files.Length == 1 ? Path.Combine(Tiny.Folder(), "b.pth") : files[1]).Refused();
        Cli.Run("convert", Tiny.Checkpoint, Tiny.Checkpoint).Refused("both input and output");
    }

    [Test]
    public void PrepareRefusesWhatItCannotDraw([Values("--size=4", "--count=0", "--hold-out=0.9", "--seed=-1")] string option) =>
        Cli.Run("prepare", "shapes", Tiny.Folder(), option).Refused();

    private static IReadOnlyList<string> Earlier() =>
        [.. Tiny.Contents(Path.Combine(Tiny.Root, "data")), .. Tiny.Contents(Path.Combine(Tiny.Root, "model"))];
}
