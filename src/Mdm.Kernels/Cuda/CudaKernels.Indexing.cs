namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string IndexingFile = "indexing.cu";

    private static KernelModule[] IndexingModules => KernelModule.BothTypes(IndexingFile);

    public void GatherRows(int rows, int cols, int tableRows, Ptr ids, Ptr table, Ptr y)
    {
        RequireType("look-up: ids", ids, DType.Int32);
        RequireType("look-up: y", y, table.Type);
        bool wide = IsWide(table.Type, cols, table, y);
        long units = (long)rows * (wide ? cols / (16 / table.Type.Size()) : cols);
        if (units > 0)
            LaunchBlocks(IndexingFile, wide ? "gather_rows_wide" : "gather_rows", table.Type, StrideBlocks(units), units,
                cols, tableRows, ids, table, y);
    }

    public void ScatterAddRows(int rows, int cols, int tableRows, Ptr ids, Ptr dy, Ptr dtable)
    {
        const int Threads = 128, Columns = 4 * Threads;
        RequireType("gradient of a look-up: ids", ids, DType.Int32);
        bool own = dtable.Type != DType.Float32;
        if (own)
            RequireType("gradient of a look-up: dtable", dtable, dy.Type);
        if (rows > 0 && cols > 0)
            Launch(IndexingFile, own ? "scatter_add_rows_own" : "scatter_add_rows", dy.Type,
                new Dim3(rows, Blocks(cols, Columns)), Threads, 0, rows, cols, tableRows, ids, dy, dtable);
    }

    public void Sinusoid(int batch, int width, Ptr t, Ptr y)
    {
        RequireType("sinusoid: t", t, DType.Float32);
        int d = width / 2;
        long threads = (long)batch * (d + width % 2);
        if (threads > 0)
            LaunchBlocks(IndexingFile, "sinusoid", y.Type, Blocks(threads, ElementThreads), batch, width,
                (float)(-Math.Log(10000) / d), t, y);
    }
}
