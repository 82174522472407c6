using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Networks;

/// <summary>
/// A U-Net with text and micro-conditioning, and with <see cref="UNetConfig.InnerConfig"/> a nested one: its middle is then
/// another network that denoises the next lower resolution (arXiv 2310.15111). In temporal mode the image is a grid of frames: the
/// frames lie in the batch here, and grids are what is exchanged with other networks. Parameters are named as in checkpoints.
/// </summary>
internal sealed class UNet : Module<LevelInput, LevelOutput>
{
    private const int ImageChannels = 3;

    private readonly UNetConfig _config;
    private readonly TimeEmbedding _embedding;
    private readonly Conv3x3 _convIn;
    private readonly GroupNorm _normOut;
    private readonly Conv3x3 _convOut;
    private readonly LevelBlock[] _downBlocks;
    private readonly LevelBlock[] _midBlocks;
    private readonly LevelBlock[] _upBlocks;
    private readonly TextEncoderHead? _text;
    private readonly UNet? _inner;
    private readonly Conv3x3? _inAdapter;
    private readonly Conv3x3? _outAdapter;
    private readonly int _gridSide;
    private readonly int _lowestGridSide;

    public UNet(ModuleContext context, UNetConfig config)
        : base(context)
    {
        _config = config;
        (_gridSide, _lowestGridSide) = (config.GridSide, config.LowestGridSide);
        int[] channels = config.ResolutionChannels;
        int groups = config.ResnetConfig.NumGroupsNorm, temporalDim = config.TemporalWidth;
        // Text is encoded once, by the innermost network: its width is everybody's.
        int textWidth = config.Chain().Last().ConditioningWidth;

        _embedding = new TimeEmbedding(context, config, out Linear? condEmb);
        _convIn = new Conv3x3(context / "conv_in", ImageChannels, channels[0]);
        _normOut = new GroupNorm(context / "norm_out", channels[0], groups);
        _convOut = new Conv3x3(context / "conv_out", channels[0], ImageChannels, zero: true);

        var skipChannels = new Stack<int>([channels[0]]);
        int width = channels[0];
        _downBlocks = new LevelBlock[channels.Length];
        for (int i = 0; i < channels.Length; i++)
        {
            var inputs = new List<int>();
            for (int j = 0; j < config.ResnetsAt(i); j++)
            {
                inputs.Add(width);
                width = channels[i];
                skipChannels.Push(width);
            }

            bool resample = i < channels.Length - 1;
            if (resample)
                skipChannels.Push(width);
            _downBlocks[i] = new LevelBlock(context / "down_blocks" / i, LevelBlock.Direction.Down, inputs, Options(i), resample);
        }

        _midBlocks = config.SkipMidBlocks
            ? []
            :
            [
                new LevelBlock(context / "mid_blocks" / 0, LevelBlock.Direction.Middle, [width],
                    Options(channels.Length - 1) with { AttentionLayers = 1, TemporalLayers = 0 }, resample: false),
                new LevelBlock(context / "mid_blocks" / 1, LevelBlock.Direction.Middle, [width],
                    Options(channels.Length - 1) with { AttentionLayers = 0, TemporalLayers = 0 }, resample: false),
            ];

        int deepest = width;
        _upBlocks = new LevelBlock[channels.Length];
        for (int k = 0; k < channels.Length; k++)
        {
            int i = channels.Length - 1 - k;
            var inputs = new List<int>();
            for (int j = 0; j <= config.ResnetsAt(i); j++)
            {
                inputs.Add(width + skipChannels.Pop());
                width = channels[i];
            }

            _upBlocks[k] = new LevelBlock(context / "up_blocks" / k, LevelBlock.Direction.Up, inputs, Options(i), resample: i > 0);
        }

        if (config.InnerConfig is { } inner)
        {
            if (config.InterpConditioning)
            {
                // In checkpoints of such models, though nothing reads them.
                _ = new Linear(context / "interp_layer1", temporalDim / 4, temporalDim);
                _ = new Linear(context / "interp_layer2", temporalDim, temporalDim);
            }

            _inner = new UNet(context / "inner_unet", inner);
            _inAdapter = new Conv3x3(context / "in_adapter", deepest, inner.ResolutionChannels[0], zero: true);
            _outAdapter = new Conv3x3(context / "out_adapter", inner.ResolutionChannels[0], deepest, zero: true);
        }
        else if (textWidth > 0)
        {
            _text = new TextEncoderHead(context, config, condEmb);
        }

        LevelOptions Options(int level) => new(channels[level], config.AttentionLayersAt(level), temporalDim, textWidth, groups,
            config.ResnetConfig.Dropout, config.ResnetConfig.UseAttentionFfn, config.TemporalLayersAt(level),
            config.TemporalPositionalEncoding, config.ResamplesFrames);
    }

    /// <summary>Gradient checkpointing for this network and those nested in it.</summary>
    public bool Recompute { get; set; }

    /// <summary>Text as all levels see it, encoded by the innermost network.</summary>
    public EncodedText? EncodeText(TextFeatures text) => _inner != null ? _inner.EncodeText(text) : _text?.Call(text);

    /// <summary>All attention that reads the text, of this network and those nested in it.</summary>
    public IEnumerable<SelfAttention> TextReaders => _downBlocks.Concat(_midBlocks).Concat(_upBlocks)
        .SelectMany(block => block.Attention).Where(attention => attention.ReadsText).Concat(_inner?.TextReaders ?? []);

    protected override LevelOutput Forward(LevelInput input)
    {
        Tensor image = input.Images[0];
        int batch = image.Shape[0];
        Conditions conditions = ConditionsOf(input, batch);

        Tensor frames = Op.GridToFrames(image, _gridSide);
        Tensor normalised = _inner != null && !_config.SkipNormalization ? Op.StdNormalize(frames) : frames;
        Tensor x = input.Features == null
            ? _convIn.Call(normalised)
            : _convIn.CallAndAdd(normalised, Op.GridToFrames(input.Features, _gridSide));
        var skips = new Stack<Tensor>([x]);
        foreach (LevelBlock block in _downBlocks)
            x = block.Call((x, conditions, skips));
        foreach (LevelBlock block in _midBlocks)
            x = block.Call((x, conditions, skips));

        IReadOnlyList<Tensor> inner = [];
        if (_inner != null)
        {
            _inner.Recompute = Recompute;
            int innerBatch = input.Images[1].Shape[0];
            Tensor deepest = Op.FramesToGrid(x, _lowestGridSide);
            Tensor handed = Op.PadBatch(_inAdapter!.Call(deepest), innerBatch);
            LevelOutput below = _inner.Call(input with { Images = input.Images.Skip(1).ToArray(), Features = handed });
            inner = below.Predictions;
            x = _outAdapter!.CallAndAdd(Op.BatchSlice(below.Features, 0, batch), deepest);
            x = Op.GridToFrames(x, _lowestGridSide);
        }

        foreach (LevelBlock block in _upBlocks)
        {
            Tensor above = block.Call((x, conditions, skips));
            x.Dispose();
            x = above;
        }

        Tensor prediction = Op.FramesToGrid(_convOut.Call(_normOut.CallSilu(x)), _gridSide);
        return new LevelOutput([prediction, .. inner], Op.FramesToGrid(x, _gridSide));
    }

    // Times, text and micro-conditions have the lowest level's batch; a level uses the first rows.
    private Conditions ConditionsOf(LevelInput input, int batch)
    {
        EncodedText? text = input.Text?.First(batch);
        Tensor temb = _embedding.Call((Op.BatchSlice(input.Times, 0, batch),
            input.Micros.ToDictionary(m => m.Key, m => Op.BatchSlice(m.Value, 0, batch))));
        if (text?.Embedding != null)
            temb = Op.Add(temb, text.Embedding);
        return new Conditions(Op.Silu(temb), text == null ? null : text with { Embedding = null }, Recompute);
    }
}
