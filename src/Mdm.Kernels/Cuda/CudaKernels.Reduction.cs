namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] ReductionModules => [];

    public void SumRows(long rows, long cols, float scale, Ptr x, Target y) =>
        throw new NotImplementedException();

    public void SumColumns(long rows, int cols, Ptr x, Target y) =>
        throw new NotImplementedException();

    public void SpreadRows(long rows, long cols, float scale, Ptr y, Target x) =>
        throw new NotImplementedException();

    public void MeanSquaredError(int batch, long inner, Ptr a, Ptr b, Ptr loss) =>
        throw new NotImplementedException();

    public void MeanSquaredErrorBackward(int batch, long inner, Ptr a, Ptr b, Ptr dloss, Target da, Target db) =>
        throw new NotImplementedException();

    public void MaskedMean(int batch, int tokens, int channels, Ptr x, Ptr mask, Ptr y) =>
        throw new NotImplementedException();

    public void MaskedMeanBackward(int batch, int tokens, int channels, Ptr dy, Ptr mask, Target dx) =>
        throw new NotImplementedException();

    public void AbsQuantile(int batch, long inner, float p, Ptr x, Ptr y) =>
        throw new NotImplementedException();
}
