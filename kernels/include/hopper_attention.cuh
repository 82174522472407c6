// Attention on Hopper (sm_90a): what the kernels of hopper_attention*.cu share. A block is one producer warpgroup, whose first
// thread copies tiles of rows of a head with the tensor copy unit, and two consumer warpgroups of 64 rows each, which multiply.
// Tensor maps, innermost first: {width, heads, rows, batch}, boxes of 64, 1, rows of a tile, 1. What lies beyond the width of a
// head, or beyond the rows of a sample, arrives as zeros. A tile is WIDTH rounded up to blocks of 64 columns (hopper_tiles.cuh).
#pragma once
#include "attention.cuh"
#include "hopper_tiles.cuh"

constexpr int kThreads = 384, kConsumerWarps = 8, kConsumers = 256;
constexpr int kRows = 128;                     // of a block: 64 of each consumer
constexpr int kBlocks = (WIDTH + 63) / 64;     // of 64 columns

// Stages of Matrices tiles of Rows rows each, which are filled and read in the same order. Barriers: full (an arrival of each of
// Fillers warps, and the bytes of the copies), empty (one arrival of each consumer warp, after its products that read the stage
// are done). Who fills and who reads have a copy each.
template <int Stages, int Rows, int Matrices = 1, int Fillers = 1>
struct TileRing
{
    static constexpr int stages = Stages, rows = Rows, tile_bytes = Rows * HopperLine * kBlocks;
    static constexpr int bytes = Stages * Matrices * tile_bytes, barriers = 2 * Stages;

    u8* data;
    u64 *full, *empty; // [Stages]
    int stage;
    u32 phase; // parity of the current round

    __device__ __forceinline__ TileRing(u8* data, u64* barriers)
        : data(data), full(barriers), empty(barriers + Stages), stage(0), phase(0)
    {
    }

    // One thread of the block.
    __device__ __forceinline__ void begin()
    {
        for (int s = 0; s < Stages; ++s)
        {
            mbarrier_init(&full[s], Fillers);
            mbarrier_init(&empty[s], kConsumerWarps);
        }
    }

    __device__ __forceinline__ void advance()
    {
        if (++stage == Stages)
        {
            stage = 0;
            phase ^= 1;
        }
    }

    __device__ __forceinline__ u8* tile(int matrix = 0) const { return data + (stage * Matrices + matrix) * tile_bytes; }

    // Whoever fills: the stage is free.
    __device__ __forceinline__ void wait_empty() { mbarrier_wait(&empty[stage], phase ^ 1); }

    // The producer: brings rows first.. of a head, of each map.
    template <typename... Maps>
    __device__ __forceinline__ void load(int first, int head, int sample, const Maps&... maps)
    {
        static_assert(sizeof...(Maps) == Matrices, "a map for each matrix of a stage");
        wait_empty();
        mbarrier_expect(&full[stage], Matrices * tile_bytes);
        const TensorMap* list[] = {&maps...};
#pragma unroll
        for (int i = 0; i < Matrices; ++i)
#pragma unroll
            for (int block = 0; block < kBlocks; ++block)
                tensor_load_4d(
                    tile(i) + block * Rows * HopperLine, list[i], &full[stage], 64 * block, head, first, sample);
        advance();
    }

    // A consumer: the stage is there.
    __device__ __forceinline__ void wait() { mbarrier_wait(&full[stage], phase); }

    // A consumer's warp has read it.
    __device__ __forceinline__ void release()
    {
        release(stage);
        advance();
    }

    // The same, later.
    __device__ __forceinline__ void release(int earlier)
    {
        if (threadIdx.x % 32 == 0)
            mbarrier_arrive(&empty[earlier]);
    }
};

// Which tile of queries (or keys) a block works on; those of a head follow each other and so share its other operands.
struct AttentionTile
{
    int first, head, sample;

    __device__ __forceinline__ AttentionTile(int index, int tiles, int heads)
    {
        int slice = index / tiles;
        first = (index - slice * tiles) * kRows;
        sample = slice / heads;
        head = slice - sample * heads;
    }
};

// Which keys of a tile count, asked for a tile ahead: begin reads the mask, end makes bits of it, as this lane needs them.
template <int Keys>
struct KeyMask
{
    float v[Keys / 32];
    u32 bits[Keys / 32]; // bit 8 n + e: key 32 i + 8 n + 2 (lane % 4) + e
    bool all;

    __device__ __forceinline__ void begin(const float* mask, int first, int keys)
    {
#pragma unroll
        for (int i = 0; i < Keys / 32; ++i)
        {
            int j = first + 32 * i + threadIdx.x % 32;
            v[i] = j >= keys ? 0.0f : mask == nullptr ? 1.0f : mask[j];
        }
    }

    __device__ __forceinline__ void end()
    {
        all = true;
#pragma unroll
        for (int i = 0; i < Keys / 32; ++i)
        {
            u32 word = __ballot_sync(0xffffffffu, v[i] != 0.0f);
            all = all && word == 0xffffffffu;
            bits[i] = word >> (threadIdx.x % 4 * 2);
        }
    }

    // Leaves keys out of the scores.
    __device__ __forceinline__ void apply(float (&s)[Keys / 2]) const
    {
        if (all)
            return;
#pragma unroll
        for (int i = 0; i < Keys / 2; ++i)
            if ((bits[i / 16] >> (i / 4 % 4 * 8 + i % 2) & 1) == 0)
                s[i] = minus_infinity();
    }
};

// Step of 16 columns inside a K-major tile of so many rows, for its descriptor.
template <int Rows>
__device__ __forceinline__ constexpr int column_step(int step)
{
    return (step / 4 * Rows * HopperLine + step % 4 * 32) / 16;
}

// s[64 x 2N] = left · rowsᵀ, of tiles with LeftRows and 2N rows.
template <int LeftRows, int N>
__device__ __forceinline__ void scores(float (&s)[N], const u8* left, const u8* rows)
{
    u64 a = hopper_descriptor<0>(left), b = hopper_descriptor<0>(rows);
    wgmma<0, 0, 0>(s, a, b);
#pragma unroll
    for (int step = 1; step < WIDTH / 16; ++step)
        wgmma<0, 0>(s, a + column_step<LeftRows>(step), b + column_step<2 * N>(step));
}

// sum[64 x WIDTH] += p · rows, of a tile with 16 Steps rows.
template <int Steps>
__device__ __forceinline__ void add_weighted(float (&sum)[WIDTH / 2], const u32 (&p)[Steps][4], const u8* rows)
{
    u64 b = hopper_descriptor<1, 16 * Steps>(rows);
#pragma unroll
    for (int step = 0; step < Steps; ++step)
        wgmma_held<1>(sum, p[step], b + step * (16 * HopperLine / 16));
}

// Sums as the left operand of the next product.
template <int N>
__device__ __forceinline__ void pack(u32 (&p)[N / 8][4], const float (&s)[N])
{
#pragma unroll
    for (int i = 0; i < N / 2; ++i)
        p[i / 4][i % 4] = pack_bf16(s[2 * i], s[2 * i + 1]);
}

// Row of a consumer's 64 that this thread holds, beside the row 8 further down.
__device__ __forceinline__ int own_row() { return threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4; }

// Writes a consumer's 64 rows, rows first.. of a head; the two rows of a thread times factor.
__device__ __forceinline__ void store_rows(bf16* rows, int stride, int first, int count, int width, bool add,
    const float (&sum)[WIDTH / 2], const float (&factor)[2])
{
#pragma unroll
    for (int half = 0; half < 2; ++half)
    {
        int row = first + own_row() + 8 * half;
#pragma unroll
        for (int group = 0; group < WIDTH / 32; ++group)
        {
            float even[4], odd[4];
#pragma unroll
            for (int i = 0; i < 4; ++i)
            {
                even[i] = sum[16 * group + 4 * i + 2 * half] * factor[half];
                odd[i] = sum[16 * group + 4 * i + 2 * half + 1] * factor[half];
            }
            quad_transpose(even);
            quad_transpose(odd);
            int column = 32 * group + threadIdx.x % 4 * 8;
            if (row < count && column < width)
            {
                auto to = reinterpret_cast<Vec<bf16, 8>*>(rows + (i64)row * stride + column);
                Vec<bf16, 8> x;
#pragma unroll
                for (int i = 0; i < 4; ++i)
                {
                    x.v[2 * i] = from_float<bf16>(even[i]);
                    x.v[2 * i + 1] = from_float<bf16>(odd[i]);
                }
                if (add)
                {
                    Vec<bf16, 8> old = *to;
#pragma unroll
                    for (int i = 0; i < 8; ++i)
                        x.v[i] = from_float<bf16>(to_float(old.v[i]) + to_float(x.v[i]));
                }
                *to = x;
            }
        }
    }
}

#define HOPPER_ATTENTION extern "C" __global__ void __launch_bounds__(kThreads, 1)
