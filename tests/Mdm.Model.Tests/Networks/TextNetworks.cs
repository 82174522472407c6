using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Tests.Networks;

/// <summary>What <see cref="TextNetworks"/> has.</summary>
public enum TextNetwork
{
    /// <summary>One U-Net.</summary>
    Plain,

    /// <summary>Two resolutions, both with attention.</summary>
    Nested,

    /// <summary>The outer of two resolutions sees a grid of 2 x 2 frames.</summary>
    Frames,
}

/// <summary>The smallest networks whose attention reads a text, with random weights everywhere.</summary>
internal static class TextNetworks
{
    public const int TextWidth = 16, Channels = 32;

    /// <param name="device">Where it computes.</param>
    /// <param name="kind">Its structure.</param>
    /// <param name="masked">Whether padding is left out.</param>
    /// <param name="type">Of activations.</param>
    public static DenoisingNetwork Create(IDevice device, TextNetwork kind, bool masked = true, DType type = DType.Float32)
    {
        UNetConfig inner = Attentive([Channels], masked), config = inner;
        (inner.ConditioningFeatureProjDim, inner.NumLmHeadLayers) = (24, 1);
        if (kind == TextNetwork.Nested)
            config = Attentive([Channels, Channels], masked);
        if (kind == TextNetwork.Frames)
        {
            config = Attentive([Channels, Channels, Channels], masked);
            config.TemporalMode = true;
            config.AttentionLevels = [1];
            config.NumTemporalAttentionLayers = [0, 1, 0];
        }

        if (config != inner)
            config.InnerConfig = inner;
        DenoisingNetwork network = NetworkBuilder.Build(config, TextWidth);
        network.Store.Place(device, training: false, computeType: type);
        var random = new Random(3);
        foreach (Parameter parameter in network.Store.Parameters)
            network.Store.FromFileLayout(parameter, [.. Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ =>
                parameter.Shape.Rank == 1 ? 0.8f + 0.4f * random.NextSingle() : (2 * random.NextSingle() - 1) * 0.1f)]);
        return network;
    }

    /// <summary>Captions of up to 3 tokens; the second ends a token earlier.</summary>
    public static TextFeatures Text(IDevice device, ulong seed, int captions, bool mask = true) => new(
        new RandomStream(seed, 1).Normal(device, new Shape(captions, 3, TextWidth)),
        mask
            ? Tensor.From(device, [.. Enumerable.Range(0, 3 * captions).Select(i => i == 5 ? 0f : 1)], new Shape(captions, 3))
            : null);

    private static UNetConfig Attentive(int[] channels, bool masked) => new()
    {
        ResolutionChannels = channels,
        NumResnetsPerResolution = [1],
        AttentionLevels = [channels.Length - 1],
        TemporalDim = 16,
        SkipMidBlocks = true,
        MaskedCrossAttention = masked,
        ResnetConfig = new ResNetConfig { NumGroupsNorm = 8 },
    };
}
