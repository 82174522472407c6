using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Networks;

/// <summary>
/// 2-D self-attention of pixels plus cross-attention to the text with the same queries:
/// (q,k,v) = qkv(norm(x)); (k',v') = kv_cond(norm_cond(text)); y = x + proj_out(attend(q,k,v) + attend(q,k',v'));
/// with a feed-forward part, y + ffn(y), ffn = 1x1 to 4C, GELU, 1x1 to C after a GroupNorm. 8 heads and 32 groups always.
/// </summary>
internal sealed class SelfAttention : Module<(Tensor X, EncodedText? Text)>
{
    public const int Heads = 8;
    private const int Groups = 32;

    private readonly GroupNorm _norm;
    private readonly Linear _qkv;
    private readonly LayerNorm? _normCond;
    private readonly Linear? _kvCond;
    private readonly Linear _projOut;
    private readonly (GroupNorm Norm, Linear Wide, Linear Narrow)? _ffn;

    public SelfAttention(ModuleContext context, int channels, int conditioningWidth, bool useFfn)
        : base(context)
    {
        if (channels % Heads != 0)
            throw new MdmException($"{context.Path}: {channels} channels are not divisible by {Heads} heads");
        _norm = new GroupNorm(context / "norm", channels, Groups);
        _qkv = Linear.Pointwise(context / "qkv", channels, 3 * channels);
        if (conditioningWidth > 0)
        {
            _normCond = new LayerNorm(context / "norm_cond", conditioningWidth);
            _kvCond = new Linear(context / "kv_cond", conditioningWidth, 2 * channels);
        }

        _projOut = Linear.Pointwise(context / "proj_out", channels, channels, zero: true);
        if (useFfn)
        {
            ModuleContext ffn = context / "ffn";
            _ffn = (new GroupNorm(ffn / 0, channels, Groups), Linear.Pointwise(ffn / 1, channels, 4 * channels),
                Linear.Pointwise(ffn / 3, 4 * channels, channels, zero: true));
        }
    }

    /// <summary>Whether there is a cross-attention.</summary>
    public bool ReadsText => _kvCond != null;

    /// <summary>k' and v' [B,N,2C] of text tokens [B,N,·]: the same at all times.</summary>
    public Tensor KeysAndValues(Tensor tokens) =>
        Scoped(() => _kvCond!.Call(_normCond!.Call(tokens)), static (scope, kv) => scope.Return(kv));

    protected override Tensor Forward((Tensor X, EncodedText? Text) input)
    {
        (Tensor x, EncodedText? text) = input;
        int batch = x.Shape[0], channels = x.Shape[-1];
        Tensor qkv = _qkv.Call(_norm.Call(x)).Reshape(batch, -1, 3 * channels);
        Tensor? read = null;
        if (ReadsText && text != null)
        {
            Tensor kv = text.KeysValues.GetValueOrDefault(Path) ?? KeysAndValues(text.Tokens);
            // All frames of a sample see its text: to it they are one picture with so many more pixels.
            int samples = kv.Shape[0];
            read = Op.CrossAttention(qkv.Reshape(samples, -1, 3 * channels), kv, Heads, text.Mask);
        }

        // Last, so that its backward pass comes first and writes the gradient of all of qkv; the other one adds to the queries'.
        Tensor attended = Op.SelfAttention(qkv, Heads);
        if (read != null)
            attended = Op.Add(attended, read.Reshape(attended.Shape.ToArray()));
        Tensor y = _projOut.CallAndAdd(attended.Reshape(x.Shape.ToArray()), x);
        return _ffn is { } ffn ? ffn.Wide.CallFeedForward(ffn.Narrow, ffn.Norm.Call(y), y) : y;
    }
}

/// <summary>A block over text tokens: x + proj_out(attend(qkv(norm(x)))), then x + mlp(x).</summary>
internal sealed class TextBlock(ModuleContext context, int width) : Module<(Tensor X, Tensor? Mask)>(context)
{
    private readonly SelfAttention1D _attn = new(context / "attn", width);
    private readonly Mlp _mlp = new(context / "mlp", width);

    protected override Tensor Forward((Tensor X, Tensor? Mask) input) => _mlp.Call(_attn.Call(input));
}

/// <summary>x + proj_out(attend(qkv(norm(x)))) over the tokens of x [B,N,C].</summary>
internal sealed class SelfAttention1D : Module<(Tensor X, Tensor? Mask)>
{
    private readonly LayerNorm _norm;
    private readonly Linear _qkv;
    private readonly Linear _projOut;
    private readonly int _heads;
    private readonly bool _rotary;

    /// <param name="context">Where it is.</param>
    /// <param name="width">C.</param>
    /// <param name="heads">Number of heads.</param>
    /// <param name="rotary">Queries and keys are turned by their positions.</param>
    public SelfAttention1D(ModuleContext context, int width, int heads = SelfAttention.Heads, bool rotary = false)
        : base(context)
    {
        if (heads == 0 || width % heads != 0)
            throw new MdmException($"{context.Path}: {width} channels are not divisible by {heads} heads");
        _heads = heads;
        _rotary = rotary;
        _norm = new LayerNorm(context / "norm", width);
        _qkv = new Linear(context / "qkv", width, 3 * width);
        _projOut = new Linear(context / "proj_out", width, width, zero: true);
    }

    protected override Tensor Forward((Tensor X, Tensor? Mask) input)
    {
        Tensor qkv = _qkv.Call(_norm.Call(input.X));
        if (_rotary)
            qkv = Op.RotaryPositions(qkv, _heads);
        return _projOut.CallAndAdd(Op.SelfAttention(qkv, _heads, input.Mask), input.X);
    }
}

/// <summary>x + main(x), main = LayerNorm, linear to 4C, GELU, linear to C.</summary>
internal sealed class Mlp : Module<Tensor>
{
    private readonly LayerNorm _norm;
    private readonly Linear _wide;
    private readonly Linear _narrow;

    public Mlp(ModuleContext context, int width)
        : base(context)
    {
        ModuleContext main = context / "main";
        _norm = new LayerNorm(main / 0, width);
        _wide = new Linear(main / 1, width, 4 * width);
        _narrow = new Linear(main / 3, 4 * width, width, zero: true);
    }

    protected override Tensor Forward(Tensor x) => _wide.CallFeedForward(_narrow, _norm.Call(x), x);
}
