namespace Mdm.Model.Configuration;

/// <summary>How the signal level falls with time.</summary>
public enum ScheduleType
{
    Ddpm,
    Deepfloyd,
    Cosine,
    Sigmoid,
}

/// <summary>What a network predicts, or a loss compares: the noise (DDPM and DDIM are the same) or the velocity.</summary>
public enum PredictionType
{
    Ddpm,
    Ddim,
    VPrediction,
}

/// <summary>How a predicted image is kept in range while sampling.</summary>
public enum ThresholdType
{
    None,
    Clip,
    Dynamic,
    DynamicIf,
}

/// <summary>The noise schedule, what the network predicts, and thresholding (section <c>sampler_config</c>).</summary>
public sealed class SamplerConfig
{
    [Setting("Steps of the diffusion", Min = 1)]
    public int NumDiffusionSteps { get; set; } = 32;

    [Setting("Has no effect, as in the original")]
    public bool ReprojectSignal { get; set; }

    [Setting("Noise schedule")]
    public ScheduleType ScheduleType { get; set; } = ScheduleType.Ddpm;

    [Setting("What the network predicts")]
    public PredictionType PredictionType { get; set; } = PredictionType.Ddpm;

    [Setting("What the loss compares; none: the same as prediction_type")]
    public PredictionType? LossTargetType { get; set; }

    [Setting("First beta of the DDPM schedule", Min = 0, Max = 1)]
    public double BetaStart { get; set; } = 1e-4;

    [Setting("Last beta of the DDPM schedule", Min = 0, Max = 1)]
    public double BetaEnd { get; set; } = 0.02;

    [Setting("How predicted images are kept in range while sampling")]
    public ThresholdType ThresholdFunction { get; set; } = ThresholdType.Clip;

    [Setting("Shifts the whole schedule by this scale", Min = 1)]
    public double RescaleSchedule { get; set; } = 1;

    [Setting("Divides the plain U-Net's images by this number", Min = 1e-6)]
    public double? RescaleSignal { get; set; }

    [Setting("Shifts each nested level's schedule by the level's scale")]
    public bool ScheduleShifted { get; set; }

    [Setting("Power of the scale in that shift", Min = 0, Max = 4)]
    public double ScheduleShiftedPower { get; set; } = 1;

    /// <summary>What the loss compares, the default filled in.</summary>
    public PredictionType LossTarget => LossTargetType ?? PredictionType;

    /// <summary>An independent copy.</summary>
    public SamplerConfig Clone() => (SamplerConfig)MemberwiseClone();
}

/// <summary>The loss and its weights (section <c>diffusion_config</c>).</summary>
public sealed class DiffusionConfig
{
    /// <summary>The noise schedule and what the network predicts.</summary>
    [Setting("Noise schedule and prediction")]
    public SamplerConfig SamplerConfig { get; set; } = new();

    [Setting("s: predictions become s tanh(prediction/s), plain U-Net only; 0: off", Min = 0)]
    public double ModelOutputScale { get; set; }

    [Setting("Weighs the loss of each time as a variational bound does")]
    public bool UseVdmLossWeights { get; set; } = true;

    [Setting("Every level of a nested network counts in the loss, not only the highest")]
    public bool UseDoubleLoss { get; set; }

    [Setting("Weight of each level's loss, highest first, such as 16:4:1; none: all 1", Min = 0)]
    public double[]? MultiResWeights { get; set; }

    [Setting("Must be true for nested networks")]
    public bool NoUseResidual { get; set; }

    [Setting("Shares of the batch that reach each level, highest first, such as 2:1; none: all of it", Min = 0)]
    public double[]? MixedRatio { get; set; }

    [Setting("Not supported")]
    public bool UseRandomInterp { get; set; }

    [Setting("Not supported")]
    public bool RandomDownsample { get; set; }

    [Setting("Not supported")]
    public bool AverageDownsample { get; set; }

    [Setting("Not supported")]
    public bool MidDownsample { get; set; }

    /// <summary>An independent copy.</summary>
    public DiffusionConfig Clone()
    {
        var copy = (DiffusionConfig)MemberwiseClone();
        copy.SamplerConfig = SamplerConfig.Clone();
        copy.MultiResWeights = MultiResWeights?.ToArray();
        copy.MixedRatio = MixedRatio?.ToArray();
        return copy;
    }
}
