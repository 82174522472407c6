using Mdm.Kernels;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Modules;

/// <summary>y = x wᵀ + b, weight [O,I]. <see cref="Pointwise"/> makes one that checkpoints store as a 1x1 convolution.</summary>
public sealed class Linear : Module<Tensor>
{
    private readonly Parameter _weight;
    private readonly Parameter? _bias;

    public Linear(ModuleContext context, int inputs, int outputs, bool bias = true, bool zero = false)
        : this(context, inputs, outputs, new Shape(outputs, inputs), bias, zero)
    {
    }

    private Linear(ModuleContext context, int inputs, int outputs, Shape fileShape, bool bias, bool zero)
        : base(context)
    {
        Initialisation initialisation = zero ? Initialisation.Zeros : Initialisation.FanIn;
        _weight = context.Parameter("weight", new Shape(outputs, inputs), fileShape, initialisation, inputs);
        _bias = bias ? context.Parameter("bias", new Shape(outputs), initialisation, inputs) : null;
    }

    /// <summary>A 1x1 convolution: the same product, stored [O,I,1,1].</summary>
    public static Linear Pointwise(ModuleContext context, int inputs, int outputs, bool zero = false) =>
        new(context, inputs, outputs, new Shape(outputs, inputs, 1, 1), true, zero);

    /// <summary>The layer's output plus a residual of the same shape, in one pass.</summary>
    public Tensor CallAndAdd(Tensor x, Tensor residual) =>
        Scoped(() => Op.Linear(x, _weight, _bias?.Value, residual), static (scope, y) => scope.Return(y));

    /// <summary>The layer's output for the concatenation of x and skip along their channels, which is not stored.</summary>
    public Tensor CallJoined(Tensor x, Tensor skip) =>
        Scoped(() => Op.LinearJoined(x, skip, _weight, _bias?.Value), static (scope, y) => scope.Return(y));

    /// <summary>narrow(gelu(this(x))) + residual: GELU costs no pass of its own.</summary>
    public Tensor CallFeedForward(Linear narrow, Tensor x, Tensor residual) => Scoped(
        () => Op.FeedForward(x, _weight, _bias?.Value, narrow._weight, narrow._bias?.Value, residual),
        static (scope, y) => scope.Return(y));

    protected override Tensor Forward(Tensor x) => Op.Linear(x, _weight, _bias?.Value);
}

/// <summary>3x3 convolution with padding 1 and bias, weight [O,3,3,I] (checkpoint [O,I,3,3]).</summary>
public sealed class Conv3x3 : Module<Tensor>
{
    private readonly Parameter _weight;
    private readonly Parameter _bias;
    private readonly int _stride;
    private readonly bool _upsample;

    /// <param name="context">Where it is.</param>
    /// <param name="inputs">Input channels.</param>
    /// <param name="outputs">Output channels.</param>
    /// <param name="stride">1 or 2.</param>
    /// <param name="upsample">Double the input by nearest neighbour first.</param>
    /// <param name="zero">Begin with zeros, as the last layer of a residual branch does.</param>
    public Conv3x3(ModuleContext context, int inputs, int outputs, int stride = 1, bool upsample = false, bool zero = false)
        : base(context)
    {
        Initialisation initialisation = zero ? Initialisation.Zeros : Initialisation.FanIn;
        Shape shape = new(outputs, 3, 3, inputs), fileShape = new(outputs, inputs, 3, 3);
        _weight = context.Parameter("weight", shape, fileShape, initialisation, 9 * inputs);
        _bias = context.Parameter("bias", new Shape(outputs), initialisation, 9 * inputs);
        _stride = stride;
        _upsample = upsample;
    }

    /// <summary>The layer's output plus a residual of the same shape, in one pass.</summary>
    public Tensor CallAndAdd(Tensor x, Tensor residual) => Scoped(
        () => Op.Conv3x3(x, _weight, _bias, _stride, _upsample, residual), static (scope, y) => scope.Return(y));

    protected override Tensor Forward(Tensor x) => Op.Conv3x3(x, _weight, _bias, _stride, _upsample);
}

/// <summary>Convolution of three taps over frames with padding 1 and bias: X is [B·Frames,H,W,I], the weight [O,1,3,I]
/// (checkpoint [O,I,3]).</summary>
public sealed class FrameConv : Module<(Tensor X, int Frames)>
{
    private readonly Parameter _weight;
    private readonly Parameter _bias;
    private readonly int _stride;
    private readonly bool _upsample;

    /// <param name="context">Where it is.</param>
    /// <param name="inputs">Input channels.</param>
    /// <param name="outputs">Output channels.</param>
    /// <param name="stride">1 or 2 frames.</param>
    /// <param name="upsample">Double every frame first.</param>
    public FrameConv(ModuleContext context, int inputs, int outputs, int stride = 1, bool upsample = false)
        : base(context)
    {
        Shape shape = new(outputs, 1, 3, inputs), fileShape = new(outputs, inputs, 3);
        _weight = context.Parameter("weight", shape, fileShape, Initialisation.FanIn, 3 * inputs);
        _bias = context.Parameter("bias", new Shape(outputs), Initialisation.FanIn, 3 * inputs);
        _stride = stride;
        _upsample = upsample;
    }

    protected override Tensor Forward((Tensor X, int Frames) input) =>
        Op.ConvFrames(input.X, input.Frames, _weight, _bias, _stride, _upsample);
}

/// <summary>GroupNorm with per-channel scale and shift, fused with what follows it.</summary>
public sealed class GroupNorm : Module<Tensor>
{
    private readonly Parameter _weight;
    private readonly Parameter _bias;
    private readonly int _groups;

    /// <exception cref="MdmException">The groups do not divide the channels.</exception>
    public GroupNorm(ModuleContext context, int channels, int groups)
        : base(context)
    {
        if (groups <= 0 || channels % groups != 0)
            throw new MdmException($"{context.Path}: {channels} channels are not divisible by {groups} groups");
        _weight = context.Parameter("weight", new Shape(channels), Initialisation.Ones);
        _bias = context.Parameter("bias", new Shape(channels), Initialisation.Zeros);
        _groups = groups;
    }

    /// <summary>silu(norm(x)·(1+s)+t) with scaleShift [B,2C] = (s, t); silu(norm(x)) without. With a skip, of the concatenation
    /// of x and skip along their channels, which is not stored.</summary>
    public Tensor CallSilu(Tensor x, Tensor? scaleShift = null, Tensor? skip = null) => Scoped(
        () => Op.GroupNorm(x, _weight, _bias, _groups, scaleShift, silu: true, skip: skip), static (scope, y) => scope.Return(y));

    protected override Tensor Forward(Tensor x) => Op.GroupNorm(x, _weight, _bias, _groups);
}

/// <summary>LayerNorm over the last dimension.</summary>
public sealed class LayerNorm : Module<Tensor>
{
    private readonly Parameter _weight;
    private readonly Parameter _bias;

    public LayerNorm(ModuleContext context, int width)
        : base(context)
    {
        _weight = context.Parameter("weight", new Shape(width), Initialisation.Ones);
        _bias = context.Parameter("bias", new Shape(width), Initialisation.Zeros);
    }

    protected override Tensor Forward(Tensor x) => Op.LayerNorm(x, _weight, _bias);
}
