using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;

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

    public void MatMulBackwardWeight(in MatMulShape shape, Ptr dy, Ptr x, Target dw, Target db)
    {
        if (dw.IsNone || shape.N == 0)
            SumColumns(shape.K, shape.M, dy, db);
        else
            Product(shape, dy, x, WithRowSums(ProductOutput.Of(dy.Type, shape.LdC, shape.N, dw, default, default), db));
    }

    /// <summary>A weight's gradient, and beside it the bias's.</summary>
    private static ProductOutput WithRowSums(ProductOutput output, Target db)
    {
        RequireType("gradient of a bias", db.Ptr, DType.Float32);
        (output.Rows.Sums, output.Rows.Accumulate) = (db.Ptr.Address, db.Accumulate ? 1 : 0);
        return output;
    }

    // Where z is not wanted, the result's memory takes it for a moment: the same thread then writes the result there.
    public void MatMulGelu(in MatMulShape shape, Ptr a, Ptr b, Ptr bias, Ptr z, Ptr c) => Product(shape, a, b,
        ProductOutput.Of(a.Type, shape.LdC, shape.N, new Target(c, false), bias, default, z.IsNone ? c : z));

    public void MatMulGeluBackward(in MatMulShape shape, Ptr a, Ptr b, Ptr z, Ptr c) => Product(shape, a, b,
        ProductOutput.Of(a.Type, shape.LdC, shape.N, new Target(c, false), default, default, gate: z));

    /// <summary>Every matrix product passes here.</summary>
    private void Product(in MatMulShape shape, Ptr a, Ptr b, ProductOutput output)
    {
        if (shape.M == 0 || shape.N == 0)
            return;
        var key = ProductKey.Of(shape, MathOf(a.Type), a, b, output);
        if (!productWays.Settled(key, out Way way))
            way = ChooseWay(key, a, b, output);
        if (!TryProduct(way, key, a, b, output))
            TryProduct(Way.Reckoned, key, a, b, output);
    }

    private Way ChooseWay(ProductKey key, Ptr a, Ptr b, ProductOutput output) => productWays.Choose(key, Way.All(key.Math), way =>
    {
        // As much as c has, whose type is never wider.
        long bytes = ((long)key.Shape.M * key.Shape.LdC + key.Shape.N) * sizeof(float);
        using Scratch c = device.Borrow(bytes), z = output.Z != 0 ? device.Borrow(bytes) : default;
        using Scratch rows = device.Borrow(key.Shape.M * sizeof(float));
        return TryProduct(way, key, a, b,
            output.Elsewhere(c.As(DType.UInt8).Address, z.As(DType.UInt8).Address, rows.As(DType.UInt8).Address));
    });

    /// <summary>Computes a product in one way; false: that is none for it.</summary>
    private bool TryProduct(Way way, in ProductKey key, Ptr a, Ptr b, ProductOutput output) => way.Maker switch
    {
        Maker.Library => LibraryProduct(key, a, b, output, way.Tile) && SumBias(key.Shape.K, key.Shape.M, a, output.Rows),
        Maker.Hopper => HopperProduct(key.Shape, a, b, output, way),
        Maker.Portable => PortableProduct(key.Shape, a, b, output, way),
        _ => HopperProduct(key.Shape, a, b, output) || PortableProduct(key.Shape, a, b, output, way),
    };

    private bool LibraryProduct(in ProductKey key, Ptr a, Ptr b, ProductOutput output, int proposal)
    {
        if (key.Shape.K == 0 || libraryProducts.Plan(key, output.Columns) is not { } plan || proposal >= plan.Proposals.Length)
            return false;
        if (LibraryProducts.IsDirect(key))
            return libraryProducts.Direct(key, plan, proposal, a, b, output);
        (int m, int n) = (key.Shape.M, key.Shape.N);
        using Scratch sums = Partial(1, m, ref output);
        if (!libraryProducts.Sums(key, plan, proposal, a, b, output))
            return false;
        SumParts(a.Type, output, default, m, n, 1);
        return true;
    }

    private bool PortableProduct(in MatMulShape shape, Ptr a, Ptr b, ProductOutput output, Way way)
    {
        int size = a.Type.Size();
        bool aligned = ((a.Address | b.Address | (nint)shape.LdA * size | (nint)shape.LdB * size) & 15) == 0;
        ProductPlan plan = ProductPlan.Choose(
            MathOf(a.Type), aligned, shape.M, shape.N, shape.K, 1, true, device.Properties, way);
        if (plan.IsNone)
            return false;
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
        using Scratch partial = Parts(parts, shape.M, ref output);
        using Scratch rows = PartialRows(parts * arguments.TilesN, shape.M, ref output);
        arguments.Output = output;
        device.Launch(new(tile.MatMul, kernel), grid, tile.Threads, tile.SharedBytes, Arg.By(in arguments));
        SumParts(a.Type, output, default, shape.M, shape.N, parts);
        return true;
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

    /// <summary>Room for the sums of each part; none if there is one, which writes its result itself.</summary>
    private Scratch Parts(int parts, int m, ref ProductOutput output) => parts == 1 ? default : Partial(parts, m, ref output);

    private Scratch Partial(int parts, int m, ref ProductOutput output)
    {
        Scratch partial = device.Borrow((long)parts * m * output.Columns * sizeof(float));
        output.Partial = partial.As(DType.Float32).Address;
        return partial;
    }

    /// <summary>Room for the sums of the rows of A, a piece for each part and tile of N; none if they are not wanted.</summary>
    private Scratch PartialRows(int pieces, int m, ref ProductOutput output)
    {
        if (output.Rows.Sums == 0)
            return default;
        Scratch partial = device.Borrow((long)pieces * m * sizeof(float));
        (output.Rows.Partial, output.Rows.Pieces) = (partial.As(DType.Float32).Address, pieces);
        return partial;
    }

    /// <summary>Adds up what a product left in parts: its sums, unless it wrote its result itself, and those of the rows of
    /// A.</summary>
    private void SumParts(DType type, ProductOutput output, RowMap map, int m, int n, int parts)
    {
        if (output.Partial == 0 && parts == 1)
            n = 0;
        long threads = (long)m * Blocks(n, 16 / type.Size()) + (output.Rows.Partial == 0 ? 0 : m);
        if (threads > 0)
            Launch("splitk.cu", "splitk_sum", type, Blocks(threads, 256), 256, 0, Arg.By(in output), Arg.By(in map), m, n, parts);
    }

    /// <summary>The gradient of a bias by itself, beside a product that does not give it.</summary>
    private bool SumBias(long rows, int columns, Ptr dy, in RowSums sums)
    {
        if (sums.Sums != 0)
            SumColumns(rows, columns, dy, new Target(new Ptr(sums.Sums, DType.Float32), sums.Accumulate != 0));
        return true;
    }
}
