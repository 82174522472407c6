using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] MatrixModules =>
        [.. ProductTile.All.Select(t => t.MatMul), .. KernelModule.BothTypes("splitk.cu"), .. Hopper.Modules];

    public void MatMul(in MatMulShape shape, Ptr a, Ptr b, Target c, Ptr bias, Ptr residual)
    {
        if (!c.IsNone)
            Product(shape, a, b, ProductOutput.Of(a.Type, shape.LdC, shape.N, c, bias, residual));
    }

    // Where z is not wanted, the result's memory takes it for a moment: the same thread then writes the result there.
    public void MatMulGelu(in MatMulShape shape, Ptr a, Ptr b, Ptr bias, Ptr z, Ptr c) => Product(shape, a, b,
        ProductOutput.Of(a.Type, shape.LdC, shape.N, new Target(c, false), bias, default, z.IsNone ? c : z));

    public void MatMulGeluBackward(in MatMulShape shape, Ptr a, Ptr b, Ptr z, Ptr c) => Product(shape, a, b,
        ProductOutput.Of(a.Type, shape.LdC, shape.N, new Target(c, false), default, default, gate: z));

    /// <summary>Every matrix product passes here.</summary>
    private void Product(in MatMulShape shape, Ptr a, Ptr b, ProductOutput output)
    {
        if (shape.M == 0 || shape.N == 0 || HopperProduct(shape, a, b, output))
            return;
        int size = a.Type.Size();
        bool aligned = ((a.Address | b.Address | (nint)shape.LdA * size | (nint)shape.LdB * size) & 15) == 0;
        ProductPlan plan = ProductPlan.Choose(MathOf(a.Type), aligned, shape.M, shape.N, shape.K, 1, true, device.Properties);
        ProductTile tile = plan.Tile;
        var arguments = new MatMulArguments
        {
            A = a.Address,
            B = b.Address,
            M = shape.M,
            N = shape.N,
            K = shape.K,
            LdA = shape.LdA,
            LdB = shape.LdB,
            TilesM = Blocks(shape.M, tile.M),
            TilesN = Blocks(shape.N, tile.N),
            Steps = Blocks(shape.K, tile.Step),
        };
        string kernel = (shape.TransposeA, shape.TransposeB) switch
        {
            (false, false) => "matmul_nn",
            (false, true) => "matmul_nt",
            (true, false) => "matmul_tn",
            _ => "matmul_tt",
        };
        (int parts, arguments.StepsPerPart) = Divide(arguments.Steps, plan.Parts);
        var grid = new Dim3(checked(arguments.TilesM * arguments.TilesN), 1, parts);
        if (parts == 1)
        {
            arguments.Output = output;
            device.Launch(new(tile.MatMul, kernel), grid, tile.Threads, tile.SharedBytes, Arg.By(in arguments));
            return;
        }

        using Scratch partial = Partial(parts, shape.M, ref output);
        arguments.Output = output;
        device.Launch(new(tile.MatMul, kernel), grid, tile.Threads, tile.SharedBytes, Arg.By(in arguments));
        SumParts(a.Type, output, default, shape.M, shape.N, parts);
    }

    private ProductMath MathOf(DType type) => type switch
    {
        DType.BFloat16 => ProductMath.Bf16,
        DType.Float32 => device.AllowTf32 ? ProductMath.Tf32 : ProductMath.Simt,
        _ => throw new MdmException($"a product of {type} operands: expected Float32 or BFloat16"),
    };

    /// <summary>Steps of K in near-equal parts, none of them empty.</summary>
    private static (int Parts, int StepsPerPart) Divide(int steps, int parts)
    {
        int perPart = Math.Max(1, (steps + parts - 1) / parts);
        return (Math.Max(1, (steps + perPart - 1) / perPart), perPart);
    }

    /// <summary>Room for the sums of each part.</summary>
    private Scratch Partial(int parts, int m, ref ProductOutput output)
    {
        Scratch partial = device.Borrow((long)parts * m * output.Columns * sizeof(float));
        output.Partial = partial.As(DType.Float32).Address;
        return partial;
    }

    private void SumParts(DType type, ProductOutput output, RowMap map, int m, int n, int parts)
    {
        int blocks = Blocks((long)m * Blocks(n, 16 / type.Size()), 256);
        Launch("splitk.cu", "splitk_sum", type, blocks, 256, 0, Arg.By(in output), Arg.By(in map), m, n, parts);
    }
}
