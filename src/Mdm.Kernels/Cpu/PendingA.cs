namespace Mdm.Kernels.Cpu;

// Families not written yet.
public sealed unsafe partial class CpuKernels
{
    public void MatMul(in MatMulShape shape, Ptr a, Ptr b, Target c, Ptr bias = default, Ptr residual = default) => throw new NotSupportedException();

    public void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y) => throw new NotSupportedException();

    public void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx) => throw new NotSupportedException();

    public void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw) => throw new NotSupportedException();
}
