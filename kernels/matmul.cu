// C[M,N] = op(A)[M,K] op(B)[K,N], then the epilogue of include/output.cuh (bias, GELU, residual, accumulation). matmul_tn, the
// gradient of a weight (A = dY, B = X), also gives the sums of the rows of A, the gradient of the bias.
//
// A is [M,K] (n) or [K,M] (t), B is [K,N] (n) or [N,K] (t), rows of lda, ldb, ldc elements: kernels matmul_AB.
// Grid: x = tiles of C (see TilePlace), z = parts of K. Block: BM/WM · BN/WN warps. Shared memory: STAGES (BM + BN) 128 bytes.
// Include/product.cuh describes the loop, include/tile.cuh the layout of shared memory.
//
// Versions (none measured yet; predicted share of an H100's dense bfloat16 peak at M = N = K = 8192; mma.sync is known to
// reach at most 63-65 % there, the rest needs wgmma):
//   bf16 128x256, warps 64x64, 3 stages of 64, 1 block   60 %   85 bytes read from L2 per 1000 products; 144 KB shared
//   bf16 128x128, warps 64x64, 3 stages of 64, 2 blocks  58 %   for grids that 128x256 leaves uneven
//   bf16 128x64, 64x64, 4 stages                         45 %   small grids
//   float 128x128, 8x8 a thread                          75 % of the float peak, 67 TFLOP/s
//   TF32 128x128, warps 64x64                            60 % of the TF32 peak, 494 TFLOP/s
#include "product.cuh"

struct MatMulArguments
{
    const void* a;
    const void* b;
    Output output;
    int m, n, k;
    int lda, ldb;
    int tiles_m, tiles_n;
    int steps, steps_per_part; // of K
};

template <bool KMajor, typename Tile>
struct MatrixOperand
{
    typedef MatrixKMajor<Tile, MDM_T, product_threads, MDM_ALIGNED> type;
};

template <typename Tile>
struct MatrixOperand<false, Tile>
{
    typedef MatrixMnMajor<Tile, MDM_T, product_threads, MDM_ALIGNED> type;
};

template <bool KMajorA, bool KMajorB, typename Product = BlockProduct<KMajorA, KMajorB>>
__device__ __forceinline__ void matmul(const MatMulArguments& p)
{
    DYNAMIC_SHARED(char, shared);
    TilePlace place(blockIdx.x, p.tiles_m, p.tiles_n);
    Part part(blockIdx.z, p.steps, p.steps_per_part);
    typename MatrixOperand<KMajorA, typename Product::TileA>::type a(p.a, p.lda, p.m, p.k, place.m * BM, part.first);
    typename MatrixOperand<KMajorB, typename Product::TileB>::type b(p.b, p.ldb, p.n, p.k, place.n * BN, part.first);
    Product::run(a, b, shared, p.output, place, p.tiles_n, p.m, p.n, part.index, part.count);
}

PRODUCT_KERNEL matmul_nn(MatMulArguments p) { matmul<true, false>(p); }

PRODUCT_KERNEL matmul_nt(MatMulArguments p) { matmul<true, true>(p); }

PRODUCT_KERNEL matmul_tn(MatMulArguments p) { matmul<false, false, WeightGradient>(p); }

PRODUCT_KERNEL matmul_tt(MatMulArguments p) { matmul<false, true>(p); }
