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

    public void MatMulBackwardWeight(in MatMulShape shape, Ptr dy, Ptr x, Target dw, Target db)
    {
        SumColumns(shape.K, shape.M, dy, db);
        MatMul(shape, dy, x, dw);
    }

    public void MatMulGelu(in MatMulShape shape, Ptr a, Ptr b, Ptr bias, Ptr z, Ptr c)
    {
        Ptr product = z.IsNone ? c : z;
        MatMul(shape, a, b, new Target(product, false), bias);
        (int rows, long length) = Pieces(shape);
        for (int row = 0; row < rows; row++)
            Unary(UnaryFunction.Gelu, length, product + (long)row * shape.LdC, c + (long)row * shape.LdC);
    }

    public void MatMulGeluBackward(in MatMulShape shape, Ptr a, Ptr b, Ptr z, Ptr c)
    {
        MatMul(shape, a, b, new Target(c, false));
        (int rows, long length) = Pieces(shape);
        for (int row = 0; row < rows; row++)
        {
            Ptr dz = c + (long)row * shape.LdC;
            UnaryBackward(UnaryFunction.Gelu, length, z + (long)row * shape.LdC, dz, new Target(dz, false));
        }
    }

    /// <summary>C in pieces that lie together: all of it, or its rows.</summary>
    private static (int Rows, long Length) Pieces(in MatMulShape shape) =>
        shape.LdC == shape.N ? (1, (long)shape.M * shape.N) : (shape.M, shape.N);
}
