namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] RandomModules => [];

    public void Normal(long n, RandomKey key, long offset, Ptr y) =>
        throw new NotImplementedException();

    public void Uniform(long n, RandomKey key, long offset, Ptr y) =>
        throw new NotImplementedException();

    public void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y) =>
        throw new NotImplementedException();
}
