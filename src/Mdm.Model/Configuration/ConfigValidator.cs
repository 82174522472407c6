using Mdm.Kernels;
using Mdm.Model.Text;
using Mdm.Tensors;

namespace Mdm.Model.Configuration;

/// <summary>Finds what cannot work in a configuration before anything is built from it. Every finding is one line: the path,
/// the value found, the value expected.</summary>
public static class ConfigValidator
{
    /// <summary>Checks a whole run.</summary>
    /// <exception cref="MdmException">The first finding.</exception>
    public static void Validate(ProgramConfig config)
    {
        if (Findings(config).FirstOrDefault() is { } finding)
            throw new MdmException(finding);
    }

    /// <summary>Checks a network and those nested in it.</summary>
    /// <exception cref="MdmException">The first finding.</exception>
    public static void Validate(UNetConfig config)
    {
        if (SingleValues(config, "unet_config.").Concat(NetworkValidator.Findings(config)).FirstOrDefault() is { } finding)
            throw new MdmException(finding);
    }

    /// <summary>Checks that images of a size go through a network and those nested in it.</summary>
    /// <param name="config">The outermost network.</param>
    /// <param name="size">Height or width of its images in pixels.</param>
    /// <param name="name">What the size is called in the message.</param>
    /// <exception cref="MdmException">The size cannot be halved as often as the networks do.</exception>
    public static void ValidateSize(UNetConfig config, int size, string name)
    {
        if (SizeFinding(config, size, name) is { } finding)
            throw new MdmException(finding);
    }

    /// <summary>Everything that is wrong, in the order of the settings; empty if all is well.</summary>
    public static IEnumerable<string> Findings(ProgramConfig config)
    {
        string[] single = [.. SingleValues(config, "")];
        if (single.Length > 0)
            return single;
        // What comes last takes the networks to be sound, as these take their single values to be.
        string[] networks = [.. NetworkValidator.Findings(config.UnetConfig)];
        return networks.Length > 0 ? networks : RunFindings(config).Concat(DiffusionFindings(config));
    }

    private static IEnumerable<string> SingleValues(object section, string prefix) =>
        from setting in SettingsTable.Walk(section, prefix)
        let fault = setting.Field.Fault(setting.Value)
        where fault != null
        select $"{setting.Path}: {fault}";

    private static IEnumerable<string> RunFindings(ProgramConfig config)
    {
        if (config.Model != null && config.Model != config.UnetConfig.ModelName)
            yield return $"model: found '{SettingField.Shown(config.Model)}', expected '{config.UnetConfig.ModelName}', since unet_config nests "
                + $"{config.UnetConfig.Nestings} networks";
        if (!Devices.IsName(config.Device))
            yield return $"device: found '{SettingField.Shown(config.Device)}', expected {Devices.Names}";
        if (config.CategoricalConditioning)
            yield return "categorical_conditioning: found true, expected false (text_model words serves class names)";
        if (SizeFinding(config.UnetConfig, config.ReaderConfig.ImageSize, "reader_config.image_size") is { } reader)
            yield return reader;
        if (SizeFinding(config.UnetConfig, config.SampleImageSize, "sample_image_size") is { } sample)
            yield return sample;
        if (config.ReaderConfig is { SmallerSideSize: > 0 } r && r.SmallerSideSize < r.ImageSize)
            yield return $"reader_config.smaller_side_size: found {r.SmallerSideSize}, expected at least "
                + $"image_size {r.ImageSize}";
        if (config.ReaderConfig.PaddingToken != VocabTokenizer.PadToken)
            yield return $"reader_config.padding_token: found '{SettingField.Shown(config.ReaderConfig.PaddingToken)}', expected "
                + $"'{VocabTokenizer.PadToken}' (no other is supported)";
        if (config.ReaderConfig is { PadToMaxLength: true, MaxTokenLength: < 1 })
            yield return "reader_config.max_token_length: found "
                + $"{config.ReaderConfig.MaxTokenLength}, expected at least 1 with pad_to_max_length";
    }

    private static IEnumerable<string> DiffusionFindings(ProgramConfig config)
    {
        DiffusionConfig d = config.DiffusionConfig;
        int networks = config.UnetConfig.Nestings + 1;
        if (networks > 1 && !d.NoUseResidual)
            yield return "diffusion_config.no_use_residual: found false, expected true for a nested network (predicting the "
                + "residual of the lower level never worked)";
        if (networks > 1 && d.ModelOutputScale != 0)
            yield return $"diffusion_config.model_output_scale: found {d.ModelOutputScale}, expected 0 for a nested network";
        if (d.MultiResWeights is { } weights && weights.Length != networks)
            yield return $"diffusion_config.multi_res_weights: found {weights.Length} weights, expected {networks}, "
                + "one per network";
        if (d.MixedRatio is { } ratio && ratio.Length != networks)
            yield return $"diffusion_config.mixed_ratio: found {ratio.Length} shares, expected {networks}, one per network";
        else if (d.MixedRatio is { Length: > 0 } shares && shares[0] <= 0)
            yield return $"diffusion_config.mixed_ratio: found {shares[0]} as the highest level's share, expected more than 0";
        if (d.SamplerConfig.BetaStart > d.SamplerConfig.BetaEnd)
            yield return $"diffusion_config.sampler_config.beta_start: found {d.SamplerConfig.BetaStart}, expected at most "
                + $"beta_end {d.SamplerConfig.BetaEnd}";
        if (config.NumInferenceSteps > d.SamplerConfig.NumDiffusionSteps)
            yield return $"num_inference_steps: found {config.NumInferenceSteps}, expected at most num_diffusion_steps "
                + $"{d.SamplerConfig.NumDiffusionSteps}";
        foreach ((string name, bool on) in new[]
        {
            ("use_random_interp", d.UseRandomInterp), ("random_downsample", d.RandomDownsample),
            ("average_downsample", d.AverageDownsample), ("mid_downsample", d.MidDownsample),
        })
            if (on)
                yield return $"diffusion_config.{name}: found true, expected false (not supported)";
    }

    private static string? SizeFinding(UNetConfig config, int size, string name)
    {
        int factor = config.SizeFactor;
        return size == -1 || (size > 0 && size % factor == 0) ? null
            : $"{name}: found {size}, expected a multiple of {factor}, by which the networks reduce it";
    }
}
