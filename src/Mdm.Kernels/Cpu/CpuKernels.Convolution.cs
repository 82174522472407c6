using Mdm.Kernels.Cpu.Products;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y) =>
        Convolution.Run(shape, false, x.F32, w.F32, bias.F32, residual.F32, y.F32, false);

    public void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx)
    {
        if (!dx.IsNone)
            Convolution.Run(shape, true, dy.F32, w.F32, null, null, dx.Ptr.F32, dx.Accumulate);
    }

    public void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw)
    {
        if (!dw.IsNone)
            ConvWeightGradient.Run(shape, x.F32, dy.F32, dw.Ptr.F32, dw.Accumulate);
    }
}
