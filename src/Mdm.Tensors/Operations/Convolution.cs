using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>3x3 convolution with padding 1: x [B,H,W,I], w [O,3,3,I], b [O], y [B,H',W',O] with H' = ⌈H/stride⌉.
    /// With upsample, x is first doubled by nearest neighbour. The residual, of y's shape, is added.</summary>
    public static Tensor Conv3x3(Tensor x, Tensor w, Tensor? b = null, int stride = 1, bool upsample = false,
        Tensor? residual = null)
    {
        if (x.Shape.Rank != 4 || w.Shape.Rank != 4 || w.Shape[1] != 3 || w.Shape[2] != 3 || w.Shape[3] != x.Shape[3])
            throw new ArgumentException(
                $"3x3 convolution: an image of shape {x.Shape} [batch, height, width, channels] "
                + $"does not fit a weight of shape {w.Shape} [out, 3, 3, in]");
        if (stride is not (1 or 2) || (upsample && stride != 1))
            throw new ArgumentException(
                $"3x3 convolution: stride {stride}{(upsample ? " with upsampling" : "")} is not supported, expected 1 or 2");
        RequireBias("3x3 convolution", b, w.Shape[0]);
        var shape = new ConvShape(x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3], w.Shape[0], stride, upsample);
        Tensor y = Tensor.Empty(x.Device, new Shape(shape.Batch, shape.OutHeight, shape.OutWidth, shape.OutChannels), x.Type);
        if (residual != null)
            RequireSameShape("3x3 convolution with residual", y, residual);
        IKernels k = x.Kernels;
        k.Conv3x3Forward(shape, x.Ptr, w.PtrAs(x.Type), b?.Ptr ?? Ptr.None, residual?.Ptr ?? Ptr.None, y.Ptr);
        return Tape.Record(y, [x, w, b, residual], saved: [x, w], dy =>
        {
            dy.Pass(residual);
            if (w.RequiresGradient || b is { RequiresGradient: true })
                k.Conv3x3BackwardWeight(shape, x.Ptr, dy.Ptr, dy.Target(w), dy.Target(b));
            if (x.RequiresGradient)
                k.Conv3x3BackwardData(shape, dy.Ptr, w.PtrAs(x.Type), dy.Target(x));
        });
    }
}
