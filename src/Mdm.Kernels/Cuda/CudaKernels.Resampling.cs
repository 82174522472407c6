namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] ResamplingModules => [];

    public void UpsampleNearest(int batch, int height, int width, int channels, Ptr x, Ptr y) =>
        throw new NotImplementedException();

    public void UpsampleNearestBackward(int batch, int height, int width, int channels, Ptr dy, Target dx) =>
        throw new NotImplementedException();

    public void AveragePool(int batch, int height, int width, int channels, int factor, Ptr x, Ptr y) =>
        throw new NotImplementedException();

    public void AveragePoolBackward(int batch, int height, int width, int channels, int factor, Ptr dy, Target dx) =>
        throw new NotImplementedException();

    public void Resize(ResizeFilter filter, int batch, int height, int width, int channels, int outHeight, int outWidth, Ptr x, Ptr y) =>
        throw new NotImplementedException();
}
