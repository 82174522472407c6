// The loop over K that every product shares.
//
// Stages (3 or 4) of shared memory form a ring. While stage t is multiplied, the copies of t+1 .. t+Stages-1 are under way
// (cp.async), and the fragments of the next step of K are read into a second set of registers. One barrier per stage: at it,
// stage t+1 has arrived for all threads, and all of them have read stage t into registers, so its place is free at once.
#pragma once
#include "fragments.cuh"
#include "operands.cuh"

struct NoRows
{
    template <typename Warp>
    __device__ __forceinline__ void add(const Warp&, int, int)
    {
    }
};

// A product of one block. The file that includes this chooses by definitions: MDM_T, MDM_MATH (a Math), BM, BN, WM, WN (tiles
// of a block and a warp), STAGES, MIN_BLOCKS (of a multiprocessor), MDM_ALIGNED (whether chunks are aligned in memory).
template <bool KMajorA, bool KMajorB>
struct BlockProduct
{
    typedef Tile<Math::MDM_MATH, MDM_T, BM, KMajorA> TileA;
    typedef Tile<Math::MDM_MATH, MDM_T, BN, KMajorB> TileB;
    typedef typename WarpOf<Math::MDM_MATH, MDM_T, TileA, TileB, WM, WN>::type Warp;
    typedef StagedSums<BM, BN, Warp::threads> Staged;
    static constexpr int stage_bytes = TileA::bytes + TileB::bytes;
    static_assert(Staged::bytes <= STAGES * stage_bytes, "the sums do not fit where the stages were");

    // Sums the next `count` steps of K.
    template <typename SourceA, typename SourceB>
    __device__ static __forceinline__ void sum(Warp& warp, SourceA& a, SourceB& b, char* shared, int count)
    {
        NoRows none;
        sum(warp, none, a, b, shared, count);
    }

    // The same, and rows.add(warp, buffer, left) for each set of fragments, with `left` steps of 128 bytes left.
    template <typename Rows, typename SourceA, typename SourceB>
    __device__ static __forceinline__ void sum(Warp& warp, Rows& rows, SourceA& a, SourceB& b, char* shared, int count)
    {

#pragma unroll
        for (int s = 0; s < STAGES - 1; s++)
        {
            if (s < count)
            {
                a.load(shared + s * stage_bytes);
                b.load(shared + s * stage_bytes + TileA::bytes);
            }

            cp_async_commit();
        }

        cp_async_wait<STAGES - 2>();
        __syncthreads();
        if (count > 0)
            warp.load(0, shared, shared + TileA::bytes, 0);
        int read = 0; // the place of the stage that is multiplied; copies go to the place before it
        for (; count > 0; count--)
        {
            const char* stage = shared + read * stage_bytes;
            char* free = shared + (read == 0 ? STAGES - 1 : read - 1) * stage_bytes;
#pragma unroll
            for (int step = 0; step < Warp::steps; step++)
            {
                if (step == Warp::steps - 1)
                {
                    cp_async_wait<STAGES - 2>();
                    __syncthreads();
                    read = read + 1 == STAGES ? 0 : read + 1;
                    stage = shared + read * stage_bytes;
                }

                if (step < Warp::steps - 1 || count > 1)
                    warp.load((step + 1) % 2, stage, stage + TileA::bytes, (step + 1) % Warp::steps);
                // Operands in turn: fewer addresses in registers at a time.
                if (step == 0 && count >= STAGES)
                    a.load(free);
                if (step == 2)
                {
                    if (count >= STAGES)
                        b.load(free + TileA::bytes);
                    cp_async_commit();
                }

                warp.multiply(step % 2);
                rows.add(warp, step % 2, count);
            }
        }

        cp_async_wait<0>();
    }

    // The next `count` steps of K, which are part `part`, and what follows.
    template <typename SourceA, typename SourceB>
    __device__ static __forceinline__ void run(SourceA& a, SourceB& b, char* shared, const Output& o, const TilePlace& place,
        int tiles_n, int m, int n, int part, int count)
    {
        Warp warp;
        sum(warp, a, b, shared, count);
        store(warp, shared, o, RowMap{}, place, m, n, part);
    }

    // Applies the epilogue to the sums and writes them.
    __device__ static __forceinline__ void store(const Warp& warp, char* shared, const Output& o, const RowMap& map,
        const TilePlace& place, int m, int n, int part)
    {
        float* sums = reinterpret_cast<float*>(shared);
        __syncthreads(); // all stages have been read
        warp.store(sums, Staged::pitch);
        __syncthreads();
        Staged::template store<MDM_T>(sums, o, map, place.m * BM, place.n * BN, m, n, part);
    }
};

// The gradient of a weight, dY^T X, and of its bias, the sums of the rows of dY^T.
struct WeightGradient : BlockProduct<false, false>
{
    typedef BlockProduct<false, false> Product;

    struct Rows
    {
        RowShare share;
        typename Warp::RowSum sum;

        __device__ __forceinline__ void add(const Warp& warp, int buffer, int left)
        {
            if (share.has(left))
                sum.add(warp, buffer);
        }
    };

    template <typename SourceA, typename SourceB>
    __device__ static __forceinline__ void run(SourceA& a, SourceB& b, char* shared, const Output& o, const TilePlace& place,
        int tiles_n, int m, int n, int part, int count)
    {
        Warp warp;
        Rows rows{RowShare(o.rows, place.n, tiles_n, count), {}};
        Product::sum(warp, rows, a, b, shared, count);
        if (o.rows.partial != nullptr)
            rows.sum.store(warp, o.rows.partial + ((i64)part * tiles_n + place.n) * m, place.m * BM, m);
        Product::store(warp, shared, o, RowMap{}, place, m, n, part);
    }
};

constexpr int product_threads = BM / WM * (BN / WN) * 32;

#define PRODUCT_KERNEL extern "C" __global__ void __launch_bounds__(product_threads, MIN_BLOCKS)

// Part `part` of the steps of K.
struct Part
{
    int index, first, count;

    __device__ __forceinline__ Part(int part, int steps, int steps_per_part)
    {
        index = part;
        first = part * steps_per_part;
        count = steps_per_part < steps - first ? steps_per_part : steps - first;
    }
};
