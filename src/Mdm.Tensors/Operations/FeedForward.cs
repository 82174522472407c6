using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>y = gelu(x wᵀ + b) vᵀ + d (+ residual), two linear layers with GELU between them: x [..., I], w [H,I], b [H],
    /// v [O,H], d [O], residual and y [..., O]. Neither GELU nor its gradient is a pass of its own.</summary>
    public static Tensor FeedForward(Tensor x, Tensor w, Tensor? b, Tensor v, Tensor? d, Tensor? residual = null)
    {
        int inputs = x.Shape[-1], hidden = w.Shape[0], outputs = v.Shape[0];
        if (w.Shape.Rank != 2 || w.Shape[1] != inputs)
            throw new ArgumentException(
                $"feed forward: an input of shape {x.Shape} does not fit a first weight of shape {w.Shape} [hidden, in]");
        if (v.Shape.Rank != 2 || v.Shape[1] != hidden)
            throw new ArgumentException(
                $"feed forward: a first weight of shape {w.Shape} does not fit a second one of shape {v.Shape} [out, hidden]");
        RequireBias("feed forward", b, hidden);
        RequireBias("feed forward", d, outputs);
        int rows = checked((int)(x.Count / Math.Max(1, inputs)));
        Tensor y = Tensor.Empty(x.Device, x.Shape.With(-1, outputs), x.Type);
        if (residual != null)
            RequireSameShape("feed forward with residual", y, residual);
        Tensor h = Tensor.Empty(x.Device, x.Shape.With(-1, hidden), x.Type);
        Tensor? z = Tape.IsRecording ? Tensor.Like(h) : null;
        IKernels k = x.Kernels;
        k.MatMulGelu(MatMulShape.Contiguous(rows, hidden, inputs, transposeB: true), x.Ptr, w.PtrAs(x.Type), b?.Ptr ?? Ptr.None,
            z?.Ptr ?? Ptr.None, h.Ptr);
        k.MatMul(MatMulShape.Contiguous(rows, outputs, hidden, transposeB: true), h.Ptr, v.PtrAs(x.Type),
            new Target(y.Ptr, false), d?.Ptr ?? Ptr.None, residual?.Ptr ?? Ptr.None);
        return Tape.Record(y, [x, w, b, v, d, residual], saved: [x, w, v, z, h], dy =>
        {
            dy.Pass(residual);
            if (v.RequiresGradient || d is { RequiresGradient: true })
                k.MatMulBackwardWeight(MatMulShape.Contiguous(outputs, hidden, rows, transposeA: true), dy.Ptr, h.Ptr,
                    dy.Target(v), dy.Target(d));
            if (!x.RequiresGradient && !w.RequiresGradient && b is not { RequiresGradient: true })
                return;
            Tensor dz = Tensor.Like(h);
            k.MatMulGeluBackward(MatMulShape.Contiguous(rows, hidden, outputs), dy.Ptr, v.PtrAs(x.Type), z!.Ptr, dz.Ptr);
            if (w.RequiresGradient || b is { RequiresGradient: true })
                k.MatMulBackwardWeight(MatMulShape.Contiguous(hidden, inputs, rows, transposeA: true), dz.Ptr, x.Ptr,
                    dy.Target(w), dy.Target(b));
            if (x.RequiresGradient)
                k.MatMul(MatMulShape.Contiguous(rows, inputs, hidden), dz.Ptr, w.PtrAs(x.Type), dy.Target(x));
        });
    }
}
