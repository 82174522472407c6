using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>
    /// GroupNorm over positions and the channels of each group of x [B,...,C]: n = (x-μ)/√(σ²+ε)·γ+β; then, where given,
    /// n·(1+s)+t with scaleShift [B,2C] = (s, t); then, where asked, SiLU. γ, β are [C]. With a skip [B,...,C₂] and x [B,...,C₁]
    /// it is that of their concatenation (C = C₁+C₂), which is not stored.
    /// </summary>
    public static Tensor GroupNorm(Tensor x, Tensor gamma, Tensor beta, int groups, Tensor? scaleShift = null, bool silu = false,
        float epsilon = 1e-5f, Tensor? skip = null)
    {
        // Its halves' gradients would be written to the same place at the same time.
        if (skip != null && skip.Slot != null && skip.Slot == x.Slot)
            return GroupNorm(Concatenate(x, skip), gamma, beta, groups, scaleShift, silu, epsilon);
        int batch = x.Shape[0], skipChannels = JoinedChannels("group norm", x, skip), channels = x.Shape[-1] + skipChannels;
        if (groups <= 0 || channels % groups != 0)
            throw new ArgumentException($"group norm: {channels} channels are not divisible by {groups} groups");
        if (gamma.Count != channels || beta.Count != channels)
            throw new ArgumentException(
                $"group norm: weight and bias have the shapes {gamma.Shape} and {beta.Shape}, expected [{channels}]");
        if (scaleShift != null && scaleShift.Shape != new Shape(batch, 2 * channels))
            throw new ArgumentException(
                $"group norm: scale and shift have the shape {scaleShift.Shape}, expected [{batch}, {2 * channels}]");
        RequireFloat32("group norm", "weight", gamma);
        RequireFloat32("group norm", "bias", beta);
        if (scaleShift != null)
            RequireSameType("group norm", x, scaleShift);
        int positions = batch == 0 || x.Shape[-1] == 0 ? 0 : checked((int)(x.Count / batch / x.Shape[-1]));
        var shape = new GroupNormShape(batch, positions, channels, groups, epsilon, silu, skipChannels);
        Tensor y = Tensor.Empty(x.Device, x.Shape.With(-1, channels), x.Type);
        Tensor mean = Tensor.Empty(x.Device, new Shape(batch, groups)), rstd = Tensor.Like(mean);
        Ptr modulation = scaleShift?.Ptr ?? Ptr.None, second = skip?.Ptr ?? Ptr.None;
        IKernels k = x.Kernels;
        k.GroupNormForward(shape, x.Ptr, gamma.Ptr, beta.Ptr, modulation, y.Ptr, mean.Ptr, rstd.Ptr, second);
        return Tape.Record(y, [x, skip, gamma, beta, scaleShift], saved: [x, skip, gamma, beta, scaleShift, mean, rstd], dy =>
            k.GroupNormBackward(shape, dy.Ptr, x.Ptr, gamma.Ptr, beta.Ptr, modulation, mean.Ptr, rstd.Ptr,
                dy.Target(x), dy.Target(gamma), dy.Target(beta), dy.Target(scaleShift), second, dy.Target(skip)));
    }

    /// <summary>Channels of a second tensor that is read as if joined to x: 0 without one.</summary>
    private static int JoinedChannels(string operation, Tensor x, Tensor? skip)
    {
        if (skip == null)
            return 0;
        if (skip.Shape != x.Shape.With(-1, skip.Shape[-1]))
            throw new ArgumentException(
                $"{operation}: the shapes {x.Shape} and {skip.Shape} of what is joined should differ in the last size only");
        RequireSameType(operation, x, skip);
        RequireSameType(operation, x, skip);
        return skip.Shape[-1];
    }

    /// <summary>LayerNorm over the last dimension: (x-μ)/√(σ²+ε)·γ+β, γ and β [C].</summary>
    public static Tensor LayerNorm(Tensor x, Tensor gamma, Tensor beta, float epsilon = 1e-5f)
    {
        int cols = x.Shape[-1];
        if (gamma.Count != cols || beta.Count != cols)
            throw new ArgumentException(
                $"layer norm: an input of shape {x.Shape} does not fit a weight of shape {gamma.Shape} "
                + $"and a bias of shape {beta.Shape}");
        RequireFloat32("layer norm", "weight", gamma);
        RequireFloat32("layer norm", "bias", beta);
        int rows = cols == 0 ? 0 : checked((int)(x.Count / cols));
        Tensor y = Tensor.Like(x);
        Tensor mean = Tensor.Empty(x.Device, new Shape(rows)), rstd = Tensor.Like(mean);
        IKernels k = x.Kernels;
        k.LayerNormForward(rows, cols, epsilon, x.Ptr, gamma.Ptr, beta.Ptr, y.Ptr, mean.Ptr, rstd.Ptr);
        return Tape.Record(y, [x, gamma, beta], saved: [x, gamma, mean, rstd], dy =>
            k.LayerNormBackward(rows, cols, dy.Ptr, x.Ptr, gamma.Ptr, mean.Ptr, rstd.Ptr,
                dy.Target(x), dy.Target(gamma), dy.Target(beta)));
    }

    /// <summary>RMSNorm over the last dimension: x/√(mean(x²)+ε)·γ, γ [C].</summary>
    public static Tensor RmsNorm(Tensor x, Tensor gamma, float epsilon = 1e-6f)
    {
        int cols = x.Shape[-1];
        if (gamma.Count != cols)
            throw new ArgumentException(
                $"RMS norm: an input of shape {x.Shape} does not fit a weight of shape {gamma.Shape}, expected [{cols}]");
        RequireFloat32("RMS norm", "weight", gamma);
        int rows = cols == 0 ? 0 : checked((int)(x.Count / cols));
        Tensor y = Tensor.Like(x), rstd = Tensor.Empty(x.Device, new Shape(rows));
        IKernels k = x.Kernels;
        k.RmsNormForward(rows, cols, epsilon, x.Ptr, gamma.Ptr, y.Ptr, rstd.Ptr);
        return Tape.Record(y, [x, gamma], saved: [x, gamma, rstd], dy =>
            k.RmsNormBackward(rows, cols, dy.Ptr, x.Ptr, gamma.Ptr, rstd.Ptr, dy.Target(x), dy.Target(gamma)));
    }

    /// <summary>x / std(x) per sample: unbiased standard deviation over everything but the batch, mean not removed.</summary>
    public static Tensor StdNormalize(Tensor x)
    {
        int batch = x.Shape[0];
        long inner = batch == 0 ? 0 : x.Count / batch;
        if (inner < 2)
            throw new ArgumentException(
                $"standard deviation: a sample of shape {x.Shape} has {inner} elements, expected 2 or more");
        Tensor y = Tensor.Like(x);
        Tensor mean = Tensor.Empty(x.Device, new Shape(batch)), std = Tensor.Like(mean);
        IKernels k = x.Kernels;
        k.StdNormalizeForward(batch, inner, x.Ptr, y.Ptr, mean.Ptr, std.Ptr);
        return Tape.Record(y, [x], saved: [x, mean, std], dy =>
            k.StdNormalizeBackward(batch, inner, dy.Ptr, x.Ptr, mean.Ptr, std.Ptr, dy.Target(x)));
    }
}
