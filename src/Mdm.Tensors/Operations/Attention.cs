using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>Multi-head self-attention, softmax(scale · q kᵀ + bias) v: qkv [B,L,3C] holds all queries, all keys, all values;
    /// head h owns channels h·C/heads.. of each. keyMask [B,L] float32, 0 = left out. bias [heads,L,L] float32 is shared by
    /// the samples and gets no gradient. scale is 1/√(C/heads) if not given. Result [B,L,C].</summary>
    public static Tensor SelfAttention(Tensor qkv, int heads, Tensor? keyMask = null, Tensor? bias = null, float? scale = null)
    {
        int channels = HeadChannels("self-attention", qkv, 3, heads);
        int batch = qkv.Shape[0], length = qkv.Shape[1];
        RequireMask(keyMask, batch, length);
        if (bias != null && bias.Shape != new Shape(heads, length, length))
            throw new ArgumentException(
                $"self-attention: the bias has the shape {bias.Shape}, expected [{heads}, {length}, {length}]");
        RequireFloat32("self-attention", "bias", bias);
        var shape = Shaped(batch, heads, channels, length, length, scale);
        Tensor o = Tensor.Empty(qkv.Device, new Shape(batch, length, channels), qkv.Type);
        Tensor logSumExp = Tensor.Empty(qkv.Device, new Shape(batch, heads, length));
        IKernels k = qkv.Kernels;
        Ptr mask = keyMask?.Ptr ?? Ptr.None;
        Ptr added = bias?.Ptr ?? Ptr.None;
        int stride = 3 * channels;
        Rows Part(int i) => new(qkv.Ptr + (long)i * channels, stride);
        k.AttentionForward(shape, Part(0), Part(1), Part(2), mask, new Rows(o.Ptr, channels), logSumExp.Ptr, added);
        return Tape.Record(o, [qkv], saved: [qkv, keyMask, bias, o, logSumExp], dy =>
        {
            Target d = dy.Target(qkv);
            RowsTarget Gradient(int i) => new(d.Ptr + (long)i * channels, stride, d.Accumulate);
            k.AttentionBackward(shape, Part(0), Part(1), Part(2), mask, new Rows(o.Ptr, channels), logSumExp.Ptr,
                new Rows(dy.Ptr, channels), Gradient(0), Gradient(1), Gradient(2), added);
        });
    }

    /// <summary>Multi-head cross-attention with the queries of qkv [B,L,3C] (its first C columns) and the keys and values of
    /// kv [B,N,2C]. keyMask [B,N] float32, 0 = left out. Result [B,L,C].</summary>
    public static Tensor CrossAttention(Tensor qkv, Tensor kv, int heads, Tensor? keyMask = null)
    {
        int channels = HeadChannels("cross-attention", qkv, 3, heads);
        int batch = qkv.Shape[0], length = qkv.Shape[1], keys = kv.Shape[1];
        if (kv.Shape != new Shape(batch, keys, 2 * channels))
            throw new ArgumentException(
                $"cross-attention: keys and values have the shape {kv.Shape}, expected [{batch}, tokens, {2 * channels}]");
        RequireSameType("cross-attention", qkv, kv);
        RequireMask(keyMask, batch, keys);
        var shape = Shaped(batch, heads, channels, length, keys);
        Tensor o = Tensor.Empty(qkv.Device, new Shape(batch, length, channels), qkv.Type);
        Tensor logSumExp = Tensor.Empty(qkv.Device, new Shape(batch, heads, length));
        IKernels k = qkv.Kernels;
        Ptr mask = keyMask?.Ptr ?? Ptr.None;
        int qStride = 3 * channels, kvStride = 2 * channels;
        Rows Query() => new(qkv.Ptr, qStride);
        Rows Part(int i) => new(kv.Ptr + (long)i * channels, kvStride);
        k.AttentionForward(shape, Query(), Part(0), Part(1), mask, new Rows(o.Ptr, channels), logSumExp.Ptr);
        return Tape.Record(o, [qkv, kv], saved: [qkv, kv, keyMask, o, logSumExp], dy =>
        {
            Target dqkv = dy.Target(qkv), dkv = dy.Target(kv);
            // Only the queries' columns get a gradient here; the others must not stay undefined.
            if (!dqkv.IsNone && !dqkv.Accumulate)
                k.Zero(qkv.Count * dqkv.Ptr.Type.Size(), dqkv.Ptr.Address);
            RowsTarget dq = dqkv.IsNone ? RowsTarget.None : new RowsTarget(dqkv.Ptr, qStride, true);
            RowsTarget Gradient(int i) =>
                dkv.IsNone ? RowsTarget.None : new RowsTarget(dkv.Ptr + (long)i * channels, kvStride, dkv.Accumulate);
            k.AttentionBackward(shape, Query(), Part(0), Part(1), mask, new Rows(o.Ptr, channels), logSumExp.Ptr,
                new Rows(dy.Ptr, channels), dq, Gradient(0), Gradient(1));
        });
    }

    private static AttentionShape Shaped(int batch, int heads, int channels, int queries, int keys, float? scale = null) =>
        new(batch, heads, channels / heads, queries, keys, scale ?? 1f / MathF.Sqrt(channels / heads));

    private static int HeadChannels(string operation, Tensor packed, int parts, int heads)
    {
        if (packed.Shape.Rank != 3 || heads <= 0 || packed.Shape[2] % parts != 0 || packed.Shape[2] / parts % heads != 0)
            throw new ArgumentException(
                $"{operation}: queries, keys and values have the shape {packed.Shape}, expected "
                + $"[batch, length, {parts} x channels] with channels divisible by {heads} heads");
        return packed.Shape[2] / parts;
    }

    private static void RequireMask(Tensor? mask, int batch, int keys)
    {
        if (mask != null && mask.Shape != new Shape(batch, keys))
            throw new ArgumentException($"attention: the mask has the shape {mask.Shape}, expected [{batch}, {keys}]");
        RequireFloat32("attention", "mask", mask);
    }
}
