using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Networks;

/// <summary>
/// Attention over frames at each pixel of the halved images: h = down_conv(x) (3x3, stride 2); per pixel, over frames,
/// h + proj_out(attend(qkv(norm(h)))), then h + mlp(h); y = x + up_conv(h doubled). Heads of 32 channels.
/// </summary>
internal sealed class TemporalAttention : Module<(Tensor X, int Samples)>
{
    public const int HeadWidth = 32;

    private readonly SelfAttention1D _attn;
    private readonly Mlp _mlp;
    private readonly Conv3x3 _downConv;
    private readonly Conv3x3 _upConv;

    public TemporalAttention(ModuleContext context, int channels, bool rotary)
        : base(context)
    {
        if (channels % HeadWidth != 0)
            throw new MdmException($"{context.Path}: {channels} channels are not divisible by {HeadWidth}, the channels of one head");
        _attn = new SelfAttention1D(context / "attn", channels, channels / HeadWidth, rotary);
        _mlp = new Mlp(context / "mlp", channels);
        _downConv = new Conv3x3(context / "down_conv", channels, channels, stride: 2);
        _upConv = new Conv3x3(context / "up_conv", channels, channels, upsample: true);
    }

    protected override Tensor Forward((Tensor X, int Samples) input)
    {
        (Tensor x, int samples) = input;
        Tensor halved = _downConv.Call(x);
        Tensor h = Op.FramesToPixels(halved, x.Shape[0] / samples);
        h = _mlp.Call(_attn.Call((h, null)));
        return _upConv.CallAndAdd(Op.PixelsToFrames(h, halved.Shape[1], halved.Shape[2]), x);
    }
}
