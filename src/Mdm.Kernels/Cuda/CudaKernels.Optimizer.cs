namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] OptimizerModules => [];

    public void SquaredNorm(long n, Ptr gradients, Ptr state) =>
        throw new NotImplementedException();

    public void AdamStep(long n, in AdamOptions options, Ptr parameters, Ptr gradients, Ptr m, Ptr v, Ptr ema, Ptr copy, Ptr state) =>
        throw new NotImplementedException();
}
