namespace Mdm.Kernels.Cpu;

// Families not written yet.
public sealed unsafe partial class CpuKernels
{
    public void AttentionForward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp) => throw new NotSupportedException();

    public void AttentionBackward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Rows dO, RowsTarget dq, RowsTarget dk, RowsTarget dv) => throw new NotSupportedException();

    public void Normal(long n, RandomKey key, long offset, Ptr y) => throw new NotSupportedException();

    public void Uniform(long n, RandomKey key, long offset, Ptr y) => throw new NotSupportedException();

    public void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y) => throw new NotSupportedException();

}
