using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Text.T5;

/// <summary>What the layers of an encoder work on.</summary>
/// <param name="Features">[B,N,width].</param>
/// <param name="Bias">Of the positions, [heads,N,N] float32.</param>
/// <param name="Mask">[B,N] float32, 0 = not attended to; null: all tokens are.</param>
internal sealed record T5State(Tensor Features, Tensor Bias, Tensor? Mask);

/// <summary>x / √(mean(x²) + ε) · weight.</summary>
internal sealed class T5Norm : Module<Tensor>
{
    private readonly Parameter _weight;
    private readonly float _epsilon;

    public T5Norm(ModuleContext context, T5Config config)
        : base(context) =>
        (_weight, _epsilon) = (context.Parameter("weight", new Shape(config.Width), Initialisation.Zeros), config.Epsilon);

    protected override Tensor Forward(Tensor x) => Op.RmsNorm(x, _weight, _epsilon);
}

/// <summary>x + o(softmax(q kᵀ + bias) v) with q, k, v from norm(x). The scores are not scaled.</summary>
internal sealed class T5Attention : Module<T5State>
{
    private readonly T5Norm _norm;
    private readonly Linear _qkv;
    private readonly Linear _o;
    private readonly int _heads;

    public T5Attention(ModuleContext context, T5Config config)
        : base(context)
    {
        _norm = new T5Norm(context / "layer_norm", config);
        _qkv = new Linear(context / "SelfAttention" / "qkv", config.Width, 3 * config.InnerWidth, bias: false, zero: true);
        _o = new Linear(context / "SelfAttention" / "o", config.InnerWidth, config.Width, bias: false, zero: true);
        _heads = config.Heads;
    }

    protected override Tensor Forward(T5State state)
    {
        Tensor qkv = _qkv.Call(_norm.Call(state.Features));
        return _o.CallAndAdd(Op.SelfAttention(qkv, _heads, state.Mask, state.Bias, scale: 1), state.Features);
    }
}

/// <summary>x + wo(gelu(wi_0 n) · wi_1 n), or x + wo(relu(wi n)), with n = norm(x).</summary>
internal sealed class T5FeedForward : Module<Tensor>
{
    private readonly T5Norm _norm;
    private readonly Linear _wi;
    private readonly Linear? _gate;
    private readonly Linear _wo;

    public T5FeedForward(ModuleContext context, T5Config config)
        : base(context)
    {
        ModuleContext dense = context / "DenseReluDense";
        Linear Widen(string name) => new(dense / name, config.Width, config.FeedForwardWidth, bias: false, zero: true);
        _norm = new T5Norm(context / "layer_norm", config);
        _gate = config.Gated ? Widen("wi_0") : null;
        _wi = Widen(config.Gated ? "wi_1" : "wi");
        _wo = new Linear(dense / "wo", config.FeedForwardWidth, config.Width, bias: false, zero: true);
    }

    protected override Tensor Forward(Tensor x)
    {
        Tensor n = _norm.Call(x), wide = _wi.Call(n);
        Tensor hidden = _gate != null ? Op.Multiply(Op.GeluTanh(_gate.Call(n)), wide) : Op.Clamp(wide, 0, float.PositiveInfinity);
        return _wo.CallAndAdd(hidden, x);
    }
}

/// <summary>One of an encoder's layers: attention, then feed-forward.</summary>
internal sealed class T5Block : Module<T5State>
{
    private readonly T5Attention _attention;
    private readonly T5FeedForward _feedForward;

    public T5Block(ModuleContext context, T5Config config)
        : base(context)
    {
        _attention = new T5Attention(context / "layer" / 0, config);
        _feedForward = new T5FeedForward(context / "layer" / 1, config);
    }

    protected override Tensor Forward(T5State state) => _feedForward.Call(_attention.Call(state));
}
