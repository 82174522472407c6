using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Networks;

/// <summary>A whole network: a plain U-Net or one nested to any depth, with its parameters. Images, text features and
/// predictions are float32; inside, activations have <see cref="ParameterStore.ComputeType"/>.</summary>
public sealed class DenoisingNetwork : Module<NetworkInput, NetworkOutput>, IDisposable
{
    private readonly UNet _unet;

    internal DenoisingNetwork(ParameterStore store, UNetConfig config)
        : base(new ModuleContext(store))
    {
        Store = store;
        Config = config;
        NestRatios = config.Scales();
        _unet = new UNet(new ModuleContext(store), config);
        FreezeInner();
    }

    public ParameterStore Store { get; }

    /// <summary>The configuration, the text width filled in.</summary>
    public UNetConfig Config { get; }

    /// <summary>Size of each level's image over the lowest one's, highest first: [16, 4, 1] for 1024 over 256 over 64.</summary>
    public IReadOnlyList<int> NestRatios { get; }

    /// <summary>Width of the language model's features; 0 for an unconditional network.</summary>
    public int TextWidth => Math.Max(0, Config.ConditioningFeatureDim);

    /// <summary>Computes blocks again in the backward pass instead of keeping their insides.</summary>
    public bool GradientCheckpointing
    {
        get => _unet.Recompute;
        set => _unet.Recompute = value;
    }

    /// <summary>All that follows from the text alone, keys and values of every attention included: the same at all times, so that
    /// sampling needs it once.</summary>
    /// <param name="text">Null for an unconditional network, which gives null.</param>
    /// <exception cref="MdmException">The features have another width than the network's.</exception>
    public EncodedText? Prepare(TextFeatures? text)
    {
        EncodedText? encoded = Encode(text);
        return encoded == null ? null : encoded with
        {
            KeysValues = _unet.TextReaders.ToDictionary(reader => reader.Path, reader => reader.KeysAndValues(encoded.Tokens)),
        };
    }

    protected override NetworkOutput Forward(NetworkInput input)
    {
        if (input.Images.Count != NestRatios.Count)
            throw new ArgumentException($"{input.Images.Count} images for a network of {NestRatios.Count} resolutions");
        EncodedText? text = input.Prepared ?? Encode(input.Text);
        Tensor[] images = [.. input.Images.Select(image => Op.Cast(image, Store.ComputeType))];
        LevelOutput output = _unet.Call(new LevelInput(images, input.Times, text, input.Micros, null));
        return new NetworkOutput([.. output.Predictions.Select(prediction => Op.Cast(prediction, DType.Float32))]);
    }

    public void Dispose() => Store.Dispose();

    private EncodedText? Encode(TextFeatures? text)
    {
        if (TextWidth == 0)
            return null;
        if (text == null)
            throw new ArgumentException($"the network expects text features of width {TextWidth}");
        if (text.Values.Shape[-1] != TextWidth)
            throw new MdmException($"the text features have width {text.Values.Shape[-1]}, the network expects {TextWidth}");
        return _unet.EncodeText(text with { Values = Op.Cast(text.Values, Store.ComputeType) });
    }

    // Each network says whether what is nested in it is trained.
    private void FreezeInner()
    {
        string inner = "inner_unet.";
        foreach (UNetConfig level in Config.Chain())
        {
            if (level.FreezeInnerUnet)
                foreach (Parameter parameter in Store.Parameters.Where(p => p.Name.StartsWith(inner, StringComparison.Ordinal)))
                    parameter.Frozen = true;
            inner += "inner_unet.";
        }
    }
}

public static class NetworkBuilder
{
    /// <summary>Builds a network without giving its parameters memory (see <see cref="ParameterStore.Place"/>).</summary>
    /// <param name="config">Left as it is.</param>
    /// <param name="textWidth">Width of the language model's features; 0 for an unconditional network.</param>
    /// <exception cref="MdmException">The configuration cannot be built: which module, what it found and expected.</exception>
    public static DenoisingNetwork Build(UNetConfig config, int textWidth) =>
        new(new ParameterStore(), config.WithTextWidth(textWidth));
}
