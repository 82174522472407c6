using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    // Rows of a block: queries, or keys of the backward pass.
    private const int HopperAttentionRows = 128;

    /// <summary>Attention on Hopper's matrix core, as <see cref="AttentionForward"/>; false: it is not one for it.</summary>
    internal bool HopperAttentionForward(
        in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp)
    {
        if (!hopper.Handles(shape, q, k, v, o))
            return false;
        KernelModule module = Hopper.AttentionForward(shape.HeadWidth);
        const string kernel = "hopper_attention_forward";
        if (!hopper.Ready(module, kernel))
            return false;
        TensorMap queries = HeadRows(shape, q, shape.Queries, HopperAttentionRows);
        TensorMap keys = HeadRows(shape, k, shape.Keys, 128), values = HeadRows(shape, v, shape.Keys, 128);
        AttentionArguments a = Arguments(shape, q, k, v, keyMask, o, logSumExp, Ptr.None);
        device.Launch(new(module, kernel), HopperAttentionGrid(shape, shape.Queries), Hopper.Threads, Hopper.SharedBytes,
            Arg.By(in queries), Arg.By(in keys), Arg.By(in values), Arg.By(in a));
        return true;
    }

    /// <summary>Gradients of attention on Hopper's matrix core, as <see cref="AttentionBackward"/>; false: it is not one for
    /// it. <paramref name="delta"/> [batch,heads,queries] is the sum over a head's columns of dO·o.</summary>
    internal bool HopperAttentionBackward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Ptr logSumExp, Ptr delta,
        Rows dO, RowsTarget dq, RowsTarget dk, RowsTarget dv)
    {
        bool queries = !dq.IsNone, keys = !dk.IsNone || !dv.IsNone;
        if (!hopper.Handles(shape, q, k, v, dO, Operand(dq), Operand(dk), Operand(dv)))
            return false;
        KernelModule module = Hopper.AttentionBackward(shape.HeadWidth);
        const string keysKernel = "hopper_attention_backward_keys", queriesKernel = "hopper_attention_backward_queries";
        if (!hopper.Ready(module, keysKernel))
            return false;
        AttentionArguments a = Arguments(shape, q, k, v, keyMask, default, logSumExp, Ptr.None);
        SetGradients(ref a, delta, dO, dq, dk, dv);
        if (keys)
        {
            int tile = shape.HeadWidth > 96 ? 32 : 64;
            TensorMap mapQ = HeadRows(shape, q, shape.Queries, tile), mapDO = HeadRows(shape, dO, shape.Queries, tile);
            TensorMap mapK = HeadRows(shape, k, shape.Keys, HopperAttentionRows);
            TensorMap mapV = HeadRows(shape, v, shape.Keys, HopperAttentionRows);
            device.Launch(new(module, keysKernel), HopperAttentionGrid(shape, shape.Keys), Hopper.Threads, Hopper.SharedBytes,
                Arg.By(in mapQ), Arg.By(in mapDO), Arg.By(in mapK), Arg.By(in mapV), Arg.By(in a));
        }

        if (queries)
        {
            int tile = shape.HeadWidth > 64 ? 64 : 128;
            TensorMap mapQ = HeadRows(shape, q, shape.Queries, HopperAttentionRows);
            TensorMap mapDO = HeadRows(shape, dO, shape.Queries, HopperAttentionRows);
            TensorMap mapK = HeadRows(shape, k, shape.Keys, tile), mapV = HeadRows(shape, v, shape.Keys, tile);
            device.Launch(new(module, queriesKernel), HopperAttentionGrid(shape, shape.Queries), Hopper.Threads,
                Hopper.SharedBytes, Arg.By(in mapQ), Arg.By(in mapDO), Arg.By(in mapK), Arg.By(in mapV), Arg.By(in a));
        }

        return true;

        // One that is not wanted has no say.
        Rows Operand(RowsTarget target) => target.IsNone ? q : new Rows(target.Ptr, target.Stride);
    }

    private int HopperAttentionGrid(in AttentionShape shape, int rows) => Math.Min(
        checked(Blocks(rows, HopperAttentionRows) * shape.Heads * shape.Batch), device.Properties.Multiprocessors);

    /// <summary>Tiles of a head's rows: beyond the head's columns and the sample's rows there are zeros.</summary>
    private TensorMap HeadRows(in AttentionShape shape, Rows rows, int count, int tile) => hopper.Maps[new TensorBoxes(
        rows.Ptr.Address, 4, shape.HeadWidth, shape.Heads, count, shape.Batch,
        shape.HeadWidth, rows.Stride, (long)count * rows.Stride, 64, 1, tile, 1)];
}
