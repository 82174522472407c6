using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Networks;

/// <summary>
/// Residual block: a = conv1(silu(norm1(x))); (s, t) = time_layer(silu(temb)); h = silu(norm2(a)·(1+s)+t);
/// y = conv2(dropout(h)) + x, or + conv3(x) (1x1) where the widths differ. With a skip, x is the concatenation of X and skip:
/// norm1 and conv3 read it from the two, so that it is not stored. All frames of a sample have its temb.
/// </summary>
internal sealed class ResNetBlock : Module<(Tensor X, Tensor? Skip, Tensor Temb)>
{
    private readonly GroupNorm _norm1;
    private readonly Conv3x3 _conv1;
    private readonly Linear _timeLayer;
    private readonly GroupNorm _norm2;
    private readonly Conv3x3 _conv2;
    private readonly Linear? _conv3;
    private readonly float _dropout;

    public ResNetBlock(ModuleContext context, int inputs, int outputs, int temporalDim, int groups, double dropout)
        : base(context)
    {
        _norm1 = new GroupNorm(context / "norm1", inputs, groups);
        _conv1 = new Conv3x3(context / "conv1", inputs, outputs);
        _timeLayer = new Linear(context / "time_layer", temporalDim, 2 * outputs);
        _norm2 = new GroupNorm(context / "norm2", outputs, groups);
        _conv2 = new Conv3x3(context / "conv2", outputs, outputs, zero: true);
        _conv3 = inputs == outputs ? null : Linear.Pointwise(context / "conv3", inputs, outputs);
        _dropout = (float)dropout;
    }

    protected override Tensor Forward((Tensor X, Tensor? Skip, Tensor Temb) input)
    {
        (Tensor x, Tensor? skip, Tensor temb) = input;
        Tensor a = _conv1.Call(_norm1.CallSilu(x, skip: skip));
        Tensor scaleShift = Op.RepeatSamples(_timeLayer.Call(temb), x.Shape[0] / temb.Shape[0]);
        Tensor h = _norm2.CallSilu(a, scaleShift);
        return _conv2.CallAndAdd(Op.Dropout(h, _dropout), Residual(x, skip));
    }

    private Tensor Residual(Tensor x, Tensor? skip) => (skip, _conv3) switch
    {
        (null, null) => x,
        (null, { } conv3) => conv3.Call(x),
        ({ } other, null) => Op.Concatenate(x, other),
        ({ } other, { } conv3) => conv3.CallJoined(x, other),
    };
}
