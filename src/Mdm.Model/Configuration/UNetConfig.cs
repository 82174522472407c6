using Mdm.Kernels;

namespace Mdm.Model.Configuration;

/// <summary>Settings of the residual blocks of one U-Net.</summary>
public sealed class ResNetConfig
{
    [Setting("Filled in by the model", Min = -1)]
    public int NumChannels { get; set; } = -1;

    [Setting("Filled in by the model", Min = -1)]
    public int OutputChannels { get; set; } = -1;

    [Setting("Groups of the group norms in residual blocks and the output layer", Min = 1)]
    public int NumGroupsNorm { get; set; } = 32;

    [Setting("Share of the activations dropped in training", Min = 0, Max = 0.99)]
    public double Dropout { get; set; }

    [Setting("Adds a feed-forward part to every attention layer")]
    public bool UseAttentionFfn { get; set; }

    /// <summary>An independent copy.</summary>
    public ResNetConfig Clone() => (ResNetConfig)MemberwiseClone();
}

/// <summary>A scalar that the network is told beside the time, with the value used where a batch has none.</summary>
/// <param name="Name">Name of the value, such as <c>scale</c>.</param>
/// <param name="Default">The value where none is given.</param>
public readonly record struct MicroCondition(string Name, double Default);

/// <summary>Shape of one U-Net, and through <see cref="InnerConfig"/> of the networks nested in it. Building a network never
/// changes the object it is given.</summary>
public sealed class UNetConfig
{
    private const int LeastPickedSide = 4;

    // Unset until given, because the default depends on whether a network is nested inside.
    private bool? _skipMidBlocks;
    private bool? _skipCondEmb;

    [Setting("Channels of each level, highest resolution first", Min = 1, Max = 65536)]
    public int[] ResolutionChannels { get; set; } = [128, 256, 256, 512, 1024];

    [Setting("Residual blocks of each level; one number serves all levels", Min = 1, Max = 64)]
    public int[] NumResnetsPerResolution { get; set; } = [2];

    [Setting("Levels that have attention, counted from 0", Min = 0)]
    public int[] AttentionLevels { get; set; } = [2, 3];

    [Setting("Attention layers after each residual block of a level; one number serves all levels", Min = 0, Max = 64)]
    public int[] NumAttentionLayers { get; set; } = [1];

    [Setting("Attention layers over frames per level (temporal mode)", Min = 0, Max = 64)]
    public int[]? NumTemporalAttentionLayers { get; set; }

    [Setting("Width of the time embedding; none: 4 x the first level's channels", Min = 8, Max = 65536)]
    public int? TemporalDim { get; set; }

    [Setting("Width of the text features; the program sets it from the text model", Min = -1)]
    public int ConditioningFeatureDim { get; set; } = -1;

    [Setting("Width to which text features are projected; -1: not projected", Min = -1)]
    public int ConditioningFeatureProjDim { get; set; } = -1;

    [Setting("Trained self-attention blocks over the text features", Min = 0, Max = 64)]
    public int NumLmHeadLayers { get; set; }

    [Setting("Cross-attention leaves out padding tokens")]
    public bool MaskedCrossAttention { get; set; } = true;

    [Setting("No middle blocks; default true for a network that nests another")]
    public bool SkipMidBlocks
    {
        get => _skipMidBlocks ?? InnerConfig != null;
        set => _skipMidBlocks = value;
    }

    [Setting("The pooled text is not added to the time embedding; default true for a network that nests another")]
    public bool SkipCondEmb
    {
        get => _skipCondEmb ?? InnerConfig != null;
        set => _skipCondEmb = value;
    }

    [Setting("This network is nested in another one")]
    public bool Nesting { get; set; }

    [Setting("Scalars told to the network with their defaults, such as scale:64,watermark_score:0")]
    public string? MicroConditioning { get; set; }

    [Setting("The image is a grid of video frames")]
    public bool TemporalMode { get; set; }

    [Setting("Temporal mode resamples in space instead of time; the grid is that of the inner network")]
    public bool TemporalSpatialDs { get; set; }

    [Setting("Attention over frames uses rotary positions")]
    public bool TemporalPositionalEncoding { get; set; }

    /// <summary>Settings of the residual blocks.</summary>
    [Setting("Residual blocks")]
    public ResNetConfig ResnetConfig { get; set; } = new();

    [Setting("The inner network does not see its own image (not supported)")]
    public bool SkipInnerUnetInput { get; set; }

    [Setting("The image is not divided by its standard deviation before the first convolution")]
    public bool SkipNormalization { get; set; }

    [Setting("Checkpoint from which the inner network starts", Placeholder = "FILE")]
    public string? InitializeInnerWithPretrained { get; set; }

    [Setting("The inner network is not trained")]
    public bool FreezeInnerUnet { get; set; }

    [Setting("Creates interp_layer1/2, which the forward pass does not use")]
    public bool InterpConditioning { get; set; }

    /// <summary>The network in the middle of this one, at its lowest resolution; null for a plain U-Net.</summary>
    [Setting("The network nested in this one")]
    public UNetConfig? InnerConfig { get; set; }

    /// <summary>Number of resolutions of this network alone.</summary>
    public int Levels => ResolutionChannels.Length;

    /// <summary>Width of the time embedding, the default filled in.</summary>
    public int TemporalWidth => TemporalDim ?? 4 * ResolutionChannels[0];

    /// <summary>How many networks are nested in this one (0 for a plain U-Net).</summary>
    public int Nestings => InnerConfig == null ? 0 : 1 + InnerConfig.Nestings;

    /// <summary>The original's name of this kind of model: <c>unet</c>, <c>nested_unet</c>, <c>nested2_unet</c>, ...</summary>
    public string ModelName => NameOfModel(Nestings);

    /// <summary>Width of the text features after the projection, 0 where the network knows no text.</summary>
    public int ConditioningWidth =>
        ConditioningFeatureDim <= 0 ? 0 : ConditioningFeatureProjDim > 0 ? ConditioningFeatureProjDim : ConditioningFeatureDim;

    /// <summary>This network, then each nested one, highest resolution first.</summary>
    public IEnumerable<UNetConfig> Chain()
    {
        for (UNetConfig? c = this; c != null; c = c.InnerConfig)
            yield return c;
    }

    /// <summary>Residual blocks on the way down at a level (the way up has one more).</summary>
    public int ResnetsAt(int level) => At(NumResnetsPerResolution, level);

    /// <summary>Attention layers after each residual block of a level, 0 where the level has none.</summary>
    public int AttentionLayersAt(int level) => AttentionLevels.Contains(level) ? At(NumAttentionLayers, level) : 0;

    /// <summary>Attention layers over frames of a level, 0 where frames are not resampled.</summary>
    public int TemporalLayersAt(int level) =>
        ResamplesFrames && NumTemporalAttentionLayers is { Length: > 0 } layers ? At(layers, level) : 0;

    /// <summary>Whether levels halve the number of frames and not their size.</summary>
    public bool ResamplesFrames => TemporalMode && !TemporalSpatialDs;

    /// <summary>The image is a grid of that many by that many frames, 1 without temporal mode.</summary>
    public int GridSide => !TemporalMode ? 1 : Scales()[ResamplesFrames || InnerConfig == null ? 0 : 1];

    /// <summary>As <see cref="GridSide"/>, of the features at the lowest level.</summary>
    public int LowestGridSide => TemporalMode && InnerConfig != null ? Scales()[1] : 1;

    /// <summary>The image's side in frames as the loss sees it, which picks the frames for lower resolutions. As in the original,
    /// a picture has at least 4 x 4 frames there, even if the network sees blocks of 2 x 2 of them as one.</summary>
    public int PickedGridSide => Math.Max(LeastPickedSide, Chain().Max(c => c.GridSide));

    /// <summary>The number by which sides of images must be divisible.</summary>
    public int SizeFactor
    {
        get
        {
            UNetConfig[] chain = Chain().ToArray();
            int[] scales = Scales();
            // Attention over frames works on frames of half the size.
            bool halved = chain.Any(c => Enumerable.Range(0, c.Levels).Any(level => c.TemporalLayersAt(level) > 0));
            int factor = scales[0] << Math.Max(chain[^1].Levels - 1, halved ? 1 : 0);
            int first = Array.FindIndex(chain, c => c.ResamplesFrames);
            return first < 0 ? factor : Math.Max(factor, PickedGridSide * scales[0] / scales[first]);
        }
    }

    /// <summary>Size of each network's image over the innermost one's: [16, 4, 1] for 1024 over 256 over 64.</summary>
    public int[] Scales()
    {
        UNetConfig[] chain = Chain().ToArray();
        int[] scales = new int[chain.Length];
        scales[^1] = 1;
        for (int i = chain.Length - 2; i >= 0; i--)
            // Halving the frames twice halves the side of their grid once.
            scales[i] = scales[i + 1] << (chain[i].ResamplesFrames ? (chain[i].Levels - 1) / 2 : chain[i].Levels - 1);
        return scales;
    }

    /// <summary>The scalars of <see cref="MicroConditioning"/> in order.</summary>
    /// <exception cref="MdmException">An entry is not name:number.</exception>
    public IReadOnlyList<MicroCondition> MicroConditions()
    {
        var list = new List<MicroCondition>();
        foreach (string entry in (MicroConditioning ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] parts = entry.Split(':');
            if (parts.Length != 2 || parts[0].Trim().Length == 0 || !double.TryParse(parts[1], out double value)
                || !double.IsFinite(value))
                throw new MdmException($"micro_conditioning: found '{SettingField.Shown(entry.Trim())}', expected name:number such as scale:64");
            list.Add(new MicroCondition(parts[0].Trim(), value));
        }

        return list;
    }

    /// <summary>A copy that shares nothing with this object, nested networks included.</summary>
    public UNetConfig Clone()
    {
        var copy = (UNetConfig)MemberwiseClone();
        copy.ResolutionChannels = [.. ResolutionChannels];
        copy.NumResnetsPerResolution = [.. NumResnetsPerResolution];
        copy.AttentionLevels = [.. AttentionLevels];
        copy.NumAttentionLayers = [.. NumAttentionLayers];
        copy.NumTemporalAttentionLayers = NumTemporalAttentionLayers?.ToArray();
        copy.ResnetConfig = ResnetConfig.Clone();
        copy.InnerConfig = InnerConfig?.Clone();
        return copy;
    }

    /// <summary>As <see cref="Clone"/>, with the width of the language model's features written into the outermost network and
    /// every nested one, as the program does before it builds a network.</summary>
    /// <param name="width">Width of the text features; null or 0 for an unconditional network.</param>
    public UNetConfig WithTextWidth(int? width)
    {
        UNetConfig copy = Clone();
        foreach (UNetConfig network in copy.Chain())
            network.ConditioningFeatureDim = width is > 0 ? width.Value : -1;
        return copy;
    }

    /// <summary>The name of a model with that many nestings.</summary>
    public static string NameOfModel(int nestings) => nestings switch
    {
        0 => "unet",
        1 => "nested_unet",
        _ => $"nested{nestings}_unet",
    };

    private static int At(int[] list, int level) => list.Length == 1 ? list[0] : list[level];
}
