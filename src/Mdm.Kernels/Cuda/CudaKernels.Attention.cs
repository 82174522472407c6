namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] AttentionModules => [];

    public void AttentionForward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Ptr bias) =>
        throw new NotImplementedException();

    public void AttentionBackward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Rows dO, RowsTarget dq, RowsTarget dk, RowsTarget dv, Ptr bias) =>
        throw new NotImplementedException();
}
