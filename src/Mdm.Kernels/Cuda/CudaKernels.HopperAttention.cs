using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    // Rows of a tile, of either side: queries of a block, and keys.
    private const int HopperAttentionRows = 128;

    /// <summary>Attention on Hopper's matrix core, as <see cref="AttentionForward"/>; false: it is not one for it.</summary>
    internal bool HopperAttentionForward(
        in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp)
    {
        if (!hopper.Handles(shape, q, k, v, o))
            return false;
        KernelModule module = Hopper.Attention(shape.HeadWidth);
        const string kernel = "hopper_attention_forward";
        if (!hopper.Ready(module, kernel))
            return false;
        TensorMap queries = HeadRows(shape, q, shape.Queries), keys = HeadRows(shape, k, shape.Keys);
        TensorMap values = HeadRows(shape, v, shape.Keys);
        AttentionArguments a = Arguments(shape, q, k, v, keyMask, o, logSumExp, Ptr.None);
        device.Launch(new(module, kernel), HopperAttentionGrid(shape, shape.Queries), Hopper.Threads, Hopper.SharedBytes,
            Arg.By(in queries), Arg.By(in keys), Arg.By(in values), Arg.By(in a));
        return true;
    }

    private int HopperAttentionGrid(in AttentionShape shape, int rows) => Math.Min(
        checked(Blocks(rows, HopperAttentionRows) * shape.Heads * shape.Batch), device.Properties.Multiprocessors);

    /// <summary>Tiles of a head's rows: beyond the head's columns and the sample's rows there are zeros.</summary>
    private TensorMap HeadRows(in AttentionShape shape, Rows rows, int count) => hopper.Maps[new TensorBoxes(
        rows.Ptr.Address, 4, shape.HeadWidth, shape.Heads, count, shape.Batch,
        shape.HeadWidth, rows.Stride, (long)count * rows.Stride, 64, 1, HopperAttentionRows, 1)];
}
