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
        public nint X, Skip, Dy, Y, Dx, DSkip, Gamma, Beta, ScaleShift, Mean, Rstd, Partials, Totals, Terms, DScaleShift, DGamma, DBeta;
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

    public void GroupNormForward(in GroupNormShape shape, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr y, Ptr mean, Ptr rstd)
    {
        if (IsEmpty(shape))
            return;
        GroupNormArguments n = Arguments(shape, x, gamma, beta, scaleShift, mean, rstd);
        n.Y = y.Address;
        int width = WideOrSingle(x.Type, shape.Channels, n.First, n.X, n.Skip, n.Y);
        if (SlabPlan(shape, width, x.Type.Size(), operands: 1) is { } slab)
        {
            Set(ref n, slab);
            Launch(GroupNormFile, slab.Pick("groupnorm_slab_wide", "groupnorm_slab_single"), x.Type, shape.Batch * slab.Tiles, slab.Threads,
                slab.SharedBytes + SlabBytes(shape, slab, x.Type.Size()), Arg.By(ref n));
            return;
        }

        ColumnPlan plan = ChunkPlan(shape.Batch, shape.Positions, shape.Channels, width);
        Set(ref n, plan);
        using Scratch scratch = device.Borrow(PartialBytes(shape, plan));
        n.Partials = scratch.As(DType.Float32).Address;
        var grid = new Dim3(shape.Batch * plan.Chunks, plan.Tiles);
        Launch(GroupNormFile, plan.Pick("groupnorm_moments_wide", "groupnorm_moments_single"), x.Type, grid, plan.Threads, plan.SharedBytes, Arg.By(ref n));
        Launch(GroupNormFile, "groupnorm_finish", x.Type, shape.Batch * shape.Groups, 128, 0, Arg.By(ref n));
        Launch(GroupNormFile, plan.Pick("groupnorm_apply_wide", "groupnorm_apply_single"), x.Type, grid, plan.Threads, 0, Arg.By(ref n));
    }

    public void GroupNormBackward(in GroupNormShape shape, Ptr dy, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr mean, Ptr rstd,
        Target dx, Target dgamma, Target dbeta, Target dscaleShift)
    {
        RequireType("group norm: dx", dx, x.Type);
        RequireType("group norm: gradient of scale and shift", dscaleShift, x.Type);
        if (shape.Channels == 0)
            return;
        GroupNormArguments n = Arguments(shape, x, gamma, beta, scaleShift, mean, rstd);
        (n.Dy, n.Dx, n.AddDx) = (dy.Address, dx.Ptr.Address, dx.Accumulate ? 1 : 0);
        (n.DScaleShift, n.AddDScaleShift) = (dscaleShift.Ptr.Address, dscaleShift.Accumulate ? 1 : 0);
        (n.DGamma, n.AddDGamma) = (dgamma.Ptr.Address, dgamma.Accumulate ? 1 : 0);
        (n.DBeta, n.AddDBeta) = (dbeta.Ptr.Address, dbeta.Accumulate ? 1 : 0);
        int size = x.Type.Size(), width = WideOrSingle(x.Type, shape.Channels, n.First, n.X, n.Skip, n.Dy, n.Dx, n.DSkip);
        ColumnPlan plan = ChunkPlan(Math.Max(1, shape.Batch), Math.Max(1, shape.Positions), shape.Channels, width);
        bool wantsInput = n.Dx != 0 || n.DSkip != 0;
        ColumnPlan? slab = wantsInput && !IsEmpty(shape) ? SlabPlan(shape, width, size, operands: 2) : null;
        long partials = slab == null ? PartialBytes(shape, plan) : 0;
        long totals = 2L * sizeof(float) * shape.Batch * shape.Channels, terms = 2L * sizeof(float) * shape.Batch * shape.Groups;
        using Scratch scratch = device.Borrow(Math.Max(1, partials + totals + terms));
        n.Partials = scratch.As(DType.Float32).Address;
        n.Totals = (nint)(n.Partials + partials);
        n.Terms = (nint)(n.Totals + totals);
        if (IsEmpty(shape))
        {
            n.Batch = 0; // sums over nothing
            if (!dscaleShift.IsNone && !dscaleShift.Accumulate)
                Zero(2L * shape.Batch * shape.Channels * size, n.DScaleShift);
        }
        else if (slab is { } s)
        {
            Set(ref n, s);
            Launch(GroupNormBackwardFile, s.Pick("groupnorm_backward_slab_wide", "groupnorm_backward_slab_single"), x.Type, shape.Batch * s.Tiles, s.Threads,
                s.SharedBytes + 2 * SlabBytes(shape, s, size), Arg.By(ref n));
        }
        else
        {
            Set(ref n, plan);
            var grid = new Dim3(shape.Batch * plan.Chunks, plan.Tiles);
            Launch(GroupNormBackwardFile, plan.Pick("groupnorm_sums_wide", "groupnorm_sums_single"), x.Type, grid, plan.Threads, plan.SharedBytes, Arg.By(ref n));
            Launch(GroupNormBackwardFile, "groupnorm_totals", x.Type, shape.Batch * shape.Groups, 256, 0, Arg.By(ref n));
            if (wantsInput)
                Launch(GroupNormBackwardFile, plan.Pick("groupnorm_input_wide", "groupnorm_input_single"), x.Type, grid, plan.Threads, 0, Arg.By(ref n));
        }

        if (dgamma.IsNone && dbeta.IsNone)
            return;
        var parameters = new ColumnPlan(1, 32, 8, Blocks(shape.Channels, 32), 1, shape.Batch);
        Set(ref n, parameters);
        Launch(GroupNormBackwardFile, "groupnorm_parameters", x.Type, parameters.Tiles, parameters.Threads, parameters.SharedBytes,
            Arg.By(ref n));
    }

    private static bool IsEmpty(in GroupNormShape shape) => shape.Batch == 0 || shape.Positions == 0 || shape.Channels == 0;

    private static GroupNormArguments Arguments(
        in GroupNormShape shape, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr mean, Ptr rstd) => new()
        {
            X = x.Address,
            Gamma = gamma.Address,
            Beta = beta.Address,
            ScaleShift = scaleShift.Address,
            Mean = mean.Address,
            Rstd = rstd.Address,
            Batch = shape.Batch,
            Positions = shape.Positions,
            Channels = shape.Channels,
            First = shape.Channels,
            Groups = shape.Groups,
            Epsilon = shape.Epsilon,
            Silu = shape.Silu ? 1 : 0,
        };

    private static void Set(ref GroupNormArguments n, in ColumnPlan plan) =>
        (n.Columns, n.Rows, n.Chunks, n.ChunkRows) = (plan.Columns, plan.Rows, plan.Chunks, plan.ChunkRows);

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

    /// <summary>Elements that a thread moves at once: 16 bytes where every address and row of the operands allows it, else one.</summary>
    private static int WideOrSingle(DType type, int channels, int first, params ReadOnlySpan<nint> addresses)
    {
        int width = 16 / type.Size();
        bool aligned = channels % width == 0 && first % width == 0;
        foreach (nint address in addresses)
            aligned &= address % 16 == 0;
        return aligned ? width : 1;
    }

    private static void RequireType(string what, Target target, DType type)
    {
        if (!target.IsNone && target.Ptr.Type != type)
            throw new ArgumentException($"{what} has the type {target.Ptr.Type}, expected {type} like the activations");
    }
}
