namespace Mdm.Kernels.Cpu;

// Families not written yet.
public sealed unsafe partial class CpuKernels
{
    public void AttentionForward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp) => throw new NotSupportedException();

    public void AttentionBackward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Rows dO, RowsTarget dq, RowsTarget dk, RowsTarget dv) => throw new NotSupportedException();

    public void SumRows(long rows, long cols, float scale, Ptr x, Target y) => throw new NotSupportedException();

    public void SumColumns(long rows, int cols, Ptr x, Target y) => throw new NotSupportedException();

    public void SpreadRows(long rows, long cols, float scale, Ptr y, Target x) => throw new NotSupportedException();

    public void MeanSquaredError(int batch, long inner, Ptr a, Ptr b, Ptr loss) => throw new NotSupportedException();

    public void MeanSquaredErrorBackward(int batch, long inner, Ptr a, Ptr b, Ptr dloss, Target da, Target db) => throw new NotSupportedException();

    public void MaskedMean(int batch, int tokens, int channels, Ptr x, Ptr mask, Ptr y) => throw new NotSupportedException();

    public void MaskedMeanBackward(int batch, int tokens, int channels, Ptr dy, Ptr mask, Target dx) => throw new NotSupportedException();

    public void AbsQuantile(int batch, long inner, float p, Ptr x, Ptr y) => throw new NotSupportedException();

    public void UpsampleNearest(int batch, int height, int width, int channels, Ptr x, Ptr y) => throw new NotSupportedException();

    public void UpsampleNearestBackward(int batch, int height, int width, int channels, Ptr dy, Target dx) => throw new NotSupportedException();

    public void AveragePool(int batch, int height, int width, int channels, int factor, Ptr x, Ptr y) => throw new NotSupportedException();

    public void AveragePoolBackward(int batch, int height, int width, int channels, int factor, Ptr dy, Target dx) => throw new NotSupportedException();

    public void Resize(ResizeFilter filter, int batch, int height, int width, int channels, int outHeight, int outWidth, Ptr x, Ptr y) => throw new NotSupportedException();

    public void Normal(long n, RandomKey key, long offset, Ptr y) => throw new NotSupportedException();

    public void Uniform(long n, RandomKey key, long offset, Ptr y) => throw new NotSupportedException();

    public void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y) => throw new NotSupportedException();

    public void GatherRows(int rows, int cols, int tableRows, Ptr ids, Ptr table, Ptr y) => throw new NotSupportedException();

    public void ScatterAddRows(int rows, int cols, int tableRows, Ptr ids, Ptr dy, Ptr dtable) => throw new NotSupportedException();

    public void Sinusoid(int batch, int width, Ptr t, Ptr y) => throw new NotSupportedException();

    public void SquaredNorm(long n, Ptr gradients, Ptr state) => throw new NotSupportedException();

    public void AdamStep(long n, in AdamOptions options, Ptr parameters, Ptr gradients, Ptr m, Ptr v, Ptr ema, Ptr state) => throw new NotSupportedException();
}
