using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda;

// bfloat16 goes to tensor cores, in the compilation for the next larger head width (on Hopper in tiles of 128 queries, unless
// there are too few); float32, wider heads and what else those kernels do not do, to the generic kernels.
internal sealed partial class CudaKernels
{
    private const string AttentionFile = "attention.cu";
    private const string AttentionBackwardFile = "attention_backward.cu";
    private const string AttentionGenericFile = "attention_generic.cu";
    private const int AttentionThreads = 128;
    private const int GenericAttentionThreads = 256;
    private const int GenericAttentionTile = 64;

    private static KernelModule[] AttentionModules =>
        [.. Attentions.Forward, .. Attentions.Backward, .. Attentions.Generic, Attentions.GenericBFloat16];

    public void AttentionForward(
        in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Ptr bias = default)
    {
        RequireType("attention: k", k.Ptr, q.Ptr.Type);
        RequireType("attention: v", v.Ptr, q.Ptr.Type);
        RequireType("attention: o", o.Ptr, q.Ptr.Type);
        if (shape.Batch == 0 || shape.Queries == 0)
            return;
        if (shape.Queries > 64 && bias.IsNone && HopperAttentionForward(shape, q, k, v, keyMask, o, logSumExp))
            return;
        AttentionArguments a = Arguments(shape, q, k, v, keyMask, o, logSumExp, bias);
        if (!OnTensorCores(shape, q.Ptr.Type))
        {
            LaunchGeneric("attention_forward", shape, q.Ptr.Type, shape.Queries, a);
            return;
        }

        // Shared memory: the queries of the block, two stages of keys and values.
        int variant = WidthVariant(shape.HeadWidth), tile = Attentions.Widths[variant] > 96 ? 32 : 64;
        bool wide = bias.IsNone && Wide(shape, a, shape.Queries, SharedBytes(variant, 128 + 4 * tile));
        LaunchOnTensorCores(new KernelId(Attentions.Forward[variant], wide ? "attention_forward_128" : "attention_forward_64"),
            shape, shape.Queries, wide, SharedBytes(variant, (wide ? 128 : 64) + 4 * tile), a);
    }

    public void AttentionBackward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Rows dO,
        RowsTarget dq, RowsTarget dk, RowsTarget dv, Ptr bias = default)
    {
        DType type = q.Ptr.Type;
        RequireType("attention: dO", dO.Ptr, type);
        RequireType("attention: dq", dq.Ptr, type);
        RequireType("attention: dk", dk.Ptr, type);
        RequireType("attention: dv", dv.Ptr, type);
        bool queries = !dq.IsNone && shape.Queries > 0, keys = (!dk.IsNone || !dv.IsNone) && shape.Keys > 0;
        if (shape.Batch == 0 || (!queries && !keys))
            return;
        long numbers = (long)shape.Batch * shape.Heads * shape.Queries;
        using Scratch delta = device.Borrow(Math.Max(1, numbers) * sizeof(float));
        AttentionArguments a = Arguments(shape, q, k, v, keyMask, o, logSumExp, bias);
        SetGradients(ref a, delta.As(DType.Float32), dO, dq, dk, dv);
        bool aligned = Aligned(dO.Ptr, dO.Stride) && Aligned(dq.Ptr, dq.Stride) && Aligned(dk.Ptr, dk.Stride)
            && Aligned(dv.Ptr, dv.Stride);
        a.Vector = aligned ? a.Vector : 0;
        if (numbers > 0)
            device.Launch(new KernelId(GenericModule(type, shape.HeadWidth).Module, "attention_delta"),
                Blocks(4 * numbers, GenericAttentionThreads), GenericAttentionThreads, 0, Arg.By(in a));

        if (shape.Queries > 64 && bias.IsNone
            && HopperAttentionBackward(shape, q, k, v, keyMask, logSumExp, delta.As(DType.Float32), dO, dq, dk, dv))
            return;
        if (!OnTensorCores(shape, type) || !bias.IsNone)
        {
            if (keys)
                LaunchGeneric("attention_backward_keys", shape, type, shape.Keys, a);
            if (queries)
                LaunchGeneric("attention_backward_queries", shape, type, shape.Queries, a);
            return;
        }

        // Shared memory: two operands of the block's own rows, two stages of two operands of the other side's tile.
        int variant = WidthVariant(shape.HeadWidth), width = Attentions.Widths[variant];
        int wideBytes = SharedBytes(variant, 2 * 128 + 4 * 32), bytes = SharedBytes(variant, 2 * 64 + 4 * (width > 96 ? 32 : 64));
        if (keys)
        {
            // Up to 64 keys fill half of a larger block; above width 64 there is none.
            bool wide = width <= 64 && shape.Keys > 64 && Wide(shape, a, shape.Keys, wideBytes);
            string kernel = wide ? "attention_backward_keys_128" : "attention_backward_keys_64";
            LaunchOnTensorCores(new KernelId(Attentions.Backward[variant], kernel), shape, shape.Keys, wide,
                wide ? wideBytes : bytes, a);
        }

        if (queries)
        {
            bool wide = Wide(shape, a, shape.Queries, wideBytes);
            string kernel = wide ? "attention_backward_queries_128" : "attention_backward_queries_64";
            LaunchOnTensorCores(new KernelId(Attentions.Backward[variant], kernel), shape, shape.Queries, wide,
                wide ? wideBytes : bytes, a);
        }
    }

    /// <summary>Whether to give a block 128 rows rather than 64: more work for each byte from shared memory, if the rows are
    /// aligned, all multiprocessors get a block, and there is the memory.</summary>
    private bool Wide(in AttentionShape shape, in AttentionArguments a, int rows, int sharedBytes) =>
        a.Vector != 0 && sharedBytes <= device.Properties.SharedPerBlock
        && (long)Blocks(rows, 128) * shape.Heads * shape.Batch >= device.Properties.Multiprocessors;

    private void LaunchOnTensorCores(
        in KernelId kernel, in AttentionShape shape, int rows, bool wide, int sharedBytes, in AttentionArguments a) =>
        device.Launch(kernel, new Dim3(Blocks(rows, wide ? 128 : 64), shape.Heads, shape.Batch), AttentionThreads, sharedBytes,
            Arg.By(in a));

    private void LaunchGeneric(string kernel, in AttentionShape shape, DType type, int rows, in AttentionArguments a)
    {
        (KernelModule module, int slice) = GenericModule(type, shape.HeadWidth);
        device.Launch(new KernelId(module, kernel),
            new Dim3(Blocks(rows, GenericAttentionTile) * Blocks(shape.HeadWidth, slice), shape.Heads, shape.Batch),
            GenericAttentionThreads, 0, Arg.By(in a));
    }

    /// <summary>The running maximum is taken of q·k before it is scaled, so the scale must be positive there.</summary>
    private static bool OnTensorCores(in AttentionShape shape, DType type) =>
        type == DType.BFloat16 && shape.HeadWidth <= Attentions.Widths[^1] && shape.Scale > 0;

    /// <summary>Which of <see cref="Attentions.Widths"/> holds a head.</summary>
    private static int WidthVariant(int headWidth)
    {
        int i = 0;
        while (Attentions.Widths[i] < headWidth)
            i++;
        return i;
    }

    /// <summary>Bytes of so many rows in shared memory, each 8 elements longer than the padded head.</summary>
    private static int SharedBytes(int variant, int rows) => rows * (Attentions.Widths[variant] + 8) * DType.BFloat16.Size();

    private static (KernelModule Module, int Slice) GenericModule(DType type, int headWidth)
    {
        int last = Attentions.Slices.Length - 1, i = 0;
        if (type == DType.BFloat16)
            return (Attentions.GenericBFloat16, Attentions.Slices[last]);
        while (i < last && Attentions.Slices[i] < headWidth)
            i++;
        return (Attentions.Generic[i], Attentions.Slices[i]);
    }

    private static bool Aligned(Ptr p, int stride) => p.Address % 16 == 0 && (long)stride * p.Type.Size() % 16 == 0;

    private static AttentionArguments Arguments(
        in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Ptr bias) => new()
        {
            Q = q.Ptr.Address,
            K = k.Ptr.Address,
            V = v.Ptr.Address,
            O = o.Ptr.Address,
            Mask = keyMask.Address,
            Bias = bias.Address,
            LogSumExp = logSumExp.Address,
            QStride = q.Stride,
            KStride = k.Stride,
            VStride = v.Stride,
            OStride = o.Stride,
            Batch = shape.Batch,
            Heads = shape.Heads,
            Width = shape.HeadWidth,
            Queries = shape.Queries,
            Keys = shape.Keys,
            Scale = shape.Scale,
            Vector = shape.HeadWidth * q.Ptr.Type.Size() % 16 == 0 && Aligned(q.Ptr, q.Stride) && Aligned(k.Ptr, k.Stride)
                && Aligned(v.Ptr, v.Stride) && Aligned(o.Ptr, o.Stride) ? 1 : 0,
        };

    private static void SetGradients(
        ref AttentionArguments a, Ptr delta, Rows dO, RowsTarget dq, RowsTarget dk, RowsTarget dv)
    {
        a.Delta = delta.Address;
        (a.DO, a.DOStride) = (dO.Ptr.Address, dO.Stride);
        (a.DQ, a.DQStride, a.AddQ) = (dq.Ptr.Address, dq.Stride, dq.Accumulate ? 1 : 0);
        (a.DK, a.DKStride, a.AddK) = (dk.Ptr.Address, dk.Stride, dk.Accumulate ? 1 : 0);
        (a.DV, a.DVStride, a.AddV) = (dv.Ptr.Address, dv.Stride, dv.Accumulate ? 1 : 0);
    }

    /// <summary>The compilations. A class of its own, so that they are there before the list of all kernels is made.</summary>
    private static class Attentions
    {
        /// <summary>Head widths that the kernels for tensor cores are compiled for.</summary>
        public static readonly int[] Widths = [32, 48, 64, 96, 128];

        /// <summary>Columns of the result that a block of the generic kernels makes.</summary>
        public static readonly int[] Slices = [64, 96, 128];

        public static readonly KernelModule[] Forward =
            Array.ConvertAll(Widths, width => new KernelModule(AttentionFile, $"MDM_T=bf16 WIDTH={width}"));

        public static readonly KernelModule[] Backward =
            Array.ConvertAll(Widths, width => new KernelModule(AttentionBackwardFile, $"MDM_T=bf16 WIDTH={width}"));

        public static readonly KernelModule[] Generic =
            Array.ConvertAll(Slices, slice => new KernelModule(AttentionGenericFile, $"MDM_T=float SLICE={slice}"));

        /// <summary>bfloat16 comes to the generic kernels rarely: one compilation is enough.</summary>
        public static readonly KernelModule GenericBFloat16 = new(AttentionGenericFile, $"MDM_T=bf16 SLICE={Slices[^1]}");
    }

    /// <summary>The structure of the same name in <c>kernels/include/attention.cuh</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct AttentionArguments
    {
        public nint Q, K, V, O, DO, DQ, DK, DV, Delta, LogSumExp, Mask, Bias;
        public int QStride, KStride, VStride, OStride, DOStride, DQStride, DKStride, DVStride;
        public int Batch, Heads, Width, Queries, Keys;
        public float Scale;
        public int Vector, AddQ, AddK, AddV;
    }
}
