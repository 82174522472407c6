namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] NormalizationModules =>
    [
        .. KernelModule.BothTypes(GroupNormFile), .. KernelModule.BothTypes(GroupNormBackwardFile),
    ];

    public void LayerNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr beta, Ptr y, Ptr mean, Ptr rstd) =>
        throw new NotImplementedException();

    public void LayerNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr mean, Ptr rstd, Target dx, Target dgamma, Target dbeta) =>
        throw new NotImplementedException();

    public void StdNormalizeForward(int batch, long inner, Ptr x, Ptr y, Ptr mean, Ptr std) =>
        throw new NotImplementedException();

    public void StdNormalizeBackward(int batch, long inner, Ptr dy, Ptr x, Ptr mean, Ptr std, Target dx) =>
        throw new NotImplementedException();
}
