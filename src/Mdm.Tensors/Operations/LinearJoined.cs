using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>y = [x, skip] wᵀ + b without storing the concatenation: x [..., I₁], skip [..., I₂], w [O,I₁+I₂], b [O],
    /// y [..., O]. Two products with the weight's columns, the second added to the first.</summary>
    public static Tensor LinearJoined(Tensor x, Tensor skip, Tensor w, Tensor? b = null)
    {
        int first = x.Shape[-1], second = JoinedChannels("linear", x, skip), inputs = first + second, outputs = w.Shape[0];
        if (w.Shape.Rank != 2 || w.Shape[1] != inputs)
            throw new ArgumentException(
                $"linear: inputs of shapes {x.Shape} and {skip.Shape} do not fit a weight of shape {w.Shape} [out, in]");
        RequireBias("linear", b, outputs);
        int rows = checked((int)(x.Count / Math.Max(1, first)));
        Tensor y = Tensor.Empty(x.Device, x.Shape.With(-1, outputs), x.Type);
        IKernels k = x.Kernels;
        k.MatMul(new(rows, outputs, first, false, true, first, inputs, outputs), x.Ptr, w.PtrAs(x.Type), new Target(y.Ptr, false),
            b?.Ptr ?? Ptr.None);
        k.MatMul(new(rows, outputs, second, false, true, second, inputs, outputs), skip.Ptr, w.PtrAs(x.Type) + first,
            new Target(y.Ptr, true));
        return Tape.Record(y, [x, skip, w, b], saved: [x, skip, w], dy =>
        {
            Target dw = dy.Target(w);
            if (w.RequiresGradient || b is { RequiresGradient: true })
                k.MatMulBackwardWeight(new(outputs, first, rows, true, false, outputs, first, inputs), dy.Ptr, x.Ptr, dw,
                    dy.Target(b));
            if (w.RequiresGradient)
                k.MatMul(new(outputs, second, rows, true, false, outputs, second, inputs), dy.Ptr, skip.Ptr,
                    dw with { Ptr = dw.Ptr + first });

            if (x.RequiresGradient)
                k.MatMul(new(rows, first, outputs, false, false, outputs, inputs, first), dy.Ptr, w.PtrAs(x.Type), dy.Target(x));
            if (skip.RequiresGradient)
                k.MatMul(new(rows, second, outputs, false, false, outputs, inputs, second), dy.Ptr, w.PtrAs(x.Type) + first,
                    dy.Target(skip));
        });
    }
}
