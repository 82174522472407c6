using System.Text.Json;
using Mdm.Model.Configuration;
using Mdm.Tests;

namespace Mdm.Model.Tests.Configuration;

/// <summary>Files as users of the original have them: recorded ones, the three models, oddities.</summary>
public sealed class PublishedConfigTests
{
    private readonly List<string> _warnings = [];

    [SetUp]
    public void ForgetWarnings() => _warnings.Clear();

    [Test]
    public void RecordedNetworksLoadToTheirValues()
    {
        UNetConfig a = Golden("unet_a.yaml").UnetConfig;
        Assert.That(a.ResolutionChannels, Is.EqualTo(new[] { 32, 64 }));
        Assert.That(Enumerable.Range(0, 2).Select(a.ResnetsAt), Is.EqualTo(new[] { 2, 1 }));
        Assert.That(Enumerable.Range(0, 2).Select(a.AttentionLayersAt), Is.EqualTo(new[] { 0, 1 }));
        Assert.That((a.TemporalWidth, a.MaskedCrossAttention, a.SkipMidBlocks, a.SkipCondEmb),
            Is.EqualTo((32, false, true, false)));
        Assert.That(a.MicroConditions(), Is.EqualTo(new[] { new MicroCondition("scale", 64) }));

        ProgramConfig b = Golden("unet_b.yaml");
        Assert.That((b.LanguageModelDim, b.UnetConfig.TemporalDim, b.UnetConfig.TemporalWidth),
            Is.EqualTo(((int?)null, (int?)null, 128)));
        Assert.That((b.UnetConfig.MicroConditions().Count, b.UnetConfig.SkipMidBlocks), Is.EqualTo((0, false)));

        ProgramConfig c = Golden("unet_c.yaml");
        Assert.That((c.LanguageModelDim, c.UnetConfig.NumLmHeadLayers, c.UnetConfig.AttentionLayersAt(0)),
            Is.EqualTo((24, 1, 2)));
        Assert.That((c.UnetConfig.ResnetConfig.NumGroupsNorm, c.UnetConfig.ResnetConfig.UseAttentionFfn), Is.EqualTo((8, true)));
        Assert.That(c.UnetConfig.MicroConditions(), Is.EqualTo(
            new[] { new MicroCondition("scale", 64), new MicroCondition("watermark_score", 0.5) }));
        Assert.That(c.UnetConfig.WithTextWidth(c.LanguageModelDim).ConditioningWidth, Is.EqualTo(24));
    }

    [Test]
    public void RecordedNestedNetworksLoadToTheirValues()
    {
        ProgramConfig two = Golden("nested_2.yaml");
        Assert.That((two.Model, two.UnetConfig.ModelName, two.UnetConfig.Nestings),
            Is.EqualTo(("nested_unet", "nested_unet", 1)));
        Assert.That(two.UnetConfig.Scales(), Is.EqualTo(new[] { 2, 1 }));
        Assert.That(two.UnetConfig.Chain().Select(c => c.ResnetConfig.NumGroupsNorm), Is.EqualTo(new[] { 16, 8 }));
        Assert.That(two.UnetConfig.Chain().Select(c => c.SkipCondEmb), Is.EqualTo(new[] { true, false }));

        ProgramConfig three = Golden("nested_3.yaml");
        Assert.That(three.Model, Is.EqualTo("nested2_unet"));
        Assert.That(three.UnetConfig.Scales(), Is.EqualTo(new[] { 4, 2, 1 }));
        Assert.That(three.UnetConfig.Chain().Select(c => c.SkipNormalization), Is.EqualTo(new[] { true, false, false }));
        Assert.That(three.UnetConfig.Chain().Select(c => c.Nesting), Is.EqualTo(new[] { false, true, true }));

        UNetConfig video = Golden("temporal_2.yaml").UnetConfig;
        Assert.That(video.TemporalMode, Is.True);
        Assert.That(Enumerable.Range(0, 3).Select(video.TemporalLayersAt), Is.EqualTo(new[] { 0, 1, 0 }));
        Assert.That(video.InnerConfig!.TemporalLayersAt(0), Is.EqualTo(0));
    }

    [TestCase("unet_a")]
    [TestCase("unet_b")]
    [TestCase("unet_c")]
    [TestCase("nested_2")]
    [TestCase("nested_3")]
    [TestCase("temporal_2")]
    public void RecordedNetworksAreValidAndSurviveSaving(string name)
    {
        ProgramConfig c = Golden(name + ".yaml");
        Assert.DoesNotThrow(() => ConfigValidator.Validate(c.UnetConfig.WithTextWidth(c.LanguageModelDim)));
        Assert.That(_warnings, Is.Empty);
        string yaml = ConfigSaver.ToYaml(c);
        Assert.That(ConfigSaver.ToYaml(ConfigLoader.Parse(yaml, name, _warnings.Add)), Is.EqualTo(yaml));
    }

    // One row per recorded file: steps, schedule, prediction, loss target, signal scale, shifted, power.
    [TestCase("loss_64", 1000, ScheduleType.Deepfloyd, PredictionType.VPrediction, PredictionType.Ddpm, null, false, 1)]
    [TestCase("loss_256", 1000, ScheduleType.Deepfloyd, PredictionType.VPrediction, PredictionType.Ddpm, 1.0, true, 1)]
    [TestCase("loss_1024", 1000, ScheduleType.Deepfloyd, PredictionType.VPrediction, PredictionType.Ddpm, 1.0, true, 2)]
    [TestCase("loss_nested_single_noshift", 1000, ScheduleType.Deepfloyd, PredictionType.VPrediction, PredictionType.Ddpm, 1.0,
        false, 1)]
    [TestCase("loss_rescaled_tanh", 250, ScheduleType.Cosine, PredictionType.VPrediction, null, 2.0, false, 1)]
    [TestCase("loss_vdm", 32, ScheduleType.Ddpm, PredictionType.Ddpm, null, null, false, 1)]
    [TestCase("temporal_loss", 1000, ScheduleType.Deepfloyd, PredictionType.VPrediction, PredictionType.Ddpm, 1.0, true, 1)]
    public void RecordedDiffusionSettingsLoadToTheirValues(
        string name, int steps, ScheduleType schedule, PredictionType prediction, PredictionType? target, double? signal,
        bool shifted, double power)
    {
        SamplerConfig s = Golden(name + ".yaml").DiffusionConfig.SamplerConfig;
        Assert.That((s.NumDiffusionSteps, s.ScheduleType, s.PredictionType, s.LossTargetType), Is.EqualTo(
            (steps, schedule, prediction, target)));
        Assert.That((s.RescaleSignal, s.ScheduleShifted, s.ScheduleShiftedPower), Is.EqualTo((signal, shifted, power)));
        Assert.That((s.BetaStart, s.BetaEnd, s.RescaleSchedule, s.ThresholdFunction), Is.EqualTo(
            (1e-4, 0.02, 1.0, ThresholdType.Clip)));
        Assert.That(_warnings, Has.Count.EqualTo(1), "weights and model_config belong to the recording");
        Assert.That(_warnings[0], Does.Contain("weights (line 2), model_config (line 3)"));
    }

    [Test]
    public void RecordedLossWeightsLoadToTheirValues()
    {
        DiffusionConfig d256 = Golden("loss_256.yaml").DiffusionConfig, d1024 = Golden("loss_1024.yaml").DiffusionConfig;
        Assert.That((d256.UseDoubleLoss, d256.NoUseResidual, d256.UseVdmLossWeights), Is.EqualTo((true, true, false)));
        Assert.That(d256.MixedRatio, Is.EqualTo(new double[] { 2, 1 }));
        Assert.That(d1024.MultiResWeights, Is.EqualTo(new double[] { 16, 4, 1 }));
        Assert.That(Golden("loss_rescaled_tanh.yaml").DiffusionConfig.ModelOutputScale, Is.EqualTo(1.5));
        Assert.That(Golden("loss_vdm.yaml").DiffusionConfig.UseVdmLossWeights, Is.True);
    }

    [TestCase(64)]
    [TestCase(256)]
    [TestCase(1024)]
    public void ThePublishedModelsHaveTheRecordedLayers(int size)
    {
        ProgramConfig c = Model(size);
        Assert.That(_warnings, Is.Empty);
        ConfigValidator.Validate(c);
        UNetConfig outermost = c.UnetConfig.WithTextWidth(2048);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(GoldenFiles.Require($"keys_{size}.json")));
        Dictionary<string, int[]> recorded = json.RootElement.GetProperty("keys").EnumerateArray().ToDictionary(
            k => k[0].GetString()!, k => k[1].EnumerateArray().Select(n => n.GetInt32()).ToArray());
        Assert.That(outermost.Scales()[..^1], Is.EqualTo(
            json.RootElement.GetProperty("nest_ratio").EnumerateArray().Select(n => n.GetInt32())));

        string prefix = "";
        foreach (UNetConfig network in outermost.Chain())
        {
            AssertNetwork(network, prefix, recorded);
            prefix += "inner_unet.";
        }
    }

    [Test]
    public void ThePublishedModelsAreTrainedAsTheSpecificationSays()
    {
        ProgramConfig small = Model(64), middle = Model(256), large = Model(1024);
        Assert.That((small.BatchSize, small.Lr, small.WarmupSteps, small.UseAdamw, small.GradientClipNorm),
            Is.EqualTo((32, 5e-5, 10000, true, 2.0)));
        foreach (ProgramConfig c in new[] { small, middle, large })
        {
            SamplerConfig s = c.DiffusionConfig.SamplerConfig;
            Assert.That((s.NumDiffusionSteps, s.ScheduleType, s.PredictionType, s.LossTarget), Is.EqualTo(
                (1000, ScheduleType.Deepfloyd, PredictionType.VPrediction, PredictionType.Ddpm)));
            Assert.That(c.DiffusionConfig.UseVdmLossWeights, Is.False);
        }

        Assert.That(middle.DiffusionConfig.MixedRatio, Is.EqualTo(new double[] { 2, 1 }));
        Assert.That(middle.DiffusionConfig.SamplerConfig.RescaleSignal, Is.EqualTo(1));
        Assert.That(large.DiffusionConfig.MultiResWeights, Is.EqualTo(new double[] { 16, 4, 1 }));
        Assert.That(large.DiffusionConfig.SamplerConfig.ScheduleShiftedPower, Is.EqualTo(2));
        Assert.That((small.Fp16, middle.Fp16, large.Fp16), Is.EqualTo((false, false, true)));
        Assert.That(middle.UnetConfig.Chain().Select(c => c.SkipNormalization), Is.EqualTo(new[] { true, false }));
        Assert.That(large.UnetConfig.Chain().Select(c => c.SkipNormalization), Is.EqualTo(new[] { true, false, false }));
    }

    [Test]
    public void OdditiesOfPublishedFilesAreAccepted()
    {
        ProgramConfig c = ConfigLoader.Parse(
            """
            name: odd
            dataset_config: datasets/some.yaml
            metrics: fid
            model: nested_unet
            vision_model: nested_unet
            output-dir: out
            sample-dir: pictures
            mixed_ratio: '3:1'
            multi_res_weights: 5:1
            unet_config:
              resolution_channels: 32,32
              attention_levels: ''
              initialize_inner_with_pretrained: None
              inner_config:
                resolution_channels: '64'
                initialize_inner_with_pretrained: 0badc0ffee
            diffusion_config:
              sampler_config: {num_diffusion_steps: 10, predict_variances: true}
              no_use_residual: false
            diffusion_config:
              sampler_config:
                loss_target_type: HA_STYLE
                prediction_type: V_PREDICTION
              no_use_residual: true
            reader_config: {max_token_length: 8, max_token_length: 9, use_tokenizer_scores: false, prepad_bos: true}
            """, "odd.yaml", _warnings.Add);

        Assert.That((c.OutputDir, c.SampleDir), Is.EqualTo(("out", "pictures")));
        Assert.That(c.DiffusionConfig.MixedRatio, Is.EqualTo(new double[] { 3, 1 }));
        Assert.That(c.DiffusionConfig.MultiResWeights, Is.EqualTo(new double[] { 5, 1 }));
        Assert.That(c.DiffusionConfig.SamplerConfig.NumDiffusionSteps, Is.EqualTo(32), "the later section replaces the earlier");
        Assert.That(c.DiffusionConfig.SamplerConfig.LossTarget, Is.EqualTo(PredictionType.Ddpm));
        Assert.That(c.DiffusionConfig.NoUseResidual, Is.True);
        Assert.That(c.UnetConfig.AttentionLevels, Is.Empty);
        Assert.That(c.UnetConfig.Chain().Select(u => u.InitializeInnerWithPretrained), Is.EqualTo(new string?[] { null, null }));
        Assert.That((c.ReaderConfig.MaxTokenLength, c.ReaderConfig.UseTokenizerScores, c.ReaderConfig.PrepadBos),
            Is.EqualTo((9, false, true)));
        Assert.That(_warnings, Is.EquivalentTo(new[]
        {
            "odd.yaml: diffusion_config is given 2 times (lines 17, 20); the one on line 20 is used",
            "diffusion_config.sampler_config.loss_target_type: HA_STYLE is an old name of DDPM",
            "odd.yaml: max_token_length is given 2 times (lines 25, 25); the one on line 25 is used",
            "odd.yaml, line 8: mixed_ratio at the top level is applied as diffusion_config.mixed_ratio",
            "odd.yaml, line 9: multi_res_weights at the top level is applied as diffusion_config.multi_res_weights",
            "odd.yaml: skipped keys that mean nothing here: name (line 1), dataset_config (line 2), metrics (line 3)",
            "initialize_inner_with_pretrained: there is no file 0badc0ffee; the inner network starts from scratch",
        }));
    }

    [Test]
    public void TheModelMayBeNamedInTwoWays()
    {
        Assert.That(ConfigLoader.Parse("vision_model: nested2_unet", "f", _warnings.Add).UnetConfig.Nestings, Is.EqualTo(2));
        Assert.That(_warnings, Is.Empty);
        Assert.That(ConfigLoader.Parse("vision_model: nested_unet\nmodel: unet", "f", _warnings.Add).Model, Is.EqualTo("unet"));
        Assert.That(_warnings.Single(), Does.Contain("vision_model nested_unet differs from model unet"));
        Assert.That(ConfigLoader.Load(null, ["--vision-model=nested_unet"], _warnings.Add).UnetConfig.Nestings, Is.EqualTo(1));
    }

    [Test]
    public void LegacyOptionsAreSkippedWithTheirValues()
    {
        ProgramConfig c = ConfigLoader.Load(null, ["--local-rank", "0", "--eval-freq=5", "--batch-size", "3"], _warnings.Add);
        Assert.That(c.BatchSize, Is.EqualTo(3));
        Assert.That(_warnings, Has.Count.EqualTo(2));
    }

    private static void AssertNetwork(UNetConfig network, string prefix, Dictionary<string, int[]> recorded)
    {
        Assert.That(recorded[prefix + "temb_layer1.weight"][0], Is.EqualTo(network.TemporalWidth));
        Assert.That(recorded.ContainsKey(prefix + "lm_proj.weight"), Is.EqualTo(network.InnerConfig == null));
        Assert.That(recorded.ContainsKey(prefix + "cond_emb.weight"), Is.EqualTo(!network.SkipCondEmb), prefix);
        Assert.That(recorded.ContainsKey(prefix + "mid_blocks.0.resnets.0.conv1.weight"), Is.EqualTo(!network.SkipMidBlocks));
        Assert.That(recorded.Keys.Count(k => k.StartsWith(prefix + "cond_layers.", StringComparison.Ordinal)),
            Is.EqualTo(4 * network.MicroConditions().Count));
        for (int level = 0; level < network.Levels; level++)
        {
            string down = $"{prefix}down_blocks.{level}.", up = $"{prefix}up_blocks.{network.Levels - 1 - level}.";
            int resnets = network.ResnetsAt(level), attention = network.AttentionLayersAt(level);
            Assert.That(Count(down, "resnets."), Is.EqualTo(resnets), down);
            Assert.That(Count(up, "resnets."), Is.EqualTo(resnets + 1), up);
            Assert.That(Count(down, "attn."), Is.EqualTo(resnets * attention), down);
            Assert.That(Count(up, "attn."), Is.EqualTo((resnets + 1) * attention), up);
            Assert.That(recorded[$"{down}resnets.0.conv1.weight"][0], Is.EqualTo(network.ResolutionChannels[level]));
            if (attention > 0)
                Assert.That(recorded.ContainsKey($"{down}attn.0.ffn.1.weight"),
                    Is.EqualTo(network.ResnetConfig.UseAttentionFfn));
        }

        Assert.That(recorded.ContainsKey($"{prefix}down_blocks.{network.Levels}.resnets.0.conv1.weight"), Is.False);

        int Count(string block, string kind) => recorded.Keys
            .Where(k => k.StartsWith(block + kind, StringComparison.Ordinal))
            .Select(k => k[(block.Length + kind.Length)..].Split('.')[0]).Distinct().Count();
    }

    private ProgramConfig Model(int size) =>
        ConfigLoader.Load(Path.Combine(GoldenFiles.Root, "configs", "models", $"cc12m_{size}x{size}.yaml"), [], _warnings.Add);

    private ProgramConfig Golden(string name) => ConfigLoader.Load(GoldenFiles.Require(name), [], _warnings.Add);
}
