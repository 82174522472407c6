namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] ConvolutionModules => [];

    public void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y) =>
        throw new NotImplementedException();

    public void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx) =>
        throw new NotImplementedException();

    public void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw) =>
        throw new NotImplementedException();
}
