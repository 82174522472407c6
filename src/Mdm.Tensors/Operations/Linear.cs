using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>y = x wᵀ + b (+ residual): x [..., I], w [O,I], b [O], y [..., O]. A 1x1 convolution of
    /// [B,H,W,I] is the same thing.</summary>
    public static Tensor Linear(Tensor x, Tensor w, Tensor? b = null, Tensor? residual = null)
    {
        int inputs = x.Shape[-1], outputs = w.Shape[0];
        if (w.Shape.Rank != 2 || w.Shape[1] != inputs)
            throw new ArgumentException(
                $"linear: an input of shape {x.Shape} does not fit a weight of shape {w.Shape} [out, in]");
        RequireBias("linear", b, outputs);
        int rows = checked((int)(x.Count / Math.Max(1, inputs)));
        Tensor y = Tensor.Empty(x.Device, x.Shape.With(-1, outputs), x.Type);
        if (residual != null)
            RequireSameShape("linear with residual", y, residual);
        IKernels k = x.Kernels;
        k.MatMul(MatMulShape.Contiguous(rows, outputs, inputs, transposeB: true), x.Ptr, w.PtrAs(x.Type), new Target(y.Ptr, false),
            b?.Ptr ?? Ptr.None, residual?.Ptr ?? Ptr.None);
        return Tape.Record(y, [x, w, b, residual], saved: [x, w], dy =>
        {
            dy.Pass(residual);
            if (w.RequiresGradient || b is { RequiresGradient: true })
                k.MatMulBackwardWeight(MatMulShape.Contiguous(outputs, inputs, rows, transposeA: true), dy.Ptr, x.Ptr,
                    dy.Target(w), dy.Target(b));
            if (x.RequiresGradient)
                k.MatMul(MatMulShape.Contiguous(rows, inputs, outputs), dy.Ptr, w.PtrAs(x.Type), dy.Target(x));
        });
    }

    private static void RequireBias(string operation, Tensor? b, int outputs)
    {
        if (b != null && b.Count != outputs)
            throw new ArgumentException($"{operation}: the bias has the shape {b.Shape}, expected [{outputs}]");
        RequireFloat32(operation, "bias", b);
    }
}
