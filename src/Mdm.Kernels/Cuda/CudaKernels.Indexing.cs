namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] IndexingModules => [];

    public void GatherRows(int rows, int cols, int tableRows, Ptr ids, Ptr table, Ptr y) =>
        throw new NotImplementedException();

    public void ScatterAddRows(int rows, int cols, int tableRows, Ptr ids, Ptr dy, Ptr dtable) =>
        throw new NotImplementedException();

    public void Sinusoid(int batch, int width, Ptr t, Ptr y) =>
        throw new NotImplementedException();
}
