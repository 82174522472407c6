using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>Joins along the last dimension: [..., C₁] and [..., C₂] to [..., C₁+C₂].</summary>
    public static Tensor Concatenate(Tensor a, Tensor b)
    {
        int ca = a.Shape[-1], cb = b.Shape[-1], c = ca + cb;
        if (a.Shape.With(-1, cb) != b.Shape)
            throw new ArgumentException($"concatenation: the shapes {a.Shape} and {b.Shape} should differ in the last size only");
        RequireSameType("concatenation", a, b);
        int rows = checked((int)(a.Count / Math.Max(1, ca)));
        Tensor y = Tensor.Empty(a.Device, a.Shape.With(-1, c), a.Type);
        IKernels k = a.Kernels;
        k.CopyRows(rows, ca, new Rows(a.Ptr, ca), new RowsTarget(y.Ptr, c, false));
        k.CopyRows(rows, cb, new Rows(b.Ptr, cb), new RowsTarget(y.Ptr + ca, c, false));
        return Tape.Record(y, [a, b], saved: [], dy =>
        {
            Split(dy.Ptr, ca, dy.Target(a));
            Split(dy.Ptr + ca, cb, dy.Target(b));
        });

        void Split(Ptr source, int width, Target target)
        {
            if (!target.IsNone)
                k.CopyRows(rows, width, new Rows(source, c), new RowsTarget(target.Ptr, width, target.Accumulate));
        }
    }

    /// <summary>The samples first..first+count-1 of a batch, as a view.</summary>
    public static Tensor BatchSlice(Tensor x, int first, int count)
    {
        int batch = x.Shape[0];
        if (first < 0 || count < 0 || first + count > batch)
            throw new ArgumentException($"batch slice: samples {first}..{first + count - 1} of a batch of {batch}");
        if (count == batch)
            return x;
        long inner = x.Count / batch, skipped = first * inner, length = count * inner;
        Tensor y = x.View(skipped, x.Shape.With(0, count), null);
        return Tape.Record(y, [x], saved: [], dy =>
        {
            Target dx = dy.Target(x);
            if (!dx.Accumulate)
                x.Kernels.Zero(x.Count * dx.Ptr.Type.Size(), dx.Ptr.Address);
            x.Kernels.LinearCombination(length, 1, dy.Ptr, 0, Ptr.None, new Target(dx.Ptr + skipped, true));
        });
    }

    /// <summary>Zeros behind the samples of x up to a batch of the given size.</summary>
    public static Tensor PadBatch(Tensor x, int batch)
    {
        int present = x.Shape[0];
        if (batch < present)
            throw new ArgumentException($"batch padding: {present} samples do not fit a batch of {batch}");
        if (batch == present)
            return x;
        Tensor y = Tensor.Zeros(x.Device, x.Shape.With(0, batch), x.Type);
        x.Kernels.LinearCombination(x.Count, 1, x.Ptr, 0, Ptr.None, new Target(y.Ptr, false));
        return Tape.Record(y, [x], saved: [], dy => AddScaled(x, 1, dy.Ptr, dy.Target(x)));
    }

    /// <summary>Samples 0, step, 2·step, ... of a batch: [B,...] to [B/step,...]. No gradient.</summary>
    public static Tensor EveryNthSample(Tensor x, int step)
    {
        if (step < 1 || x.Shape[0] % step != 0)
            throw new ArgumentException($"every {step}-th sample of a batch of {x.Shape[0]}, expected a number that divides it");
        int batch = x.Shape[0] / step, inner = checked((int)(x.Count / Math.Max(1, x.Shape[0])));
        Tensor y = Tensor.Empty(x.Device, x.Shape.With(0, batch), x.Type);
        x.Kernels.CopyRows(batch, inner, new Rows(x.Ptr, step * inner), new RowsTarget(y.Ptr, inner, false));
        return y;
    }

    /// <summary>Joins batches: [B₁,...] and [B₂,...] to [B₁+B₂,...]. No gradient.</summary>
    public static Tensor JoinBatches(Tensor a, Tensor b)
    {
        if (a.Shape.With(0, b.Shape[0]) != b.Shape || a.Type != b.Type)
            throw new ArgumentException($"joining batches: {a} and {b} should differ in the first size only");
        Tensor y = Tensor.Empty(a.Device, a.Shape.With(0, a.Shape[0] + b.Shape[0]), a.Type);
        CopyTo(a, y.Ptr);
        CopyTo(b, y.Ptr + a.Count);
        return y;
    }

    /// <summary>Copies all elements to memory of the same device and type.</summary>
    internal static void CopyTo(Tensor x, Ptr to)
    {
        int rows = x.Shape[0], cols = checked((int)(x.Count / Math.Max(1, rows)));
        x.Kernels.CopyRows(rows, cols, new Rows(x.Ptr, cols), new RowsTarget(to, cols, false));
    }
}
