using System.Numerics;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string ReductionFile = "reductions.cu";
    private const string QuantileFile = "quantile.cu";
    private const int RowsPerBlock = ElementThreads / 32;

    private static KernelModule[] ReductionModules =>
        [.. KernelModule.BothTypes(ReductionFile), .. KernelModule.BothTypes(QuantileFile)];

    public void SumRows(long rows, long cols, float scale, Ptr x, Target y)
    {
        const int ShortRow = 1024;
        RequireType("sums of rows: y", y.Ptr, DType.Float32);
        if (rows == 0 || y.IsNone)
            return;
        if (cols <= ShortRow)
        {
            LaunchBlocks(ReductionFile, "sum_short_rows", x.Type, Blocks(rows, RowsPerBlock), rows, cols, (double)scale, x,
                y.Ptr, y.Accumulate);
            return;
        }

        (int pieces, long piece) = RowPieces(rows, cols);
        using Scratch scratch = device.Borrow(rows * pieces * sizeof(double));
        Ptr partial = scratch.As(DType.Float64);
        LaunchBlocks(ReductionFile, "sum_pieces", x.Type, checked((int)(rows * pieces)), cols, pieces, piece, x, partial);
        FinishRows(rows, pieces, scale, x.Type, partial, y);
    }

    public void SumColumns(long rows, int cols, Ptr x, Target y)
    {
        RequireType("sums of columns: y", y.Ptr, DType.Float32);
        if (cols == 0 || y.IsNone)
            return;
        bool wide = IsWide(x.Type, cols, x);
        int vectors = wide ? cols / (16 / x.Type.Size()) : cols;
        int across = (int)Math.Min(32, BitOperations.RoundUpToPowerOf2((uint)vectors)), tiles = Blocks(vectors, across);

        // At least 16 rows a thread, so that the pieces' sums stay small beside the matrix.
        int down = ElementThreads / across;
        long wanted = Math.Max(1, 4L * device.Properties.Multiprocessors / tiles), most = Math.Max(1, rows / (16L * down));
        long piece = (rows + Math.Min(wanted, most) - 1) / Math.Min(wanted, most);
        int pieces = piece == 0 ? 1 : Blocks(rows, checked((int)piece));
        using Scratch scratch = device.Borrow((long)pieces * cols * sizeof(double));
        Ptr partial = scratch.As(DType.Float64);
        LaunchBlocks(ReductionFile, wide ? "column_pieces_wide" : "column_pieces", x.Type, new Dim3(tiles, pieces), rows,
            cols, piece, across, x, partial);
        LaunchBlocks(ReductionFile, "finish_columns", x.Type, Blocks(cols, 32), cols, pieces, partial, y.Ptr, y.Accumulate);
    }

    public void SpreadRows(long rows, long cols, float scale, Ptr y, Target x)
    {
        RequireType("spread over rows: y", y, DType.Float32);
        if (rows > 0 && cols > 0 && !x.IsNone)
            LaunchBlocks(ElementwiseFile, "spread_rows", x.Ptr.Type, SampleBlocks(rows, cols, x.Ptr.Type), rows, cols,
                scale, y, x.Ptr, x.Accumulate);
    }

    public void MeanSquaredError(int batch, long inner, Ptr a, Ptr b, Ptr loss)
    {
        RequireType("mean squared error: b", b, a.Type);
        RequireType("mean squared error: loss", loss, DType.Float32);
        if (batch == 0)
            return;
        (int pieces, long piece) = RowPieces(batch, inner);
        using Scratch scratch = device.Borrow((long)batch * pieces * sizeof(double));
        Ptr partial = scratch.As(DType.Float64);
        LaunchBlocks(ReductionFile, "mean_pieces", a.Type, checked(batch * pieces), inner, pieces, piece, a, b, partial);
        FinishRows(batch, pieces, 1.0 / inner, a.Type, partial, new Target(loss, false));
    }

    public void MeanSquaredErrorBackward(int batch, long inner, Ptr a, Ptr b, Ptr dloss, Target da, Target db)
    {
        RequireType("gradient of the mean squared error: b", b, a.Type);
        RequireType("gradient of the mean squared error: da", da, a.Type);
        RequireType("gradient of the mean squared error: db", db, a.Type);
        RequireType("gradient of the mean squared error: dloss", dloss, DType.Float32);
        if (batch > 0 && inner > 0 && !(da.IsNone && db.IsNone))
            LaunchBlocks(ElementwiseFile, "squared_error_backward", a.Type, SampleBlocks(batch, inner, a.Type), batch,
                inner, (float)(2.0 / inner), a, b, dloss, da.Ptr, da.Accumulate, db.Ptr, db.Accumulate);
    }

    public void MaskedMean(int batch, int tokens, int channels, Ptr x, Ptr mask, Ptr y)
    {
        RequireType("masked mean: y", y, x.Type);
        RequireType("masked mean: mask", mask, DType.Float32);
        if (batch > 0 && channels > 0)
            LaunchBlocks(ReductionFile, "masked_mean", x.Type, new Dim3(batch, Blocks(channels, ElementThreads)), tokens,
                channels, x, mask, y);
    }

    public void MaskedMeanBackward(int batch, int tokens, int channels, Ptr dy, Ptr mask, Target dx)
    {
        RequireType("gradient of the masked mean: dx", dx, dy.Type);
        RequireType("gradient of the masked mean: mask", mask, DType.Float32);
        if (batch > 0 && tokens > 0 && channels > 0 && !dx.IsNone)
            LaunchBlocks(ReductionFile, "masked_mean_backward", dy.Type, new Dim3(batch, Blocks(channels, ElementThreads)),
                tokens, channels, dy, mask, dx.Ptr, dx.Accumulate);
    }

    public void AbsQuantile(int batch, long inner, float p, Ptr x, Ptr y)
    {
        const int Digits = 3, Bins = 2048, StateWords = 8, LeastElements = 8192;
        RequireType("quantile: y", y, DType.Float32);
        if (batch == 0)
            return;
        if (inner is < 1 or > uint.MaxValue)
            throw new ArgumentException($"quantile: samples of {inner} elements, expected 1 to {uint.MaxValue}", nameof(inner));
        double position = (double)p * (inner - 1);
        uint k = (uint)Math.Clamp((long)position, 0, inner - 1);
        long wanted = Math.Max(1, 4L * device.Properties.Multiprocessors / batch), most = Math.Max(1, inner / LeastElements);
        long piece = (inner + Math.Min(wanted, most) - 1) / Math.Min(wanted, most);
        var grid = new Dim3(batch, checked((int)((inner + piece - 1) / piece)));
        long histogramWords = (long)batch * Digits * Bins, words = histogramWords + (long)batch * StateWords;
        using Scratch scratch = device.Borrow(words * sizeof(uint));
        Ptr histograms = scratch.As(DType.Int32), states = histograms + histogramWords;
        Zero(words * sizeof(uint), histograms.Address);
        for (int digit = 0; digit < Digits; digit++)
            LaunchBlocks(QuantileFile, "count_digits", x.Type, grid, digit, inner, piece, k, x, histograms, states);
        LaunchBlocks(QuantileFile, "next_above", x.Type, grid, inner, piece, k, x, histograms, states);
        LaunchBlocks(QuantileFile, "interpolate", x.Type, Blocks(batch, ElementThreads), batch, inner, k, position - k,
            states, y);
    }

    /// <summary>Pieces of a row that a block sums, and their length: multiples of 64 elements, at least 8192 of them.</summary>
    private (int Pieces, long Length) RowPieces(long rows, long cols)
    {
        const int Step = 64, LeastElements = 8192;
        long wanted = Math.Max(1, 8L * device.Properties.Multiprocessors / rows);
        long count = Math.Clamp(cols / LeastElements, 1, wanted);
        long length = Math.Max(Step, (cols + count * Step - 1) / (count * Step) * Step);
        return ((int)Math.Max(1, (cols + length - 1) / length), length);
    }

    private void FinishRows(long rows, int pieces, double scale, DType type, Ptr partial, Target y) =>
        LaunchBlocks(ReductionFile, "finish_rows", type, Blocks(rows, RowsPerBlock), rows, pieces, scale, partial, y.Ptr,
            y.Accumulate);
}
