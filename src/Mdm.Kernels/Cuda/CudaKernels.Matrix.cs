namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] MatrixModules => [];

    public void MatMul(in MatMulShape shape, Ptr a, Ptr b, Target c, Ptr bias, Ptr residual) =>
        throw new NotImplementedException();
}
