namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string BlocksFile = "blocks.cu";

    private static KernelModule[] BlocksModules => KernelModule.BothTypes(BlocksFile);

    public void CopyBlocks(in BlockGrid grid, Ptr x, in BlockStrides from, Target y, in BlockStrides to)
    {
        if (y.IsNone || grid.Count == 0)
            return;
        RequireType("copy of blocks: y", y.Ptr, x.Type);
        long distances = from.Outer | from.Row | from.Col | to.Outer | to.Row | to.Col;
        bool wide = IsWide(x.Type, (uint)grid.Inner | distances, x, y.Ptr);
        int groups = wide ? grid.Inner / (16 / x.Type.Size()) : grid.Inner;
        long units = (long)grid.Outer * grid.Rows * grid.Cols * groups;
        LaunchBlocks(BlocksFile, wide ? "copy_blocks_wide" : "copy_blocks", x.Type, StrideBlocks(units), units, grid.Rows,
            grid.Cols, groups, x, from.Outer, from.Row, from.Col, y.Ptr, to.Outer, to.Row, to.Col, y.Accumulate);
    }

    public void Rotate(in RotaryShape shape, Rows x, RowsTarget y)
    {
        int pairs = shape.HeadWidth / 2;
        long units = (long)shape.Rows * (shape.Columns / 2);
        if (y.IsNone || units == 0)
            return;
        RequireType("rotary positions: y", y.Ptr, x.Ptr.Type);
        LaunchBlocks(BlocksFile, "rotate", x.Ptr.Type, StrideBlocks(units), units, shape.Columns / 2, pairs, shape.Positions,
            (float)(-Math.Log(10000) / pairs), shape.Inverse ? -1f : 1f, x.Ptr, (long)x.Stride, y.Ptr, (long)y.Stride,
            y.Accumulate);
    }
}
