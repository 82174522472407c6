namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string LayerNormFile = "layernorm.cu";
    private const string StdNormFile = "stdnorm.cu";

    private static KernelModule[] NormalizationModules =>
    [
        .. KernelModule.BothTypes(GroupNormFile), .. KernelModule.BothTypes(GroupNormBackwardFile),
        .. KernelModule.BothTypes(LayerNormFile), .. KernelModule.BothTypes(StdNormFile),
    ];

    public void LayerNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr beta, Ptr y, Ptr mean, Ptr rstd)
    {
        if (rows == 0 || cols == 0)
            return;
        RowPlan plan = PlanRows(rows, cols, x.Type, x, y, gamma, beta);
        string kernel = plan.Pick(
            "layernorm_warp_wide", "layernorm_warp_single", "layernorm_block_wide", "layernorm_block_single");
        Launch(LayerNormFile, kernel, x.Type, plan.Blocks, plan.Threads, 0, rows, cols, epsilon, x, gamma, beta, y, mean, rstd);
    }

    public void LayerNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr mean, Ptr rstd,
        Target dx, Target dgamma, Target dbeta)
    {
        RequireType("layer norm: dx", dx, x.Type);
        if (cols == 0)
            return;
        if (rows > 0 && !dx.IsNone)
        {
            RowPlan plan = PlanRows(rows, cols, x.Type, x, dy, dx.Ptr, gamma);
            string kernel = plan.Pick(
                "layernorm_input_warp_wide", "layernorm_input_warp_single",
                "layernorm_input_block_wide", "layernorm_input_block_single");
            Launch(LayerNormFile, kernel, x.Type, plan.Blocks, plan.Threads, 0,
                rows, cols, dy, x, gamma, mean, rstd, dx.Ptr, dx.Accumulate);
        }

        if (dgamma.IsNone && dbeta.IsNone)
            return;
        ColumnPlan sums = RowSums(rows, cols, x, dy);
        using Scratch partials = device.Borrow(2L * sizeof(float) * sums.Chunks * cols);
        if (rows > 0)
            Launch(LayerNormFile, sums.Pick("layernorm_sums_wide", "layernorm_sums_single"), x.Type,
                new Dim3(sums.Chunks, sums.Tiles), sums.Threads, sums.SharedBytes,
                rows, cols, sums.Columns, sums.Rows, sums.ChunkRows, dy, x, mean, rstd, partials.As(DType.Float32));
        FinishRowParameters(rows, cols, x.Type, sums, partials, dgamma, dbeta);
    }

    public void RmsNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr y, Ptr rstd)
    {
        if (rows == 0 || cols == 0)
            return;
        RowPlan plan = PlanRows(rows, cols, x.Type, x, y, gamma);
        Launch(LayerNormFile, plan.Pick("rmsnorm_warp_wide", "rmsnorm_warp_single", "rmsnorm_block_wide", "rmsnorm_block_single"),
            x.Type, plan.Blocks, plan.Threads, 0, rows, cols, epsilon, x, gamma, y, rstd);
    }

    public void RmsNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr rstd, Target dx, Target dgamma)
    {
        RequireType("RMS norm: dx", dx, x.Type);
        if (cols == 0)
            return;
        if (rows > 0 && !dx.IsNone)
        {
            RowPlan plan = PlanRows(rows, cols, x.Type, x, dy, dx.Ptr, gamma);
            string kernel = plan.Pick(
                "rmsnorm_input_warp_wide", "rmsnorm_input_warp_single", "rmsnorm_input_block_wide", "rmsnorm_input_block_single");
            Launch(LayerNormFile, kernel, x.Type, plan.Blocks, plan.Threads, 0,
                rows, cols, dy, x, gamma, rstd, dx.Ptr, dx.Accumulate);
        }

        if (dgamma.IsNone)
            return;
        ColumnPlan sums = RowSums(rows, cols, x, dy);
        using Scratch partials = device.Borrow(2L * sizeof(float) * sums.Chunks * cols);
        if (rows > 0)
            Launch(LayerNormFile, sums.Pick("rmsnorm_sums_wide", "rmsnorm_sums_single"), x.Type,
                new Dim3(sums.Chunks, sums.Tiles), sums.Threads, sums.SharedBytes,
                rows, cols, sums.Columns, sums.Rows, sums.ChunkRows, dy, x, rstd, partials.As(DType.Float32));
        FinishRowParameters(rows, cols, x.Type, sums, partials, dgamma, Target.None);
    }

    public void StdNormalizeForward(int batch, long inner, Ptr x, Ptr y, Ptr mean, Ptr std)
    {
        if (batch == 0 || inner == 0)
            return;
        int chunks = SampleChunks(batch, inner);
        bool wide = IsWide(x.Type, inner, x, y);
        using Scratch scratch = device.Borrow(2L * sizeof(float) * batch * chunks);
        Ptr partials = scratch.As(DType.Float32);
        var grid = new Dim3(chunks, batch);
        Launch(StdNormFile, wide ? "stdnorm_moments_wide" : "stdnorm_moments_single", x.Type, grid, 256, 0, inner, x, partials);
        Launch(StdNormFile, wide ? "stdnorm_scale_wide" : "stdnorm_scale_single", x.Type, grid, 256, 0,
            inner, x, partials, y, mean, std);
    }

    public void StdNormalizeBackward(int batch, long inner, Ptr dy, Ptr x, Ptr mean, Ptr std, Target dx)
    {
        RequireType("standard deviation: dx", dx, x.Type);
        if (batch == 0 || inner == 0 || dx.IsNone)
            return;
        int chunks = SampleChunks(batch, inner);
        bool wide = IsWide(x.Type, inner, x, dy, dx.Ptr);
        using Scratch scratch = device.Borrow((long)sizeof(float) * batch * chunks);
        Ptr partials = scratch.As(DType.Float32);
        var grid = new Dim3(chunks, batch);
        Launch(StdNormFile, wide ? "stdnorm_products_wide" : "stdnorm_products_single", x.Type, grid, 256, 0,
            inner, dy, x, partials);
        Launch(StdNormFile, wide ? "stdnorm_input_wide" : "stdnorm_input_single", x.Type, grid, 256, 0,
            inner, dy, x, mean, std, partials, dx.Ptr, dx.Accumulate);
    }

    /// <summary>How rows are shared out: a warp or a block a row, 16 bytes or one element a thread and load.</summary>
    private readonly record struct RowPlan(bool Warp, bool Wide, int Blocks, int Threads)
    {
        public string Pick(string warpWide, string warpSingle, string blockWide, string blockSingle) =>
            Warp ? Wide ? warpWide : warpSingle : Wide ? blockWide : blockSingle;
    }

    private static RowPlan PlanRows(int rows, int cols, DType type, params ReadOnlySpan<Ptr> operands)
    {
        const int WarpsPerBlock = 4, BlockThreads = 256;
        bool wide = IsWide(type, cols, operands);
        // What RowPacks keeps in a warp's registers.
        int kept = wide ? 4 * 16 / type.Size() : 8;
        return cols <= 32 * kept
            ? new RowPlan(true, wide, Blocks(rows, WarpsPerBlock), 32 * WarpsPerBlock)
            : new RowPlan(false, wide, rows, BlockThreads);
    }

    private ColumnPlan RowSums(int rows, int cols, Ptr x, Ptr dy) =>
        ChunkPlan(1, Math.Max(1, rows), cols, IsWide(x.Type, cols, x, dy) ? 16 / x.Type.Size() : 1);

    private void FinishRowParameters(
        int rows, int cols, DType type, in ColumnPlan sums, in Scratch partials, Target dgamma, Target dbeta)
    {
        var plan = new ColumnPlan(1, 32, 8, Blocks(cols, 32), 1, sums.Chunks);
        Launch(LayerNormFile, "layernorm_parameters", type, plan.Tiles, plan.Threads, plan.SharedBytes,
            rows == 0 ? 0 : sums.Chunks, cols, plan.Columns, plan.Rows, partials.As(DType.Float32),
            dgamma.Ptr, dgamma.Accumulate, dbeta.Ptr, dbeta.Accumulate);
    }

    /// <summary>Blocks a sample, at most 256 (a block of the second pass adds their sums with one thread each).</summary>
    private int SampleChunks(int batch, long inner)
    {
        const int BlocksPerMultiprocessor = 8, LeastElements = 8192;
        long wanted = Math.Max(1, BlocksPerMultiprocessor * device.Properties.Multiprocessors / batch);
        return (int)Math.Clamp(Math.Min(wanted, inner / LeastElements), 1, 256);
    }

    private static bool IsWide(DType type, long rowLength, params ReadOnlySpan<Ptr> operands)
    {
        bool aligned = rowLength % (16 / type.Size()) == 0;
        foreach (Ptr operand in operands)
            aligned &= operand.Address % 16 == 0;
        return aligned;
    }
}
