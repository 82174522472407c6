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

    /// <summary>Null: ancestral sampling; otherwise DDIM with this share of its noise, 0: none.</summary>
    public double? Eta { get; init; }

    /// <summary>w in u + w·(c - u), the predictions without and with the prompt.</summary>
    public double Guidance { get; init; } = 1;

    /// <summary>Null: as configured.</summary>
    public ThresholdType? Threshold { get; init; }
}
