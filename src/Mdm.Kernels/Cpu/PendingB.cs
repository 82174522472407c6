namespace Mdm.Kernels.Cpu;

// Families not written yet.
public sealed unsafe partial class CpuKernels
{
    public void Normal(long n, RandomKey key, long offset, Ptr y) => throw new NotSupportedException();

    public void Uniform(long n, RandomKey key, long offset, Ptr y) => throw new NotSupportedException();

    public void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y) => throw new NotSupportedException();

}
