namespace Mdm.Kernels.Cuda.Products;

/// <summary>How products are formed; the names are those of <c>kernels/include/tile.cuh</c>.</summary>
internal enum ProductMath
{
    /// <summary>float, fused multiply-add</summary>
    Simt,

    /// <summary>float rounded to TF32, tensor cores</summary>
    Tf32,

    /// <summary>bfloat16, tensor cores</summary>
    Bf16,
}

/// <summary>One compilation of matmul.cu and of conv.cu: the tile of a block and how it is divided.</summary>
/// <param name="Math">How products are formed.</param>
/// <param name="M">Rows of a block's tile.</param>
/// <param name="N">Columns of it.</param>
/// <param name="WarpM">Rows of a warp's tile.</param>
/// <param name="WarpN">Columns of it.</param>
/// <param name="Stages">Steps of K in shared memory at a time, of 128 bytes a row.</param>
/// <param name="BlocksPerMultiprocessor">That registers and shared memory are divided for.</param>
/// <param name="Aligned">Whether operands are copied in chunks of 16 bytes; if not, element by element.</param>
/// <param name="Efficiency">Of its multiplications, as a share of the best tile's; predicted.</param>
internal sealed record ProductTile(ProductMath Math, int M, int N, int WarpM, int WarpN, int Stages, int BlocksPerMultiprocessor,
    bool Aligned, double Efficiency)
{
    /// <summary>Every tile. Of those that fit a product, <see cref="ProductPlan"/> chooses.</summary>
    public static IReadOnlyList<ProductTile> All { get; } =
    [
        new(ProductMath.Bf16, 128, 256, 64, 64, 3, 1, true, 1.0),
        new(ProductMath.Bf16, 128, 128, 64, 64, 3, 2, true, 0.95),
        new(ProductMath.Bf16, 128, 64, 64, 32, 4, 2, true, 0.75),
        new(ProductMath.Bf16, 64, 64, 32, 32, 4, 3, true, 0.6),
        new(ProductMath.Bf16, 64, 64, 32, 32, 3, 2, false, 0.1),
        new(ProductMath.Tf32, 128, 128, 64, 32, 3, 1, true, 1.0),
        new(ProductMath.Tf32, 64, 64, 32, 32, 4, 2, true, 0.6),
        new(ProductMath.Tf32, 64, 64, 32, 32, 3, 2, false, 0.1),
        new(ProductMath.Simt, 128, 128, 32, 64, 3, 1, true, 1.0),
        new(ProductMath.Simt, 64, 64, 16, 32, 3, 2, true, 0.8),
        new(ProductMath.Simt, 64, 64, 16, 32, 3, 2, false, 0.5),
    ];

    public int Threads { get; } = M / WarpM * (N / WarpN) * 32;

    public int SharedBytes { get; } = Stages * (M + N) * 128;

    /// <summary>Elements of K in a step.</summary>
    public int Step { get; } = Math == ProductMath.Bf16 ? 64 : 32;

    public KernelModule MatMul { get; } = Module("matmul.cu", Math, M, N, WarpM, WarpN, Stages, BlocksPerMultiprocessor, Aligned);

    public KernelModule Conv { get; } = Module("conv.cu", Math, M, N, WarpM, WarpN, Stages, BlocksPerMultiprocessor, Aligned);

    private static KernelModule Module(string file, ProductMath math, int m, int n, int warpM, int warpN, int stages, int blocks,
        bool aligned) =>
        new(file, $"MDM_T={(math == ProductMath.Bf16 ? "bf16" : "float")} MDM_MATH={math} BM={m} BN={n} WM={warpM} WN={warpN} "
            + $"STAGES={stages} MIN_BLOCKS={blocks} MDM_ALIGNED={(aligned ? "true" : "false")}");
}
