using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Networks;

/// <summary>temb_layer2(silu(temb_layer1(sinusoid(t)))), plus the same of every micro-condition through layers of its own.</summary>
internal sealed class TimeEmbedding : Module<(Tensor Times, IReadOnlyDictionary<string, Tensor> Micros)>
{
    private const string Scale = "scale";

    private readonly Linear _layer1;
    private readonly Linear _layer2;
    private readonly (MicroCondition Condition, Linear First, Linear Second)[] _micros;
    private readonly int _width;
    private readonly ParameterStore _store;

    /// <param name="context">The network's own: these layers have no prefix.</param>
    /// <param name="config">The network's.</param>
    /// <param name="condEmb">The text embedding's layer, which checkpoints list between the time and the micro layers.</param>
    public TimeEmbedding(ModuleContext context, UNetConfig config, out Linear? condEmb)
        : base(context)
    {
        int width = config.TemporalWidth;
        _width = width / 4;
        _store = context.Store;
        _layer1 = new Linear(context / "temb_layer1", _width, width);
        _layer2 = new Linear(context / "temb_layer2", width, width);
        condEmb = config.ConditioningWidth > 0 && !config.SkipCondEmb
            ? new Linear(context / "cond_emb", config.ConditioningWidth, width, bias: false)
            : null;
        _micros = config.MicroConditions().Select(micro =>
        {
            ModuleContext layers = context / "cond_layers" / micro.Name;
            return (micro, new Linear(layers / 0, _width, width), new Linear(layers / 1, width, width, zero: true));
        }).ToArray();
    }

    protected override Tensor Forward((Tensor Times, IReadOnlyDictionary<string, Tensor> Micros) input)
    {
        Tensor temb = Embed(input.Times, _layer1, _layer2);
        foreach ((MicroCondition condition, Linear first, Linear second) in _micros)
        {
            float usual = (float)condition.Default;
            Tensor value = input.Micros.TryGetValue(condition.Name, out Tensor? given)
                ? given
                : Tensor.Full(input.Times.Device, input.Times.Shape, usual);
            // min(v/d, 1)·d for the image's original scale, v·1000 for scores in 0..1.
            value = condition.Name == Scale ? Op.Clamp(value, float.NegativeInfinity, usual) : Op.Scale(value, 1000);
            temb = Op.Add(temb, Embed(value, first, second));
        }

        return temb;
    }

    // Times up to 1000 need float32; their sines are activations like any other.
    private Tensor Embed(Tensor value, Linear first, Linear second) =>
        second.Call(Op.Silu(first.Call(Op.Cast(Op.Sinusoid(value, _width), _store.ComputeType))));
}

/// <summary>Projects the language model's features, refines them with trained blocks, and pools them for the time embedding.</summary>
internal sealed class TextEncoderHead : Module<TextFeatures, EncodedText>
{
    private readonly Linear? _lmProj;
    private readonly TextBlock[] _lmHead;
    private readonly Linear? _condEmb;
    private readonly bool _masked;

    public TextEncoderHead(ModuleContext context, UNetConfig config, Linear? condEmb)
        : base(context)
    {
        int width = config.ConditioningWidth;
        _lmProj = config.ConditioningFeatureProjDim > 0 ? new Linear(context / "lm_proj", config.ConditioningFeatureDim, width) : null;
        _lmHead = new TextBlock[config.NumLmHeadLayers];
        for (int i = 0; i < _lmHead.Length; i++)
            _lmHead[i] = new TextBlock(context / "lm_head" / i, width);
        _condEmb = condEmb;
        _masked = config.MaskedCrossAttention;
    }

    protected override EncodedText Forward(TextFeatures text)
    {
        Tensor? mask = _masked ? text.Mask : null;
        Tensor tokens = _lmProj?.Call(text.Values) ?? text.Values;
        foreach (TextBlock block in _lmHead)
            tokens = block.Call((tokens, mask));
        // With masked_cross_attention = 0 the mask counts in the pooling only, and only if no trained block comes before.
        Tensor? poolMask = _lmHead.Length > 0 ? mask : text.Mask;
        return new EncodedText(tokens, mask, _condEmb?.Call(Op.MaskedMean(tokens, poolMask)));
    }
}
