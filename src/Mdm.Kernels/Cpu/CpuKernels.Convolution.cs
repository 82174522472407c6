using Mdm.Kernels.Cpu.Products;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    /// <summary>Whether 3x3 convolutions with stride 1 take Winograd's way where it pays: about twice as fast, with about
    /// twice the rounding error of the direct sum. On unless MDM_WINOGRAD is 0.</summary>
    public static bool UseWinograd { get; set; } = Environment.GetEnvironmentVariable("MDM_WINOGRAD") != "0";

    public void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y) =>
        Convolution.Run(shape, false, x.F32, w.F32, bias.F32, residual.F32, y.F32, false);

    public void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx)
    {
        if (!dx.IsNone)
            Convolution.Run(shape, true, dy.F32, w.F32, null, null, dx.Ptr.F32, dx.Accumulate);
    }

    public void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw, Target db = default)
    {
        SumColumns((long)shape.Batch * shape.OutHeight * shape.OutWidth, shape.OutChannels, dy, db);
        if (!dw.IsNone)
            ConvWeightGradient.Run(shape, x.F32, dy.F32, dw.Ptr.F32, dw.Accumulate);
    }
}
