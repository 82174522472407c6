using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string GroupNormFile = "groupnorm.cu";
    private const string GroupNormBackwardFile = "groupnorm_backward.cu";

    /// <summary>The same fields in the same order as GroupNormArgs of <c>kernels/include/groupnorm.cuh</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct GroupNormArguments
    {
        public nint X, Skip, Dy, Y, Dx, DSkip, Gamma, Beta, ScaleShift, Mean, Rstd;
        public nint Partials, Totals, Terms, DScaleShift, DGamma, DBeta;
        public int Batch, Positions, Channels, First, Groups, Columns, Rows, Chunks, ChunkRows;
        public float Epsilon;
        public int Silu, AddDx, AddDSkip, AddDScaleShift, AddDGamma, AddDBeta;
    }

    /// <summary>How a kernel of columns is launched (see <c>columns.cuh</c>): a block has Rows x Columns threads of Width
    /// elements each, rounded up to whole warps.</summary>
    private readonly record struct ColumnPlan(int Width, int Columns, int Rows, int Tiles, int Chunks, int ChunkRows)
    {
        public int Threads => (Rows * Columns + 31) / 32 * 32;

        /// <summary>The buffer and the totals of column_totals, and one more number a column.</summary>
        public int SharedBytes => sizeof(float) * ((Rows * (2 * Width * Columns + 1) + 3 * Width * Columns + 3) / 4 * 4);

        /// <summary>The kernel's name for this width.</summary>
        public string Pick(string wide, string single) => Width == 1 ? single : wide;
    }

    public void GroupNormForward(in GroupNormShape shape, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr y, Ptr mean, Ptr rstd,
        Ptr skip)
    {
        if (IsEmpty(shape))
            return;
        DType type = x.Type;
        GroupNormArguments n = Arguments(shape, x, skip, gamma, beta, scaleShift, mean, rstd);
        n.Y = y.Address;
        int width = WidthFor(shape, type, x, skip, y);
        if (SlabPlan(shape, width, type.Size(), operands: 1) is { } slab)
        {
            Launch(GroupNormFile, slab.Pick("groupnorm_slab_wide", "groupnorm_slab_single"), type, shape.Batch * slab.Tiles, slab,
                SlabBytes(shape, slab, type.Size()), ref n);
            return;
        }

        ColumnPlan plan = ChunkPlan(shape.Batch, shape.Positions, shape.Channels, width);
        using Scratch scratch = device.Borrow(PartialBytes(shape, plan));
        n.Partials = scratch.As(DType.Float32).Address;
        var grid = new Dim3(shape.Batch * plan.Chunks, plan.Tiles);
        Launch(GroupNormFile, plan.Pick("groupnorm_moments_wide", "groupnorm_moments_single"), type, grid, plan, 0, ref n);
        Launch(GroupNormFile, "groupnorm_finish", type, shape.Batch * shape.Groups, 128, 0, Arg.By(ref n));
        Launch(GroupNormFile, plan.Pick("groupnorm_apply_wide", "groupnorm_apply_single"), type, grid, plan, 0, ref n);
    }

    public void GroupNormBackward(in GroupNormShape shape, Ptr dy, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr mean, Ptr rstd,
        Target dx, Target dgamma, Target dbeta, Target dscaleShift, Ptr skip, Target dskip)
    {
        DType type = x.Type;
        RequireType("group norm: dx", dx, type);
        RequireType("group norm: gradient of the skip", dskip, type);
        RequireType("group norm: gradient of scale and shift", dscaleShift, type);
        if (shape.Channels == 0)
            return;
        GroupNormArguments n = Arguments(shape, x, skip, gamma, beta, scaleShift, mean, rstd);
        n.Dy = dy.Address;
        (n.Dx, n.AddDx) = Into(dx);
        (n.DSkip, n.AddDSkip) = Into(dskip);
        (n.DScaleShift, n.AddDScaleShift) = Into(dscaleShift);
        (n.DGamma, n.AddDGamma) = Into(dgamma);
        (n.DBeta, n.AddDBeta) = Into(dbeta);
        bool empty = IsEmpty(shape), wantsInput = !dx.IsNone || !dskip.IsNone;
        int width = WidthFor(shape, type, x, skip, dy, dx.Ptr, dskip.Ptr);
        ColumnPlan? slab = wantsInput && !empty ? SlabPlan(shape, width, type.Size(), operands: 2) : null;
        ColumnPlan plan = slab ?? ChunkPlan(Math.Max(1, shape.Batch), Math.Max(1, shape.Positions), shape.Channels, width);
        long partials = slab == null ? PartialBytes(shape, plan) : 0;
        long totals = 2L * sizeof(float) * shape.Batch * shape.Channels, terms = 2L * sizeof(float) * shape.Batch * shape.Groups;
        using Scratch scratch = device.Borrow(Math.Max(1, partials + totals + terms));
        n.Partials = scratch.As(DType.Float32).Address;
        n.Totals = (nint)(n.Partials + partials);
        n.Terms = (nint)(n.Totals + totals);
        if (empty)
        {
            n.Batch = 0; // the parameters' sums are over nothing
            if (!dscaleShift.IsNone && !dscaleShift.Accumulate)
                Zero(2L * shape.Batch * shape.Channels * type.Size(), dscaleShift.Ptr.Address);
        }
        else if (slab != null)
        {
            Launch(GroupNormBackwardFile, plan.Pick("groupnorm_backward_slab_wide", "groupnorm_backward_slab_single"), type,
                shape.Batch * plan.Tiles, plan, 2 * SlabBytes(shape, plan, type.Size()), ref n);
        }
        else
        {
            var grid = new Dim3(shape.Batch * plan.Chunks, plan.Tiles);
            Launch(GroupNormBackwardFile, plan.Pick("groupnorm_sums_wide", "groupnorm_sums_single"), type, grid, plan, 0, ref n);
            Launch(GroupNormBackwardFile, "groupnorm_totals", type, shape.Batch * shape.Groups, 256, 0, Arg.By(ref n));
            if (wantsInput)
                Launch(GroupNormBackwardFile, plan.Pick("groupnorm_input_wide", "groupnorm_input_single"), type, grid, plan, 0,
                    ref n);
        }

        if (dgamma.IsNone && dbeta.IsNone)
            return;
        var parameters = new ColumnPlan(1, 32, 8, Blocks(shape.Channels, 32), 1, shape.Batch);
        Launch(GroupNormBackwardFile, "groupnorm_parameters", type, parameters.Tiles, parameters, 0, ref n);
    }

    /// <summary>Queues a kernel that goes over columns, with so much shared memory beyond its sums.</summary>
    private void Launch(
        string file, string kernel, DType type, Dim3 grid, in ColumnPlan plan, int slabBytes, ref GroupNormArguments n)
    {
        (n.Columns, n.Rows, n.Chunks, n.ChunkRows) = (plan.Columns, plan.Rows, plan.Chunks, plan.ChunkRows);
        Launch(file, kernel, type, grid, plan.Threads, plan.SharedBytes + slabBytes, Arg.By(ref n));
    }

    private static (nint Address, int Add) Into(Target target) => (target.Ptr.Address, target.Accumulate ? 1 : 0);

    private static bool IsEmpty(in GroupNormShape shape) => shape.Batch == 0 || shape.Positions == 0 || shape.Channels == 0;

    private static GroupNormArguments Arguments(
        in GroupNormShape shape, Ptr x, Ptr skip, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr mean, Ptr rstd) => new()
        {
            X = x.Address,
            Skip = skip.Address,
            Gamma = gamma.Address,
            Beta = beta.Address,
            ScaleShift = scaleShift.Address,
            Mean = mean.Address,
            Rstd = rstd.Address,
            Batch = shape.Batch,
            Positions = shape.Positions,
            Channels = shape.Channels,
            First = shape.Channels - shape.SkipChannels,
            Groups = shape.Groups,
            Epsilon = shape.Epsilon,
            Silu = shape.Silu ? 1 : 0,
        };

    private static long PartialBytes(in GroupNormShape shape, in ColumnPlan plan) =>
        2L * sizeof(float) * shape.Batch * plan.Chunks * shape.Channels;

    private static int SlabBytes(in GroupNormShape shape, in ColumnPlan slab, int size) =>
        shape.Positions * slab.Columns * slab.Width * size;

    /// <summary>A slice of whole groups whose operands fit a block's shared memory, 64 bytes of a row where that is possible;
    /// null if there is none. Tiles are the slices of a sample.</summary>
    private ColumnPlan? SlabPlan(in GroupNormShape shape, int width, int size, int operands)
    {
        // Less than a sector of memory (32 bytes) is read only if the neighbouring slice, read at the same time, uses the rest.
        const int Wanted = 64, Least = 16, MostThreads = 512;
        int groupChannels = shape.Channels / shape.Groups;
        ColumnPlan? best = null;
        for (int groups = 1; groups <= shape.Groups; groups++)
        {
            int channels = groups * groupChannels;
            if (shape.Groups % groups != 0 || channels % width != 0)
                continue;
            int columns = channels / width;
            long slabBytes = (long)operands * shape.Positions * channels * size;
            if (columns > MostThreads || slabBytes > device.Properties.SharedPerBlock)
                break;
            int threads = slabBytes > 65536 || columns > MostThreads / 2 ? MostThreads : MostThreads / 2;
            var plan = new ColumnPlan(width, columns, Math.Min(threads / columns, shape.Positions), shape.Channels / channels,
                1, shape.Positions);
            if (plan.SharedBytes + slabBytes > device.Properties.SharedPerBlock)
                break;
            if (channels * size >= Least || channels == shape.Channels)
                best = plan;
            if (channels * size >= Wanted)
                break;
        }

        return best;
    }

    /// <summary>Chunks of rows, so many that all multiprocessors have work and so few that their sums cost little.</summary>
    private ColumnPlan ChunkPlan(int batch, int rows, int channels, int width)
    {
        const int Threads = 256, LeastSteps = 16, BlocksPerMultiprocessor = 8;
        int vectors = channels / width, columns = Math.Min(vectors, Threads), tiles = Blocks(vectors, columns);
        int blockRows = Math.Min(Threads / columns, rows);
        long wanted = Math.Max(1, (long)BlocksPerMultiprocessor * device.Properties.Multiprocessors / ((long)batch * tiles));
        int chunks = (int)Math.Min(wanted, Math.Max(1, rows / (LeastSteps * blockRows)));
        int chunkRows = Blocks(rows, chunks);
        return new ColumnPlan(width, columns, blockRows, tiles, Blocks(rows, chunkRows), chunkRows);
    }

    /// <summary>Elements that a thread moves at once: 16 bytes where every row of the operands allows it, else one.</summary>
    private static int WidthFor(in GroupNormShape shape, DType type, params ReadOnlySpan<Ptr> operands) =>
        IsWide(type, shape.Channels, operands) && IsWide(type, shape.SkipChannels) ? 16 / type.Size() : 1;
}
