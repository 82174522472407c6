using System.Security.Cryptography;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Sampling;

namespace Mdm.Cli;

/// <summary>From a configuration to what a sampling job is told.</summary>
internal static class SamplingSettings
{
    private const int RandomSeeds = 1 << 30;

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

    public static ThresholdType? Threshold(string name)
    {
        if (name.Length == 0)
            return null;
        return Enum.TryParse(name.Replace("_", ""), ignoreCase: true, out ThresholdType type) && Enum.IsDefined(type)
            ? type
            : throw new MdmException($"--threshold: found '{name}', expected NONE, CLIP, DYNAMIC or DYNAMIC_IF");
    }
}
