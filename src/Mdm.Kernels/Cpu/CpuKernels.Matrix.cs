using Mdm.Kernels.Cpu.Products;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void MatMul(in MatMulShape shape, Ptr a, Ptr b, Target c, Ptr bias = default, Ptr residual = default)
    {
        if (c.IsNone)
            return;
        var job = new Product
        {
            Shape = shape,
            A = a.F32,
            B = b.F32,
            C = c.Ptr.F32,
            Bias = bias.F32,
            Residual = residual.F32,
            Accumulate = c.Accumulate,
        };
        Product.Run(ref job);
    }
}
