// C[M,N] = op(A)[M,K] op(B)[K,N] in bfloat16 with float32 sums, then the epilogue of include/output.cuh: wgmma and the tensor
// copy unit of Hopper (include/hopper.cuh describes blocks, shared memory and barriers).
//
// A is [M,K] (n) or [K,M] (t), B is [K,N] (n) or [N,K] (t): kernels hopper_matmul_AB. Tensor maps, innermost first:
//   K in memory innermost:  {K, rows}, boxes of 64 k and 128 rows of A or TILE_N / CLUSTER of B
//   M or N innermost:       {rows, K}, boxes of 64 rows and 64 k
// Addresses and leading dimensions are multiples of 16 bytes. C has any alignment.
// hopper_matmul_tn, the gradient of a weight (A = dY, B = X), also gives the sums of the rows of A, the gradient of the bias.
// hopper_matmul_nt_gelu: z = v, v = gelu(v); hopper_matmul_nn_gate: v *= gelu'(gate). The others have neither.
//
// Grid: as many blocks as multiprocessors, or as pieces of work if fewer. Block: 384 threads, 1 a multiprocessor. Registers: 40
// of a copying, 232 of a multiplying thread. Shared memory: 194 KB (4, 6 or 8 stages for TILE_N = 256, 128, 64).
//
// Versions (not measured yet; predicted share of an H100's dense bfloat16 peak at M = N = K = 8192). A step of 128x256x64 is
// 1,024 cycles of the tensor cores, in which its products read 80 KB of shared memory (64x256x16: 10 KB in 128 cycles, of the 16
// that are possible). What the second-level cache gives, about 5.5 TB/s or 25 bytes a cycle and multiprocessor, decides; others
// have published 67 % without and 76 % with clusters. The epilogue, about 2,500 cycles, is hidden in part: one consumer stores
// while the other one multiplies up to 3 steps on.
//   128x256x64, clusters of 2   75 %   32 KB from the second-level cache a step
//   128x256x64                  67 %   48 KB
//   128x128x64, clusters of 2   65 %   24 KB for half the work
//   128x128x64                  55 %   32 KB
//   128x64x64                   40 %   24 KB for a quarter; for N up to 64
#include "hopper_store.cuh"

template <int N, int TransposeA, int TransposeB>
struct MatrixLoad
{
    const TensorMap &a_map, &b_map;

    __device__ __forceinline__ void prefetch() const
    {
        tensor_prefetch(&a_map);
        tensor_prefetch(&b_map);
    }

    __device__ __forceinline__ void operator()(const HopperTile& tile, int step, u8* a, u8* b, u64* barrier) const
    {
        int k = step * HopperDepth, m = tile.m * HopperRows, n = tile.n * N;
        if (TransposeA)
            for (int i = 0; i < HopperRows; i += 64)
                tensor_load_2d(a + i * HopperLine, &a_map, barrier, m + i, k);
        else
            tensor_load_2d(a, &a_map, barrier, k, m);
        HopperShare<N> share;
        if (TransposeB)
            for (int i = share.first; i < share.last; i += 64)
                load_b(b, barrier, i, n + i, k);
        else
            load_b(b, barrier, share.first, k, n + share.first);
    }

    __device__ __forceinline__ void load_b(u8* b, u64* barrier, int line, int x, int y) const
    {
        if (CLUSTER == 1)
            tensor_load_2d(b + line * HopperLine, &b_map, barrier, x, y);
        else
            tensor_multicast_2d(b + line * HopperLine, &b_map, barrier, HopperShare<N>::blocks, x, y);
    }
};

template <int N>
struct MatrixStore
{
    const Output& output;
    int m, n;

    __device__ __forceinline__ void operator()(const float (&d)[N / 2], const HopperTile& tile, int consumer) const
    {
        hopper_store<N>(d, output, tile.split, m, consumer, FirstRows{tile.m * HopperRows, m}, FirstColumns{tile.n * N, n});
    }
};

// TransposeA, TransposeB: whether M or N is innermost in memory.
#define HOPPER_MATMUL(name, TransposeA, TransposeB, has_z, has_gate, rows)                                               \
    HOPPER_KERNEL name(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,                          \
        const __grid_constant__ HopperWork work, const __grid_constant__ Output output, int m, int n)                     \
    {                                                                                                                     \
        Output o = output;                                                                                                \
        if (!has_z)                                                                                                       \
            o.z = nullptr;                                                                                                \
        if (!has_gate)                                                                                                    \
            o.gate = nullptr;                                                                                             \
        hopper_product<TILE_N, TransposeA, TransposeB>(                                                                   \
            work, MatrixLoad<TILE_N, TransposeA, TransposeB>{a, b}, MatrixStore<TILE_N>{o, m, n}, rows);                  \
    }

HOPPER_MATMUL(hopper_matmul_nn, 0, 1, false, false, HopperNoRows{})
HOPPER_MATMUL(hopper_matmul_nt, 0, 0, false, false, HopperNoRows{})
HOPPER_MATMUL(hopper_matmul_tn, 1, 1, false, false, (HopperRowSums{output.rows, m, work.tiles_n}))
HOPPER_MATMUL(hopper_matmul_tt, 1, 0, false, false, HopperNoRows{})
HOPPER_MATMUL(hopper_matmul_nt_gelu, 0, 0, true, false, HopperNoRows{})
HOPPER_MATMUL(hopper_matmul_nn_gate, 0, 1, false, true, HopperNoRows{})
