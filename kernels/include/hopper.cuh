// The matrix core of Hopper (sm_90a): a block is one producer warpgroup, whose first thread copies tiles with the tensor copy
// unit, and two consumer warpgroups, which multiply them with wgmma. Shared by products (hopper_matmul.cu) and convolutions
// (hopper_conv.cu), which differ in what they load (a Load) and where results go (Rows and Columns).
//
// Tile: C[128 x N] += A[128 x 64] B[64 x N] per step; consumer w has rows 64 w.. of it in 64 x N / 128 registers a thread.
// Shared memory: a ring of stages, each A (16 KB) and then B (N 128 bytes), both as hopper_tiles.cuh describes it.
// Barriers: full[s] (one arrival and the bytes of the copies), empty[s] (one arrival of each of the 8 consumer warps, after
// wgmma_wait says that the products which read the stage are done).
//
// With CLUSTER = 2, the blocks 2i and 2i + 1 are a cluster and work on tiles of the same columns: each copies its own A and one
// half of B, which goes to both. The second-level cache then gives 32 KB a step of 128x256 instead of 48 KB: at 1,024 cycles a
// step, 48 KB for each of 132 multiprocessors are 11 TB/s, about twice what it has. A stage is empty when the consumers of both
// blocks have said so, to both. If the tiles of M are odd in number, the last block multiplies zeros.
#pragma once
#include "hopper_tiles.cuh"
#include "output.cuh"

constexpr int HopperThreads = 384, HopperRows = 128, HopperDepth = 64, HopperConsumerWarps = 8;

// Stages of the ring: 192 KB of the 227 KB that a block may have.
template <int N>
struct HopperRing
{
    static constexpr int a_bytes = HopperRows * HopperLine;
    static constexpr int stage_bytes = a_bytes + N * HopperLine;
    static constexpr int stages = 192 * 1024 / stage_bytes;

    u8* data;   // 1,024-byte aligned
    u64* full;  // [stages]
    u64* empty; // [stages]
    int stage;
    u32 phase; // parity of the current round

    __device__ __forceinline__ u8* a() const { return data + stage * stage_bytes; }
    __device__ __forceinline__ u8* b() const { return a() + a_bytes; }
    __device__ __forceinline__ u8* ones() const { return data + stages * stage_bytes; } // 8 columns, 64 deep, K-major

    __device__ __forceinline__ void advance()
    {
        if (++stage == stages)
        {
            stage = 0;
            phase ^= 1;
        }
    }
};

// How the work is cut: tiles of C (tiles_m counts CLUSTER tiles as one), and parts of the sum over k
// ("splits") whose results splitk.cu adds.
struct HopperWork
{
    int tiles_m, tiles_n, splits;
    int steps, steps_per_split; // in units of HopperDepth; no split is empty
};

// One piece of work: a tile, and steps first to last-1.
struct HopperTile
{
    int m, n, split, first, last;
};

// This block's number in its cluster.
__device__ __forceinline__ int hopper_rank() { return CLUSTER == 1 ? 0 : blockIdx.x % CLUSTER; }

// Blocks that run at the same time work on a patch of 16 tiles of M by a few of N, whose operands stay in the second-level cache.
__device__ __forceinline__ HopperTile hopper_tile(const HopperWork& work, int index)
{
    constexpr int group_m = 16;
    int tiles = work.tiles_m * work.tiles_n;
    HopperTile tile;
    tile.split = index / tiles;
    index -= tile.split * tiles;
    int per_group = group_m * work.tiles_n;
    int group = index / per_group, inside = index - group * per_group;
    int height = min(group_m, work.tiles_m - group * group_m);
    tile.n = inside / height;
    tile.m = (group * group_m + inside - tile.n * height) * CLUSTER + hopper_rank();
    tile.first = tile.split * work.steps_per_split;
    tile.last = min(work.steps, tile.first + work.steps_per_split);
    return tile;
}

// Whether the rows of A are summed beside a product (RowSums of output.cuh).
struct HopperNoRows
{
    static constexpr bool there = false;
};

// They are: as products of A with 8 columns of ones, which cost about an eighth of a product with 256. The `tiles` tiles of N
// that read the same rows of A (of `m`) share the steps.
struct HopperRowSums
{
    static constexpr bool there = true;

    const RowSums& rows;
    int m, tiles;

    __device__ __forceinline__ RowShare share(const HopperTile& tile) const
    {
        return RowShare(rows, tile.n % tiles, tiles, tile.last - tile.first);
    }

    // Each column of r is the sum; the first lane of four has rows g and g + 8 of column 0.
    __device__ __forceinline__ void store(const float (&r)[4], const HopperTile& tile, int tiles_n, int consumer) const
    {
        if (rows.partial == nullptr || threadIdx.x % 4 != 0)
            return;
        float* piece = rows.partial + ((i64)tile.split * tiles_n + tile.n) * m;
#pragma unroll
        for (int i = 0; i < 2; ++i)
        {
            int row = tile.m * HopperRows + consumer * 64 + threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4 + 8 * i;
            if (row < m)
                piece[row] = r[2 * i];
        }
    }
};

// Says that this warp has read a stage, to every block that fills it.
template <int N>
__device__ __forceinline__ void hopper_release(HopperRing<N>& ring, int stage)
{
    int lane = threadIdx.x % 32;
    if (CLUSTER == 1)
    {
        if (lane == 0)
            mbarrier_arrive(&ring.empty[stage]);
    }
    else if (lane < CLUSTER)
        mbarrier_arrive_at(&ring.empty[stage], lane);
}

// All threads of the cluster.
__device__ __forceinline__ void hopper_sync()
{
    if (CLUSTER == 1)
        __syncthreads();
    else
        cluster_sync();
}

// d = the sum of a tile's steps; r = that of the rows of A over the steps of `share`.
template <int N, int TransposeA, int TransposeB, bool Rows>
__device__ __forceinline__ void hopper_multiply(
    float (&d)[N / 2], float (&r)[4], HopperRing<N>& ring, int steps, int consumer, const RowShare& share)
{
    constexpr int deeper_a = (TransposeA ? 16 * HopperLine : 32) / 16, deeper_b = (TransposeB ? 16 * HopperLine : 32) / 16;
    int previous = 0;
    // Written before the first product rather than skipped in it: else ptxas runs the products one after another (C7515).
#pragma unroll
    for (int i = 0; i < N / 2; ++i)
        d[i] = 0.0f;
    r[0] = r[1] = r[2] = r[3] = 0.0f;
    u64 ones = hopper_descriptor<0>(ring.ones());
    for (int step = 0; step < steps; ++step)
    {
        mbarrier_wait(&ring.full[ring.stage], ring.phase);
        // Rows 64.. of A: 64 lines further (K-major), or the second block (M-major); both are 8 KB.
        u64 a = hopper_descriptor<TransposeA>(ring.a() + consumer * 64 * HopperLine);
        u64 b = hopper_descriptor<TransposeB>(ring.b());
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < HopperDepth / 16; ++k)
            wgmma<TransposeA, TransposeB>(d, a + k * deeper_a, b + k * deeper_b);
        if (Rows && share.has(steps - step))
        {
#pragma unroll
            for (int k = 0; k < HopperDepth / 16; ++k)
                wgmma<TransposeA, 0>(r, a + k * deeper_a, ones);
        }
        wgmma_commit();
        if (step > 0)
        {
            wgmma_wait<1>(d); // all but this step's: the previous stage has been read
            hopper_release(ring, previous);
        }
        previous = ring.stage;
        ring.advance();
    }
    wgmma_wait<0>(d);
    if (Rows)
        wgmma_wait<0>(r);
    hopper_release(ring, previous);
}

// All work of a block. load(tile, step, a, b, barrier) copies a stage, load.prefetch() fetches the maps; store(d, tile, consumer)
// takes a consumer's 64 x N sums. Pieces of work are dealt to the clusters in turn. Block: HopperThreads; dynamic shared memory:
// 194 KB (the ring, ones, and what brings it to a multiple of 1,024 bytes).
template <int N, int TransposeA, int TransposeB, typename Load, typename Store, typename Rows>
__device__ __forceinline__ void hopper_product(const HopperWork& work, const Load& load, const Store& store, const Rows& rows)
{
    using Ring = HopperRing<N>;
    SHARED(u64, barriers[2 * Ring::stages]);
    DYNAMIC_SHARED(u8, memory);
    Ring ring;
    ring.data = hopper_aligned(memory);
    ring.full = barriers;
    ring.empty = barriers + Ring::stages;
    ring.stage = 0;
    ring.phase = 0;
    if (Rows::there && threadIdx.x < 256)
    {
        reinterpret_cast<u32*>(ring.ones())[threadIdx.x] = pack_bf16(1.0f, 1.0f);
        shared_fence();
    }

    if (threadIdx.x == 0)
    {
        for (int s = 0; s < Ring::stages; ++s)
        {
            mbarrier_init(&ring.full[s], 1);
            mbarrier_init(&ring.empty[s], HopperConsumerWarps * CLUSTER);
        }
        mbarrier_init_fence();
    }
    hopper_sync();

    int group = threadIdx.x / 128, pieces = work.tiles_m * work.tiles_n * work.splits;
    int first = blockIdx.x / CLUSTER, stride = gridDim.x / CLUSTER;
    if (group == 0)
    {
        registers_decrease<40>();
        if (threadIdx.x == 0)
        {
            load.prefetch();
            for (int index = first; index < pieces; index += stride)
            {
                HopperTile tile = hopper_tile(work, index);
                for (int step = tile.first; step < tile.last; ++step)
                {
                    mbarrier_wait(&ring.empty[ring.stage], ring.phase ^ 1);
                    mbarrier_expect(&ring.full[ring.stage], Ring::stage_bytes);
                    load(tile, step, ring.a(), ring.b(), &ring.full[ring.stage]);
                    ring.advance();
                }
            }
        }
    }
    else
    {
        registers_increase<232>();
        for (int index = first; index < pieces; index += stride)
        {
            HopperTile tile = hopper_tile(work, index);
            float d[N / 2], r[4];
            if constexpr (Rows::there)
            {
                hopper_multiply<N, TransposeA, TransposeB, true>(
                    d, r, ring, tile.last - tile.first, group - 1, rows.share(tile));
                rows.store(r, tile, work.tiles_n, group - 1);
            }
            else
                hopper_multiply<N, TransposeA, TransposeB, false>(
                    d, r, ring, tile.last - tile.first, group - 1, RowShare(RowSums{}, 0, 1, 0));
            store(d, tile, group - 1);
        }
    }

    // No block may end while the other one still copies to it or arrives at its barriers.
    if (CLUSTER > 1)
        cluster_sync();
}

#define HOPPER_KERNEL extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(HopperThreads, 1)

// The parts of B that this block copies: lines first to last-1 of the N of a stage, for all blocks of the cluster.
template <int N>
struct HopperShare
{
    static constexpr int lines = N / CLUSTER;
    static constexpr unsigned short blocks = (1 << CLUSTER) - 1;
    static_assert(lines % 64 == 0, "a block copies at least 64 lines of B");

    int first = hopper_rank() * lines, last = first + lines;
};
