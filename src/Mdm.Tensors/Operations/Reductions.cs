using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>The sum of all elements, shape [1].</summary>
    public static Tensor Sum(Tensor x) => RowSums(x, 1, 1);

    /// <summary>The mean of all elements, shape [1].</summary>
    public static Tensor Mean(Tensor x) => RowSums(x, 1, 1f / x.Count);

    /// <summary>The sum over everything but the batch, shape [B].</summary>
    public static Tensor SumPerSample(Tensor x) => RowSums(x, x.Shape[0], 1);

    private static Tensor RowSums(Tensor x, int rows, float scale)
    {
        long cols = rows == 0 ? 0 : x.Count / rows;
        Tensor y = Tensor.Empty(x.Device, new Shape(rows));
        x.Kernels.SumRows(rows, cols, scale, x.Ptr, new Target(y.Ptr, false));
        return Tape.Record(y, [x], saved: [], dy => x.Kernels.SpreadRows(rows, cols, scale, dy.Ptr, dy.Target(x)));
    }

    /// <summary>Mean squared difference per sample, over everything but the batch: shape [B].</summary>
    public static Tensor MeanSquaredError(Tensor a, Tensor b)
    {
        RequireSameShape("mean squared error", a, b);
        int batch = a.Shape[0];
        long inner = batch == 0 ? 0 : a.Count / batch;
        Tensor loss = Tensor.Empty(a.Device, new Shape(batch));
        a.Kernels.MeanSquaredError(batch, inner, a.Ptr, b.Ptr, loss.Ptr);
        return Tape.Record(loss, [a, b], saved: [a, b], dy =>
            a.Kernels.MeanSquaredErrorBackward(batch, inner, a.Ptr, b.Ptr, dy.Ptr, dy.Target(a), dy.Target(b)));
    }

    /// <summary>Mean over the tokens of x [B,N,C], weighted by mask [B,N] where given: [B,C]. A sample whose mask is
    /// all zero gets 0.</summary>
    public static Tensor MaskedMean(Tensor x, Tensor? mask = null)
    {
        if (x.Shape.Rank != 3)
            throw new ArgumentException($"masked mean: the input has the shape {x.Shape}, expected [batch, tokens, channels]");
        int batch = x.Shape[0], tokens = x.Shape[1], channels = x.Shape[2];
        RequireMask(mask, batch, tokens);
        Tensor y = Tensor.Empty(x.Device, new Shape(batch, channels), x.Type);
        x.Kernels.MaskedMean(batch, tokens, channels, x.Ptr, mask?.Ptr ?? Ptr.None, y.Ptr);
        return Tape.Record(y, [x], saved: [mask], dy =>
            x.Kernels.MaskedMeanBackward(batch, tokens, channels, dy.Ptr, mask?.Ptr ?? Ptr.None, dy.Target(x)));
    }

    /// <summary>The p-quantile of |x| per sample, linear between order statistics: [B]. No gradient.</summary>
    public static Tensor AbsQuantile(Tensor x, float p)
    {
        if (p is not (>= 0 and <= 1))
            throw new ArgumentException($"quantile: p = {p}, expected 0..1");
        int batch = x.Shape[0];
        if (batch > 0 && x.Count == 0)
            throw new ArgumentException($"quantile: a sample of shape {x.Shape} has no elements");
        Tensor y = Tensor.Empty(x.Device, new Shape(batch));
        x.Kernels.AbsQuantile(batch, x.Count / batch, p, x.Ptr, y.Ptr);
        return y;
    }
}
