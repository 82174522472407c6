using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Networks;

/// <summary>What a level's blocks are made of.</summary>
/// <param name="Channels">Output channels of every ResNet.</param>
/// <param name="AttentionLayers">Attention layers after each ResNet.</param>
/// <param name="TemporalDim">Width of the time embedding.</param>
/// <param name="ConditioningWidth">Width of the text tokens, 0 without text.</param>
/// <param name="Groups">Groups of the ResNets' norms.</param>
/// <param name="Dropout">Of the ResNets.</param>
/// <param name="UseFfn">Feed-forward parts in attention layers.</param>
/// <param name="TemporalLayers">Layers of attention over frames after those.</param>
/// <param name="RotaryPositions">Whether those know the frames' order.</param>
/// <param name="ResamplesFrames">Whether the change of resolution is one of the number of frames.</param>
internal sealed record LevelOptions(
    int Channels, int AttentionLayers, int TemporalDim, int ConditioningWidth, int Groups, double Dropout, bool UseFfn,
    int TemporalLayers, bool RotaryPositions, bool ResamplesFrames);

/// <summary>The ResNets of one level, each followed by its attention layers (over pixels, then over frames), and the change of
/// resolution behind them. On the way down every output is kept for the way up, which reads them in reverse.</summary>
internal sealed class LevelBlock : Module<(Tensor X, Conditions Conditions, Stack<Tensor> Skips)>
{
    private readonly ResNetBlock[] _resnets;
    private readonly SelfAttention[] _attn;
    private readonly TemporalAttention[] _temporalAttn;
    private readonly Conv3x3? _resample;
    private readonly FrameConv? _resampleFrames;
    private readonly int _attentionLayers;
    private readonly int _temporalLayers;
    private readonly Direction _direction;

    public LevelBlock(ModuleContext context, Direction direction, IReadOnlyList<int> resnetInputs, LevelOptions options, bool resample)
        : base(context)
    {
        _direction = direction;
        _attentionLayers = options.AttentionLayers;
        _resnets = new ResNetBlock[resnetInputs.Count];
        for (int i = 0; i < _resnets.Length; i++)
            _resnets[i] = new ResNetBlock(context / "resnets" / i, resnetInputs[i], options.Channels, options.TemporalDim,
                options.Groups, options.Dropout);
        _attn = new SelfAttention[_resnets.Length * _attentionLayers];
        for (int i = 0; i < _attn.Length; i++)
            _attn[i] = new SelfAttention(context / "attn" / i, options.Channels, options.ConditioningWidth, options.UseFfn);
        _temporalLayers = options.TemporalLayers;
        _temporalAttn = new TemporalAttention[_resnets.Length * _temporalLayers];
        for (int i = 0; i < _temporalAttn.Length; i++)
            _temporalAttn[i] = new TemporalAttention(context / "t_attn" / i, options.Channels, options.RotaryPositions);
        if (resample && options.ResamplesFrames)
            _resampleFrames = new FrameConv(context / "resample", options.Channels, options.Channels,
                stride: direction == Direction.Up ? 1 : 2, upsample: direction == Direction.Up);
        else if (resample)
            _resample = direction == Direction.Up
                ? new Conv3x3(context / "resample", options.Channels, options.Channels, upsample: true)
                : new Conv3x3(context / "resample", options.Channels, options.Channels, stride: 2);
    }

    /// <summary>The layers of attention over pixels.</summary>
    public IReadOnlyList<SelfAttention> Attention => _attn;

    public enum Direction
    {
        Down,
        Middle,
        Up,
    }

    protected override Tensor Forward((Tensor X, Conditions Conditions, Stack<Tensor> Skips) input)
    {
        (Tensor x, Conditions conditions, Stack<Tensor> skips) = input;
        for (int i = 0; i < _resnets.Length; i++)
        {
            if (_direction == Direction.Up)
            {
                // What was read for the last time goes now, not when the whole network's scope ends: without a tape, the skips
                // of all levels would be most of the memory. The first x is the caller's.
                Tensor skip = skips.Pop(), above = Step(i, x, skip, conditions);
                skip.Dispose();
                if (i > 0)
                    x.Dispose();
                x = above;
                continue;
            }

            x = Step(i, x, null, conditions);
            if (_direction == Direction.Down)
                Keep(x);
        }

        if (_resample != null || _resampleFrames != null)
        {
            x = _resample?.Call(x) ?? _resampleFrames!.Call((x, x.Shape[0] / conditions.Temb.Shape[0]));
            if (_direction == Direction.Down)
                Keep(x);
        }

        return x;

        // The way up reads it when this call's scope has ended: the network's scope takes it.
        void Keep(Tensor skip) => skips.Push(Scope.Current!.Return(skip));
    }

    private Tensor Step(int i, Tensor x, Tensor? skip, Conditions conditions)
    {
        EncodedText? text = conditions.Text;
        if (!conditions.Recompute)
            return Compute(i, x, conditions.Temb, skip, text);
        // Everything that the blocks read is handed over, so that it is kept for computing them again.
        Tensor[] inputs = [x, conditions.Temb, .. skip == null ? [] : new[] { skip }, .. text?.Tensors ?? []];
        return Tape.Checkpoint(handed =>
        {
            var queue = new Queue<Tensor>(handed);
            return Compute(i, queue.Dequeue(), queue.Dequeue(), skip == null ? null : queue.Dequeue(), text?.With(queue));
        }, inputs);
    }

    private Tensor Compute(int i, Tensor x, Tensor temb, Tensor? skip, EncodedText? text)
    {
        Tensor h = _resnets[i].Call((x, skip, temb));
        for (int layer = 0; layer < _attentionLayers; layer++)
            h = _attn[i * _attentionLayers + layer].Call((h, text));
        for (int layer = 0; layer < _temporalLayers; layer++)
            h = _temporalAttn[i * _temporalLayers + layer].Call((h, temb.Shape[0]));
        return h;
    }
}
