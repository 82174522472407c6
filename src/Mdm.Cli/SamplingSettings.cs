using System.Security.Cryptography;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Sampling;

namespace Mdm.Cli;

/// <summary>From a configuration and options to what a sampling job is told.</summary>
internal static class SamplingSettings
{
    private const int RandomSeeds = 1 << 30;
    private const double UsualStrength = 0.6;

    public static SamplingOptions From(ProgramConfig config)
    {
        if (!double.IsFinite(config.CfgWeight))
            throw new MdmException($"cfg_weight is {config.CfgWeight}, expected a finite number");
        int size = config.ResolvedSampleSize;
        if (size <= 0)
            throw new MdmException("the size of the pictures is not known: give --sample-image-size");
        return new SamplingOptions
        {
            Folder = config.SampleDir,
            Seed = config.Seed >= 0 ? (ulong)config.Seed : (ulong)RandomNumberGenerator.GetInt32(RandomSeeds),
            Batch = config.BatchSize,
            Size = size,
            Guidance = config.CfgWeight,
            Steps = config.NumInferenceSteps,
            Eta = config.DdimEta,
            NegativePrompt = config.NegativePrompt,
            Levels = config.OutputInner,
        };
    }

    /// <summary>The same with the options of 'mdm sample'.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="options">The options.</param>
    /// <param name="etaGiven">Whether the eta was given on the command line: one that only the configuration has gives way to a
    /// sampler without.</param>
    public static SamplingOptions From(ProgramConfig config, SampleOptions options, bool etaGiven)
    {
        SamplingOptions settings = From(config);
        SamplerKind? sampler = options.Sampler.Length == 0 ? null : SamplerKinds.Parse(options.Sampler);
        bool dropped = sampler is not (null or SamplerKind.Ddim) && !etaGiven;
        settings = settings with
        {
            Sampler = sampler,
            Eta = dropped ? null : settings.Eta,
            GuidanceSchedule = options.GuidanceSchedule.Length == 0
                ? GuidanceSchedule.Constant
                : GuidanceSchedule.Parse(options.GuidanceSchedule),
            Threshold = Threshold(options.Threshold),
            Noise = Noise(options.Noise),
            Style = options.Style.Length == 0 ? null : PromptStyles.Find(options.Style),
            Start = Start(options, settings.Size, config.UnetConfig.GridSide),
            Animation = options.Animation,
            Resume = options.Resume,
        };
        _ = SamplerKinds.Resolve(settings.Sampler, settings.Eta);
        if (options.Resume && config.Seed < 0)
            throw new MdmException("--resume: no --seed is given, expected that of the job to go on with");
        return settings;
    }

    public static ThresholdType? Threshold(string name)
    {
        if (name.Length == 0)
            return null;
        return Enum.TryParse(name.Replace("_", ""), ignoreCase: true, out ThresholdType type) && Enum.IsDefined(type)
            ? type
            : throw new MdmException($"--threshold: found '{name}', expected NONE, CLIP, DYNAMIC or DYNAMIC_IF");
    }

    private static NoiseKind Noise(string name)
    {
        if (name.Length == 0)
            return NoiseKind.Philox;
        return Enum.TryParse(name, ignoreCase: true, out NoiseKind kind) && Enum.IsDefined(kind)
            ? kind
            : throw new MdmException($"--noise: found '{name}', expected philox or torch");
    }

    private static InitPicture? Start(SampleOptions options, int size, int gridSide)
    {
        bool masked = options.Mask.Length > 0;
        if (options.InitImage.Length > 0)
        {
            return InitPicture.Read(
                options.InitImage, options.Mask, options.Strength ?? (masked ? 1 : UsualStrength), size, gridSide);
        }

        if (masked)
            throw new MdmException("--mask is given without --init-image, expected the picture that it belongs to");
        if (options.Strength != null)
            throw new MdmException("--strength is given without --init-image, expected the picture to start from");
        return null;
    }
}
