using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Tests;

namespace Mdm.Model.Tests.Configuration;

/// <summary>Files, the command line, which of them counts, and what is accepted with a warning.</summary>
public sealed class ConfigLoaderTests
{
    private readonly List<string> _warnings = [];

    [SetUp]
    public void ForgetWarnings() => _warnings.Clear();

    [Test]
    public void DefaultsAreTheOriginals()
    {
        ProgramConfig c = Options();
        Assert.That(c.Model, Is.EqualTo("unet"));
        Assert.That(c.UnetConfig.ResolutionChannels, Is.EqualTo(new[] { 128, 256, 256, 512, 1024 }));
        Assert.That(c.UnetConfig.TemporalWidth, Is.EqualTo(512));
        Assert.That(c.DiffusionConfig.SamplerConfig.NumDiffusionSteps, Is.EqualTo(32));
        Assert.That(c.DiffusionConfig.UseVdmLossWeights, Is.True);
        Assert.That(c.GradientClipNorm, Is.EqualTo(2));
        Assert.That(c.WarmupSteps, Is.EqualTo(5000));
        Assert.That(_warnings, Is.Empty);
        Assert.That(ConfigValidator.Findings(c), Is.Empty);
    }

    [Test]
    public void CommandLineCountsMoreThanTheFileAndTheFileMoreThanDefaults()
    {
        using var file = new TemporaryFile("lr: 0.5\nbatch_size: 7\ndiffusion_config:\n  sampler_config: {beta_end: 0.5}\n");
        ProgramConfig c = ConfigLoader.Load(file.Path, ["--batch-size", "9", "--batch_size=11"], _warnings.Add);
        Assert.That(c.Lr, Is.EqualTo(0.5));
        Assert.That(c.BatchSize, Is.EqualTo(11), "the last of several");
        Assert.That(c.DiffusionConfig.SamplerConfig.BetaEnd, Is.EqualTo(0.5));
        Assert.That(c.DiffusionConfig.SamplerConfig.BetaStart, Is.EqualTo(1e-4));
    }

    [Test]
    public void TheOriginalsTrainingCommandIsUnderstood()
    {
        ProgramConfig c = Options(
            "--file-list=training_0.tsv", "--output-dir=outputs", "--num-training-steps=100", "--warmup-steps", "10",
            "--num_diffusion_steps=10", "--batch-size", "2", "--multinode=0", "--pretrained-vision-file", "F", "--fp16", "1");
        Assert.That(c.FileList, Is.EqualTo("training_0.tsv"));
        Assert.That(c.OutputDir, Is.EqualTo("outputs"));
        Assert.That(c.NumTrainingSteps, Is.EqualTo(100));
        Assert.That(c.DiffusionConfig.SamplerConfig.NumDiffusionSteps, Is.EqualTo(10));
        Assert.That(c.Multinode, Is.False);
        Assert.That(c.PretrainedVisionFile, Is.EqualTo("F"));
        Assert.That(c.Fp16, Is.True);
    }

    [TestCase("--use_adamw")]
    [TestCase("--use-adamw")]
    [TestCase("--use_adamw=1")]
    [TestCase("--use_adamw yes")]
    [TestCase("--no-use-adamw 0")]
    public void SwitchesMayHaveAValue(string options) => Assert.That(Options(options.Split(' ')).UseAdamw, Is.True);

    [Test]
    public void SwitchesAreNegatedByNoUnlessThatIsTheirName()
    {
        Assert.That(Options("--no-use_vdm_loss_weights").DiffusionConfig.UseVdmLossWeights, Is.False);
        Assert.That(Options("--no_use_residual").DiffusionConfig.NoUseResidual, Is.True);
        Assert.That(Options("--no-no-use-residual").DiffusionConfig.NoUseResidual, Is.False);
        Assert.That(Options("--no-reader_config.append_eos").ReaderConfig.AppendEos, Is.False);
    }

    [Test]
    public void FieldsAreReachedByPathAndListsAreWrittenInManyWays()
    {
        ProgramConfig c = Options(
            "--reader_config.max_token_length", "128", "--unet-config.inner-config.resolution-channels", "64,128",
            "--unet_config.resolution_channels=[32, 64]", "--mixed_ratio", "2:1", "--multi_res_weights=16,4");
        Assert.That(c.ReaderConfig.MaxTokenLength, Is.EqualTo(128));
        Assert.That(c.UnetConfig.ResolutionChannels, Is.EqualTo(new[] { 32, 64 }));
        Assert.That(c.UnetConfig.InnerConfig!.ResolutionChannels, Is.EqualTo(new[] { 64, 128 }));
        Assert.That(c.UnetConfig.InnerConfig.Nesting, Is.True);
        Assert.That(c.DiffusionConfig.MixedRatio, Is.EqualTo(new double[] { 2, 1 }));
        Assert.That(c.DiffusionConfig.MultiResWeights, Is.EqualTo(new double[] { 16, 4 }));
        Assert.That(c.Model, Is.EqualTo("nested_unet"));
    }

    [Test]
    public void SingleEntriesServeEveryLevel()
    {
        UNetConfig c = Yaml("unet_config: {num_resnets_per_resolution: 3, num_attention_layers: '2', attention_levels: '1, 4'}")
            .UnetConfig;
        Assert.That(Enumerable.Range(0, 5).Select(c.ResnetsAt), Is.EqualTo(new[] { 3, 3, 3, 3, 3 }));
        Assert.That(Enumerable.Range(0, 5).Select(c.AttentionLayersAt), Is.EqualTo(new[] { 0, 2, 0, 0, 2 }));
    }

    [Test]
    public void AShortNameThatMeansSeveralFieldsIsRefusedWithTheirPaths()
    {
        string message = Fault(() => Options(
            "--model=nested_unet", "--unet_config.inner_config.temporal_dim=8", "--temporal_dim=8"));
        Assert.That(message, Is.EqualTo(
            "--temporal_dim could mean --unet_config.temporal_dim or --unet_config.inner_config.temporal_dim"));
    }

    [TestCase("--num_difusion_steps=10", "unknown option --num_difusion_steps; did you mean '--num_diffusion_steps'?")]
    [TestCase("--reader_config.max_token_lenght 5",
        "unknown option --reader_config.max_token_lenght; did you mean '--max_token_length'?")]
    [TestCase("--zebra=1", "unknown option --zebra; --help lists those that exist")]
    [TestCase("--batch_size", "--batch_size: expected a value")]
    [TestCase("--batch_size abc", "--batch_size: expected an integer, found 'abc'")]
    [TestCase("--batch_size 1.5", "--batch_size: expected an integer, found '1.5'")]
    [TestCase("--batch_size 99999999999", "--batch_size: expected an integer, found '99999999999'")]
    [TestCase("--lr nan", "--lr: expected a finite number, found .nan")]
    [TestCase("--cfg_weight NaN", "--cfg_weight: expected a finite number, found .nan")]
    [TestCase("--fp16=maybe", "--fp16: expected true or false, found 'maybe'")]
    [TestCase("--cond_drop_prob 1.5", "--cond_drop_prob: expected at most 1, found 1.5")]
    [TestCase("--num_diffusion_steps 0", "--num_diffusion_steps: expected at least 1, found 0")]
    [TestCase("--resolution_channels 64,-3", "--resolution_channels: expected at least 1, found -3")]
    [TestCase("--schedule_type LINEAR", "--schedule_type: expected one of DDPM, DEEPFLOYD, COSINE, SIGMOID, found 'LINEAR'")]
    [TestCase("--reader_config 5", "--reader_config is a section; give one of its fields, such as --reader_config.image_size")]
    [TestCase("stray", "expected options that begin with --, found 'stray'")]
    [TestCase("-x", "unknown option -x; options begin with two dashes")]
    public void BadOptionsAreExplained(string options, string message) =>
        Assert.That(Fault(() => Options(options.Split(' '))), Is.EqualTo(message));

    [TestCase("unet_config:\n  resolution_chanels: [1]",
        "m.yaml, line 2: unknown key 'resolution_chanels' in unet_config; did you mean 'resolution_channels'?")]
    [TestCase("batch_sise: 3", "m.yaml, line 1: unknown key 'batch_sise' at the top level; did you mean 'batch_size'?")]
    [TestCase("diffusion_config:\n  num_diffusion_steps: 3",
        "m.yaml, line 2: unknown key 'num_diffusion_steps' in diffusion_config; it belongs to "
        + "diffusion_config.sampler_config.num_diffusion_steps")]
    [TestCase("\n\nunet_config: {num_lm_head_layers: abc}",
        "m.yaml, line 3: unet_config.num_lm_head_layers: expected an integer, found 'abc'")]
    [TestCase("unet_config: {resolution_channels: [64, -64]}",
        "m.yaml, line 1: unet_config.resolution_channels: expected at least 1, found -64")]
    [TestCase("unet_config: {resolution_channels: [64, x]}",
        "m.yaml, line 1: unet_config.resolution_channels: expected a list of integers, found 'x'")]
    [TestCase("unet_config: {resolution_channels: {a: 1}}",
        "m.yaml, line 1: unet_config.resolution_channels: expected a list of integers, found '{...}'")]
    [TestCase("lr: [1, 2]", "m.yaml, line 1: lr: expected a number, found '[1, 2]'")]
    [TestCase("batch_size:", "m.yaml, line 1: batch_size: expected an integer, found ''")]
    [TestCase("unet_config: 5", "m.yaml, line 1: unet_config: expected a section, found '5'")]
    [TestCase("- 1\n- 2", "m.yaml, line 1: expected 'key: value' lines, found '[1, 2]'")]
    [TestCase("lr: 1\n---\nlr: 2", "m.yaml, line 2: a second document, expected one")]
    [TestCase("? [a]\n: 1", "m.yaml, line 1: a key that is not a word")]
    [TestCase("lr: *gone", "m.yaml, line 1: unknown anchor '*gone'")]
    public void BadFilesAreExplained(string yaml, string message) =>
        Assert.That(Fault(() => Yaml(yaml)), Is.EqualTo(message));

    [TestCase("lr: \"open")]
    [TestCase("a: b: c")]
    [TestCase("{")]
    [TestCase("lr: 1\n  batch_size: 2\n")]
    public void BrokenYamlIsNamedWithItsLine(string yaml) =>
        Assert.That(Fault(() => Yaml(yaml)), Does.Match(@"^m\.yaml, line \d+: not YAML: \S[^\n]*$"));

    [Test]
    public void DeepNestingIsRefused() =>
        Assert.That(Fault(() => Yaml("a: " + new string('[', 500))), Does.Contain("nested deeper than 64 levels"));

    [Test]
    public void DamagedFilesEndInOneLineOrAConfiguration()
    {
        string[] words = [.. ConfigSaver.ToYaml(Options("--unet_config.inner_config.temporal_dim=64")).Split('\n')];
        var random = new Random(7);
        for (int i = 0; i < 400; i++)
        {
            char[] text = string.Join('\n', words[..random.Next(words.Length)]).ToCharArray();
            for (int k = random.Next(6); k > 0 && text.Length > 0; k--)
                text[random.Next(text.Length)] = (char)random.Next(k == 1 ? 0x2FFF : 127);
            AssertOneLine(new string(text));
            AssertOneLine(string.Concat(Enumerable.Range(0, random.Next(99)).Select(_ => (char)random.Next(1, 256))));
        }
    }

    [Test]
    public void AMissingFileIsNamed() =>
        Assert.That(Fault(() => ConfigLoader.Load("no/such.yaml", [], _warnings.Add)),
            Does.StartWith("cannot read configuration no/such.yaml"));

    [TestCase("")]
    [TestCase("# nothing\n")]
    [TestCase("---\n")]
    public void AnEmptyFileGivesTheDefaults(string yaml) =>
        Assert.That(ConfigSaver.ToYaml(Yaml(yaml)), Is.EqualTo(ConfigSaver.ToYaml(Options())));

    [Test]
    public void AnchorsAreFollowedWithinReason()
    {
        Assert.That(Yaml("batch_size: &n 5\nlog_freq: *n\n").LogFreq, Is.EqualTo(5));
        string list = string.Concat(Enumerable.Range(1, 40).Select(i => $"lr: &l{i} [*l{i - 1}, *l{i - 1}]\n"));
        Assert.That(Fault(() => Yaml("lr: &l0 [1, 2]\n" + list)), Does.EndWith("lr: expected a number, found '[..., ...]'"));
        string nest = string.Concat(Enumerable.Range(1, 40).Select(i => $"  inner_config: &n{i} {{inner_config: *n{i - 1}}}\n"));
        Assert.That(Fault(() => Yaml("unet_config:\n  inner_config: &n0 {temporal_dim: 8}\n" + nest)),
            Does.EndWith("sections nested deeper than 16"));
    }

    [Test]
    public void EveryDefaultSurvivesSavingAndLoading()
    {
        string yaml = ConfigSaver.ToYaml(Options());
        Assert.That(ConfigSaver.ToYaml(Yaml(yaml)), Is.EqualTo(yaml));
        Assert.That(_warnings, Is.Empty);
    }

    [Test]
    public void EveryFieldSurvivesSavingAndLoadingWithAnotherValue()
    {
        var changed = new ProgramConfig { UnetConfig = { InnerConfig = new UNetConfig { InnerConfig = new UNetConfig() } } };
        int n = 0;
        foreach (PlacedSetting s in SettingsTable.Walk(changed))
            s.Field.Set(s.Owner, Different(s, (++n % 50) + 1));
        changed.Model = changed.UnetConfig.ModelName;
        foreach (UNetConfig network in changed.UnetConfig.Chain())
            network.InitializeInnerWithPretrained = GoldenFiles.Root + "/LICENSE";
        changed.NegativePrompt = "quote \" back\\slash: # \t 'x'\nläßt 🦆 \u0085\u0001";
        changed.OutputDir = "null";
        changed.SampleDir = "- a: [b";

        ProgramConfig back = Yaml(ConfigSaver.ToYaml(changed));
        PlacedSetting[] before = [.. SettingsTable.Walk(changed)], after = [.. SettingsTable.Walk(back)];
        Assert.That(after.Select(s => s.Path), Is.EqualTo(before.Select(s => s.Path)));
        Assert.That(before, Has.Length.GreaterThan(140));
        for (int i = 0; i < before.Length; i++)
            Assert.That(after[i].Value, Is.EqualTo(before[i].Value), before[i].Path);
    }

    [Test]
    public void CopiesShareNothing()
    {
        ProgramConfig original = Options("--unet_config.inner_config.temporal_dim=64", "--mixed_ratio=2:1");
        string before = ConfigSaver.ToYaml(original);
        ProgramConfig copy = original.Clone();
        Assert.That(ConfigSaver.ToYaml(copy), Is.EqualTo(before));
        copy.UnetConfig.InnerConfig!.ResolutionChannels[0] = 1;
        copy.UnetConfig.ResnetConfig.NumGroupsNorm = 1;
        copy.DiffusionConfig.MixedRatio![0] = 9;
        copy.DiffusionConfig.SamplerConfig.BetaEnd = 1;
        copy.ReaderConfig.ImageSize = 5;
        Assert.That(ConfigSaver.ToYaml(original), Is.EqualTo(before));
        UNetConfig told = original.UnetConfig.WithTextWidth(24);
        Assert.That(told.Chain().Select(c => c.ConditioningFeatureDim), Is.EqualTo(new[] { 24, 24 }));
        Assert.That(ConfigSaver.ToYaml(original), Is.EqualTo(before));
    }

    [Test]
    public void TheSameShortNameHasTheSameTypeEverywhere()
    {
        var config = new ProgramConfig { UnetConfig = { InnerConfig = new UNetConfig() } };
        foreach (IGrouping<string, PlacedSetting> same in SettingsTable.Walk(config).GroupBy(s => s.Field.Name))
            Assert.That(same.Select(s => s.Field.Type).Distinct().Count(), Is.EqualTo(1), same.Key);
    }

    [Test]
    public void EveryOptionMayBeGivenByItsPath()
    {
        var config = new ProgramConfig();
        int n = 0;
        foreach (PlacedSetting s in SettingsTable.Walk(config).ToArray())
        {
            object? value = Different(s, ++n);
            ProgramConfig loaded = Options($"--{s.Path}={s.Field.Format(value)}");
            if (s.Path != "unet_config.initialize_inner_with_pretrained")
                Assert.That(SettingsTable.Walk(loaded).Single(t => t.Path == s.Path).Value, Is.EqualTo(value), s.Path);
        }
    }

    private static object? Different(PlacedSetting s, int n) => s.Value switch
    {
        bool b => !b,
        int i => i + 1 + (n % 3),
        long l => l + 5_000_000_000,
        double d => s.Path.EndsWith("dropout", StringComparison.Ordinal) || d < 1 ? 0.123456789 + (n * 1e-9) : d + (1.0 / 3),
        Enum e => Enum.GetValues(e.GetType()).Cast<object>().First(v => !v.Equals(e)),
        int[] => new[] { n, 2 },
        _ when s.Field.Type == typeof(int[]) => new[] { n },
        _ when s.Field.Type == typeof(double[]) => new[] { 0.1, n, 1e-7 },
        _ when s.Field.Type == typeof(double) => 0.25,
        _ when s.Field.Type == typeof(int) => 16,
        _ when s.Field.Type == typeof(PredictionType) => PredictionType.VPrediction,
        _ => $"text {n}",
    };

    private ProgramConfig Options(params string[] options) => ConfigLoader.Load(null, options, _warnings.Add);

    private ProgramConfig Yaml(string yaml) => ConfigLoader.Parse(yaml, "m.yaml", _warnings.Add);

    private void AssertOneLine(string yaml)
    {
        try
        {
            foreach (string finding in ConfigValidator.Findings(Yaml(yaml)))
                Assert.That(finding, Does.Not.Contain("\n"));
        }
        catch (MdmException e)
        {
            Assert.That(e.Message, Does.Not.Contain("\n").And.Length.LessThan(400));
        }
    }

    private static string Fault(Action action) => Assert.Throws<MdmException>(action)!.Message;
}
