using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Tests.Configuration;

/// <summary>What cannot work is found before anything is built, in one line.</summary>
public sealed class ConfigValidatorTests
{
    private const string Nested = "diffusion_config: {no_use_residual: true}\nunet_config:\n"
        + "  resolution_channels: [32, 32]\n  attention_levels: []\n"
        + "  inner_config: {resolution_channels: [32], attention_levels: [0]}\n";

    private const string Inner = "inner_config: {resolution_channels: [32], attention_levels: [], temporal_dim: 64}";

    [TestCase("resolution_channels: [48, 96], attention_levels: []",
        "down_blocks.0.resnets.0.norm1: 48 channels are not divisible by 32 groups")]
    [TestCase("resolution_channels: [32, 64, 80], attention_levels: []",
        "down_blocks.2.resnets.0.norm2: 80 channels are not divisible by 32 groups")]
    [TestCase("resolution_channels: [48, 48], attention_levels: [1], skip_mid_blocks: true, "
        + "resnet_config: {num_groups_norm: 16}",
        "down_blocks.1.attn.0.norm: 48 channels are not divisible by 32 groups")]
    [TestCase("resolution_channels: [32, 48], attention_levels: [], resnet_config: {num_groups_norm: 16}",
        "mid_blocks.0.attn.0.norm: 48 channels are not divisible by 32 groups")]
    [TestCase("resolution_channels: [64, 32], num_resnets_per_resolution: [1, 2, 3]",
        "unet_config.num_resnets_per_resolution: found 3 entries, expected 1 or 2, one per level of resolution_channels")]
    [TestCase("resolution_channels: [64, 32], num_attention_layers: []",
        "unet_config.num_attention_layers: found 0 entries, expected 1 or 2, one per level of resolution_channels")]
    [TestCase("resolution_channels: []", "unet_config.resolution_channels: found an empty list, expected at least one level")]
    [TestCase("resolution_channels: [32], attention_levels: [1]",
        "unet_config.attention_levels: found 1, expected levels from 0 to 0")]
    [TestCase("temporal_dim: 36", "unet_config.temporal_dim: found 36, expected a multiple of 8")]
    [TestCase("skip_inner_unet_input: true", "unet_config.skip_inner_unet_input: found true, expected false (not supported)")]
    [TestCase("micro_conditioning: scale",
        "unet_config.micro_conditioning: found 'scale', expected name:number such as scale:64")]
    [TestCase("micro_conditioning: 'a:1,a:2'", "unet_config.micro_conditioning: found a twice, expected different names")]
    [TestCase("micro_conditioning: 'scale:0'", "unet_config.micro_conditioning: found scale:0, expected more than 0")]
    [TestCase("conditioning_feature_dim: 20, num_lm_head_layers: 1",
        "unet_config.num_lm_head_layers: text features of width 20 are not divisible by 8 heads")]
    [TestCase("resolution_channels: [32], resnet_config: {num_groups_norm: 64}",
        "down_blocks.0.resnets.0.norm1: 32 channels are not divisible by 64 groups")]
    [TestCase("resolution_channels: [40, 60], attention_levels: [], skip_mid_blocks: true, resnet_config: {num_groups_norm: 20}",
        null)]
    [TestCase("resolution_channels: [16, 16, 16], attention_levels: [], temporal_mode: true, temporal_dim: 64, "
        + "num_temporal_attention_layers: [0, 1, 0], resnet_config: {num_groups_norm: 8}, " + Inner,
        "down_blocks.1.t_attn.0: 16 channels are not divisible by 32, the channels of one head")]
    [TestCase("resolution_channels: [32, 32], attention_levels: [], temporal_mode: true, temporal_dim: 64, " + Inner,
        "unet_config.resolution_channels: found 2 levels, expected an odd number with temporal_mode: each but the last halves the "
        + "frames, and they are a square grid")]
    [TestCase("resolution_channels: [32, 32, 32], temporal_mode: true",
        "unet_config.temporal_mode: found true, expected false in the innermost network: only a network around another one sees "
        + "frames")]
    [TestCase("resolution_channels: [32], attention_levels: [], temporal_dim: 64, inner_config: {resolution_channels: [32], "
        + "attention_levels: [], temporal_dim: 64, temporal_mode: true}",
        "unet_config.inner_config.temporal_mode: found true, expected false in the innermost network: only a network around "
        + "another one sees frames")]
    [TestCase("resolution_channels: [32, 32, 32], attention_levels: [], temporal_mode: true, temporal_spatial_ds: true, "
        + "temporal_dim: 64, num_temporal_attention_layers: [0, 2, 0], " + Inner,
        "unet_config.num_temporal_attention_layers: found 2, expected 0 with temporal_spatial_ds, which has no attention over "
        + "frames")]
    [TestCase("resolution_channels: [32, 32, 32], attention_levels: [], temporal_mode: true, temporal_dim: 64, "
        + "num_temporal_attention_layers: [1, 1], " + Inner,
        "unet_config.num_temporal_attention_layers: found 2 entries, expected 1 or 3, one per level of resolution_channels")]
    [TestCase("resolution_channels: [32, 32, 32], attention_levels: [], temporal_mode: true, temporal_dim: 64, " + Inner + "}\n"
        + "reader_config: {image_size: 18",
        "reader_config.image_size: found 18, expected a multiple of 4, by which the networks reduce it")]
    public void NetworksThatCannotBeBuiltAreRefused(string fields, string? message) =>
        AssertFirst($"unet_config: {{{fields}}}", message);

    [TestCase("  temporal_dim: 64",
        "unet_config.inner_config.temporal_dim: found 128, expected 64 as in the network around it")]
    [TestCase("  resnet_config: {num_groups_norm: 12}",
        "down_blocks.0.resnets.0.norm1: 32 channels are not divisible by 12 groups")]
    [TestCase("model: nested2_unet",
        "model: found 'nested2_unet', expected 'nested_unet', since unet_config nests 1 networks")]
    [TestCase("  conditioning_feature_proj_dim: 16", null)]
    [TestCase("reader_config: {padding_token: '[PAD]'}",
        "reader_config.padding_token: found '[PAD]', expected '<pad>' (no other is supported)")]
    [TestCase("reader_config: {image_size: 15}",
        "reader_config.image_size: found 15, expected a multiple of 2, by which the networks reduce it")]
    [TestCase("mixed_ratio: 4:2:1", "diffusion_config.mixed_ratio: found 3 shares, expected 2, one per network")]
    [TestCase("mixed_ratio: 0:1", "diffusion_config.mixed_ratio: found 0 as the highest level's share, expected more than 0")]
    [TestCase("multi_res_weights: 4", "diffusion_config.multi_res_weights: found 1 weights, expected 2, one per network")]
    [TestCase("model_output_scale: 2", "diffusion_config.model_output_scale: found 2, expected 0 for a nested network")]
    [TestCase("  num_resnets_per_resolution: [1, 1, 1]",
        "unet_config.num_resnets_per_resolution: found 3 entries, expected 1 or 2, one per level of resolution_channels")]
    [TestCase("device: abacus", "device: found 'abacus', expected auto, cpu, cuda or cuda:N")]
    [TestCase("", null)]
    public void NestedRunsThatCannotWorkAreRefused(string line, string? message) => AssertFirst(Nested + line, message);

    [Test]
    public void AnEmptyNetworkAroundAnotherIsNamed() =>
        AssertFirst(Nested.Replace("resolution_channels: [32, 32]", "resolution_channels: []", StringComparison.Ordinal),
            "unet_config.resolution_channels: found an empty list, expected at least one level");

    [Test]
    public void AttentionOfAnOuterNetworkReadsTheInnermostOnesProjection() =>
        AssertFirst(Nested.Replace("attention_levels: []", "attention_levels: [1], conditioning_feature_proj_dim: 16"
            .Replace(", ", "\n  ", StringComparison.Ordinal), StringComparison.Ordinal),
            "unet_config.conditioning_feature_proj_dim: found 16, expected -1 as in the innermost network, which projects the text "
            + "for all");

    [Test]
    public void InnerModulesAreNamedAsInCheckpoints() =>
        AssertFirst(Nested.Replace("[32], attention_levels: [0]", "[36], temporal_dim: 128", StringComparison.Ordinal),
            "inner_unet.down_blocks.0.resnets.0.norm1: 36 channels are not divisible by 32 groups");

    [Test]
    public void TheResidualPathIsRefusedForNestedNetworks() =>
        AssertFirst(Nested.Replace("{no_use_residual: true}", "{}", StringComparison.Ordinal),
            "diffusion_config.no_use_residual: found false, expected true for a nested network (predicting the residual of the "
            + "lower level never worked)");

    [TestCase("num_inference_steps: 40", "num_inference_steps: found 40, expected at most num_diffusion_steps 32")]
    [TestCase("sample_image_size: 24",
        "sample_image_size: found 24, expected a multiple of 16, by which the networks reduce it")]
    [TestCase("categorical_conditioning: 1",
        "categorical_conditioning: found true, expected false (text_model words serves class names)")]
    [TestCase("reader_config: {pad_to_max_length: true}",
        "reader_config.max_token_length: found -1, expected at least 1 with pad_to_max_length")]
    [TestCase("diffusion_config: {mid_downsample: true}",
        "diffusion_config.mid_downsample: found true, expected false (not supported)")]
    [TestCase("diffusion_config: {sampler_config: {schedule_type: SIGMOID, rescale_schedule: 4}}", null)]
    [TestCase("reader_config: {image_size: 64, smaller_side_size: 72}", null)]
    public void PlainRuns(string line, string? message) => AssertFirst(line, message);

    [Test]
    public void ValuesSetInCodeAreCheckedToo()
    {
        Assert.That(Fault(c => c.UnetConfig.ResolutionChannels = [64, -1]),
            Is.EqualTo("unet_config.resolution_channels: expected at least 1, found -1"));
        Assert.That(Fault(c => c.CfgWeight = double.NaN), Is.EqualTo("cfg_weight: expected a finite number, found .nan"));
        Assert.That(Fault(c => c.DiffusionConfig.SamplerConfig.ScheduleShiftedPower = 1000),
            Is.EqualTo("diffusion_config.sampler_config.schedule_shifted_power: expected at most 4, found 1000"));
        Assert.That(Fault(c => c.CondDropProb = 1.5), Is.EqualTo("cond_drop_prob: expected at most 1, found 1.5"));
        Assert.That(Fault(c => c.DiffusionConfig.SamplerConfig.NumDiffusionSteps = -3),
            Is.EqualTo("diffusion_config.sampler_config.num_diffusion_steps: expected at least 1, found -3"));
        Assert.That(Fault(c => c.OutputDir = null!), Is.EqualTo("output_dir: expected text, found nothing"));
        Assert.That(Fault(c => c.UnetConfig.ResolutionChannels = [.. Enumerable.Repeat(32, 40)]),
            Is.EqualTo("unet_config: the networks halve the image 39 times, expected at most 16"));
        Assert.That(Fault(c => Enumerable.Range(0, 9).Aggregate(c.UnetConfig, (u, _) => u.InnerConfig = new UNetConfig())),
            Is.EqualTo("unet_config: found 9 nested networks, expected at most 4"));
    }

    [Test]
    public void SizesAreCheckedAgainstAllNetworks()
    {
        UNetConfig nested = ConfigLoader.Parse(Nested, "f", _ => { }).UnetConfig;
        Assert.DoesNotThrow(() => ConfigValidator.ValidateSize(nested, 6, "height"));
        Assert.That(Assert.Throws<MdmException>(() => ConfigValidator.ValidateSize(nested, 7, "height"))!.Message,
            Does.StartWith("height: found 7, expected a multiple of 2"));
        Assert.Throws<MdmException>(() => ConfigValidator.ValidateSize(nested, 0, "height"));
    }

    private static string Fault(Action<ProgramConfig> change)
    {
        var config = new ProgramConfig();
        change(config);
        return Assert.Throws<MdmException>(() => ConfigValidator.Validate(config))!.Message;
    }

    private static void AssertFirst(string yaml, string? message) =>
        Assert.That(ConfigValidator.Findings(ConfigLoader.Parse(yaml, "f", _ => { })).FirstOrDefault(), Is.EqualTo(message));
}
