using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Diffusion;

/// <summary>What pictures are wanted and how they are drawn.</summary>
public sealed record SamplingRequest
{
    /// <summary>Pictures.</summary>
    public required int Batch { get; init; }

    /// <summary>Of the highest resolution.</summary>
    public required int Height { get; init; }

    public required int Width { get; init; }

    /// <summary>The prompts; null for an unconditional network.</summary>
    public TextFeatures? Text { get; init; }

    /// <summary>What guidance leads away from (the empty or a negative prompt), shaped like <see cref="Text"/>. Needed only where
    /// <see cref="Guidance"/> is not 1.</summary>
    public TextFeatures? NegativeText { get; init; }

    /// <summary>Micro-conditions by name, [B] each; a missing one has its default.</summary>
    public IReadOnlyDictionary<string, Tensor> Micros { get; init; } = new Dictionary<string, Tensor>();

    /// <summary>Sampling steps; null: all diffusion steps.</summary>
    public int? Steps { get; init; }

    /// <summary>Null: as <see cref="Eta"/> says.</summary>
    public SamplerKind? Sampler { get; init; }

    /// <summary>The share of ancestral noise that DDIM adds, 0: none. Null: none with DDIM; where no sampler is named, ancestral
    /// sampling.</summary>
    public double? Eta { get; init; }

    /// <summary>w in u + w·(c - u), the predictions without and with the prompt.</summary>
    public double Guidance { get; init; } = 1;

    /// <summary>How w changes over the steps.</summary>
    public GuidanceSchedule GuidanceSchedule { get; init; } = GuidanceSchedule.Constant;

    /// <summary>What to start from; null: noise.</summary>
    public StartingPicture? Start { get; init; }

    /// <summary>Null: as configured.</summary>
    public ThresholdType? Threshold { get; init; }

    /// <summary>Refuses what no network can draw, or this one cannot.</summary>
    internal void RequireFit(int textWidth)
    {
        if (Batch < 1)
            throw new MdmException($"a batch of {Batch} pictures, expected 1 or more");
        _ = SamplerKinds.Resolve(Sampler, Eta);
        if (!double.IsFinite(Guidance))
            throw new MdmException($"cfg_weight is {Guidance}, expected a finite number");
        if (textWidth > 0 && Text == null)
            throw new MdmException("the network draws what a text says, but no text features were given");
        if (Guidance != 1 && (Text == null || NegativeText == null))
        {
            throw new MdmException(textWidth > 0
                ? $"cfg_weight {Guidance} needs the features of an empty or negative prompt"
                : $"cfg_weight is {Guidance}, expected 1: the network was trained without text");
        }
    }

    /// <summary>Refuses starting pictures that do not fit.</summary>
    internal void RequireStart(Shape shape)
    {
        if (Start is not { } start)
            return;
        if (start.Strength is not (> 0 and <= 1))
            throw new MdmException($"--strength is {start.Strength}, expected above 0 and up to 1");
        if (start.Images.Shape != shape)
            throw new MdmException($"the init images have the shape {start.Images.Shape}, expected {shape}");
        if (start.Mask is { } mask && mask.Shape != shape)
            throw new MdmException($"the masks have the shape {mask.Shape}, expected {shape}");
    }
}
