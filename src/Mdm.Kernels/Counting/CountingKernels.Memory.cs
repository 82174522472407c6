namespace Mdm.Kernels.Counting;

// The kernels whose time is that of their memory traffic.
public sealed partial class CountingKernels
{
    public void GroupNormForward(in GroupNormShape shape, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr y, Ptr mean, Ptr rstd,
        Ptr skip)
    {
        (long n, long parameters) = Sizes(shape, gamma, beta, scaleShift);
        Count(KernelFamily.Normalization, n * (8 + (scaleShift.IsNone ? 0 : 2) + (shape.Silu ? 4 : 0)),
            Read(x, n) + Read(y, n) + parameters);
    }

    public void GroupNormBackward(in GroupNormShape shape, Ptr dy, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr mean, Ptr rstd,
        Target dx, Target dgamma, Target dbeta, Target dscaleShift, Ptr skip, Target dskip)
    {
        (long n, long parameters) = Sizes(shape, gamma, beta, scaleShift);
        long skipped = (long)shape.Batch * shape.Positions * shape.SkipChannels;
        Count(KernelFamily.Normalization, n * (16 + (scaleShift.IsNone ? 0 : 4) + (shape.Silu ? 8 : 0)),
            Read(x, n) + Read(dy, n) + parameters + Write(dx, n - skipped) + Write(dskip, skipped) + Write(dgamma, shape.Channels)
            + Write(dbeta, shape.Channels)
            + Write(dscaleShift, 2L * shape.Batch * shape.Channels));
    }

    private static (long Elements, long ParameterBytes) Sizes(in GroupNormShape s, Ptr gamma, Ptr beta, Ptr scaleShift) =>
        ((long)s.Batch * s.Positions * s.Channels,
            Read(gamma, s.Channels) + Read(beta, s.Channels) + Read(scaleShift, 2L * s.Batch * s.Channels));

    public void LayerNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr beta, Ptr y, Ptr mean, Ptr rstd)
    {
        long n = (long)rows * cols;
        Count(KernelFamily.Normalization, 8 * n, Read(x, n) + Read(y, n) + Read(gamma, cols) + Read(beta, cols));
    }

    public void LayerNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr mean, Ptr rstd, Target dx, Target dgamma,
        Target dbeta)
    {
        long n = (long)rows * cols;
        Count(KernelFamily.Normalization, 16 * n,
            Read(x, n) + Read(dy, n) + Read(gamma, cols) + Write(dx, n) + Write(dgamma, cols) + Write(dbeta, cols));
    }

    public void RmsNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr y, Ptr rstd)
    {
        long n = (long)rows * cols;
        Count(KernelFamily.Normalization, 4 * n, Read(x, n) + Read(y, n) + Read(gamma, cols));
    }

    public void RmsNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr rstd, Target dx, Target dgamma)
    {
        long n = (long)rows * cols;
        Count(KernelFamily.Normalization, 10 * n,
            Read(x, n) + Read(dy, n) + Read(gamma, cols) + Write(dx, n) + Write(dgamma, cols));
    }

    public void StdNormalizeForward(int batch, long inner, Ptr x, Ptr y, Ptr mean, Ptr std) =>
        Count(KernelFamily.Normalization, 5 * batch * inner, Read(x, batch * inner) + Read(y, batch * inner));

    public void StdNormalizeBackward(int batch, long inner, Ptr dy, Ptr x, Ptr mean, Ptr std, Target dx) =>
        Count(KernelFamily.Normalization, 6 * batch * inner,
            Read(x, batch * inner) + Read(dy, batch * inner) + Write(dx, batch * inner));

    public void Unary(UnaryFunction f, long n, Ptr x, Ptr y) => Count(KernelFamily.Elementwise, 4 * n, Read(x, n) + Read(y, n));

    public void UnaryBackward(UnaryFunction f, long n, Ptr x, Ptr dy, Target dx) =>
        Count(KernelFamily.Elementwise, 8 * n, Read(x, n) + Read(dy, n) + Write(dx, n));

    public void Clamp(long n, float low, float high, Ptr x, Ptr y) =>
        Count(KernelFamily.Elementwise, 2 * n, Read(x, n) + Read(y, n));

    public void ClampBackward(long n, float low, float high, Ptr x, Ptr dy, Target dx) =>
        Count(KernelFamily.Elementwise, 2 * n, Read(x, n) + Read(dy, n) + Write(dx, n));

    public void LinearCombination(long n, float a, Ptr x, float b, Ptr y, Target z)
    {
        if (!z.IsNone)
            Count(KernelFamily.Elementwise, n * (y.IsNone ? 1 : 3), Read(x, n) + Read(y, n) + Write(z, n));
    }

    public void Multiply(long n, Ptr x, Ptr y, Target z)
    {
        if (!z.IsNone)
            Count(KernelFamily.Elementwise, n, Read(x, n) + Read(y, n) + Write(z, n));
    }

    public void SampleCombination(int batch, long inner, Ptr a, Ptr x, Ptr b, Ptr y, Target z)
    {
        long n = batch * inner;
        if (!z.IsNone)
            Count(KernelFamily.Elementwise, n * (y.IsNone ? 1 : 3),
                Read(x, n) + Read(y, n) + Read(a, batch) + Read(b, batch) + Write(z, n));
    }

    public void ClampToUnit(int batch, long inner, Ptr limit, Ptr x, Ptr y) =>
        Count(KernelFamily.Elementwise, 3 * batch * inner, Read(x, batch * inner) + Read(y, batch * inner) + Read(limit, batch));

    public void Fill(long n, float value, Ptr y) => Count(KernelFamily.Elementwise, 0, Read(y, n));

    public void Zero(long bytes, nint address) => Count(KernelFamily.Elementwise, 0, bytes);

    public void CopyRows(int rows, int cols, Rows source, RowsTarget destination)
    {
        long n = (long)rows * cols;
        Count(KernelFamily.Elementwise, destination.Accumulate ? n : 0, Read(source.Ptr, n) + Write(destination, n));
    }

    public void CopyBlocks(in BlockGrid grid, Ptr x, in BlockStrides from, Target y, in BlockStrides to)
    {
        if (!y.IsNone)
            Count(KernelFamily.Elementwise, y.Accumulate ? grid.Count : 0, Read(x, grid.Count) + Write(y, grid.Count));
    }

    public void Cast(long n, Ptr source, Ptr destination) =>
        Count(KernelFamily.Elementwise, 0, Read(source, n) + Read(destination, n));

    public void SumRows(long rows, long cols, float scale, Ptr x, Target y) =>
        Count(KernelFamily.Reduction, rows * cols, Read(x, rows * cols) + Write(y, rows));

    public void SumColumns(long rows, int cols, Ptr x, Target y) =>
        Count(KernelFamily.Reduction, rows * cols, Read(x, rows * cols) + Write(y, cols));

    public void SpreadRows(long rows, long cols, float scale, Ptr y, Target x) =>
        Count(KernelFamily.Reduction, x.Accumulate ? rows * cols : rows, Read(y, rows) + Write(x, rows * cols));

    public void MeanSquaredError(int batch, long inner, Ptr a, Ptr b, Ptr loss) =>
        Count(KernelFamily.Reduction, 3 * batch * inner, Read(a, batch * inner) + Read(b, batch * inner) + Read(loss, batch));

    public void MeanSquaredErrorBackward(int batch, long inner, Ptr a, Ptr b, Ptr dloss, Target da, Target db)
    {
        long n = batch * inner;
        Count(KernelFamily.Reduction, 2 * n, Read(a, n) + Read(b, n) + Read(dloss, batch) + Write(da, n) + Write(db, n));
    }

    public void MaskedMean(int batch, int tokens, int channels, Ptr x, Ptr mask, Ptr y)
    {
        long rows = (long)batch * tokens;
        Count(KernelFamily.Reduction, rows * channels * (mask.IsNone ? 1 : 2),
            Read(x, rows * channels) + Read(mask, rows) + Read(y, (long)batch * channels));
    }

    public void MaskedMeanBackward(int batch, int tokens, int channels, Ptr dy, Ptr mask, Target dx)
    {
        long rows = (long)batch * tokens;
        Count(KernelFamily.Reduction, rows * channels,
            Read(dy, (long)batch * channels) + Read(mask, rows) + Write(dx, rows * channels));
    }

    public void AbsQuantile(int batch, long inner, float p, Ptr x, Ptr y) =>
        Count(KernelFamily.Reduction, batch * inner, Read(x, batch * inner) + Read(y, batch));

    public void UpsampleNearest(int batch, int height, int width, int channels, Ptr x, Ptr y) =>
        Count(KernelFamily.Resampling, 0, 5 * Read(x, Pixels(batch, height, width, channels)));

    public void UpsampleNearestBackward(int batch, int height, int width, int channels, Ptr dy, Target dx)
    {
        long n = Pixels(batch, height, width, channels);
        Count(KernelFamily.Resampling, 3 * n, Read(dy, 4 * n) + Write(dx, n));
    }

    public void AveragePool(int batch, int height, int width, int channels, int factor, Ptr x, Ptr y)
    {
        long n = Pixels(batch, height, width, channels);
        Count(KernelFamily.Resampling, n, Read(x, n) + Read(y, n / factor / factor));
    }

    public void AveragePoolBackward(int batch, int height, int width, int channels, int factor, Ptr dy, Target dx)
    {
        long n = Pixels(batch, height, width, channels);
        Count(KernelFamily.Resampling, n, Read(dy, n / factor / factor) + Write(dx, n));
    }

    public void Resize(ResizeFilter filter, int batch, int height, int width, int channels, int outHeight, int outWidth,
        Ptr x, Ptr y)
    {
        long output = Pixels(batch, outHeight, outWidth, channels);
        Count(KernelFamily.Resampling, output * (filter == ResizeFilter.Bilinear ? 8 : 32),
            Read(x, Pixels(batch, height, width, channels)) + Read(y, output));
    }

    private static long Pixels(int batch, int height, int width, int channels) => (long)batch * height * width * channels;

    public void Normal(long n, RandomKey key, long offset, Ptr y) => Count(KernelFamily.Random, 4 * n, Read(y, n));

    public void Uniform(long n, RandomKey key, long offset, Ptr y) => Count(KernelFamily.Random, n, Read(y, n));

    public void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y) =>
        Count(KernelFamily.Random, 2 * n, Read(x, n) + Write(y, n));

    public void GatherRows(int rows, int cols, int tableRows, Ptr ids, Ptr table, Ptr y)
    {
        long n = (long)rows * cols;
        Count(KernelFamily.Indexing, 0, Read(ids, rows) + Read(table, n) + Read(y, n));
    }

    public void ScatterAddRows(int rows, int cols, int tableRows, Ptr ids, Ptr dy, Ptr dtable)
    {
        long n = (long)rows * cols;
        Count(KernelFamily.Indexing, n, Read(ids, rows) + Read(dy, n) + 2 * Read(dtable, n));
    }

    public void Sinusoid(int batch, int width, Ptr t, Ptr y) =>
        Count(KernelFamily.Indexing, 2L * batch * width, Read(t, batch) + Read(y, (long)batch * width));

    public void Rotate(in RotaryShape shape, Rows x, RowsTarget y)
    {
        long n = (long)shape.Rows * shape.Columns;
        if (!y.IsNone)
            Count(KernelFamily.Indexing, 6 * n, Read(x.Ptr, n) + Write(y, n));
    }

    public void SquaredNorm(long n, Ptr gradients, Ptr state) => Count(KernelFamily.Optimizer, 2 * n, Read(gradients, n));

    public void AdamStep(long n, in AdamOptions options, Ptr parameters, Ptr gradients, Ptr m, Ptr v, Ptr ema, Ptr copy, Ptr state) =>
        Count(KernelFamily.Optimizer, n * (ema.IsNone ? 14 : 17),
            Read(gradients, n) + 2 * (Read(parameters, n) + Read(m, n) + Read(v, n) + Read(ema, n)) + Read(copy, n));
}
