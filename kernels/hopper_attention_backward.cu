// Gradients of streaming attention on Hopper's matrix core, bfloat16. The formulas are those of attention_backward.cu; p is made
// again from the forward pass's L, δ_i = dO_i·o_i comes from attention_delta (attention_generic.cu):
//
//   p_ij = e^(scale·q_i·k_j - L_i),  dp_ij = dO_i·v_j,   ds_ij = p_ij (dp_ij - δ_i)
//   dv_j = Σ_i p_ij dO_i,   dk_j = scale Σ_i ds_ij q_i,   dq_i = scale Σ_j ds_ij k_j
//
// Layout: as in hopper_attention.cu; any gradient may be left out or added to what is there.
//
// hopper_attention_backward_keys: a consumer has 64 keys and goes over tiles of 64 queries (32 above width 96). Its products are
// transposed (rows of the accumulators are keys), so that p and ds go on as left operands from registers: p = k qᵀ, dp = v dOᵀ,
// dv += p dO, dk += ds q. L and δ of a tile's queries belong to columns: a warp of the producer puts them into shared memory.
// hopper_attention_backward_queries: a consumer has 64 queries and goes over tiles of keys (128, 64 above width 64): p = q kᵀ,
// dp = dO vᵀ, dq += ds k. Nothing is shared between blocks: no atomics, fixed order, same bits.
// Products run under everything else: dv under ds, dp under the exponentials, and p and dp of the next tile are begun before the
// sums of this one are waited for.
//
// Grid: as many blocks as multiprocessors, or as tiles of 128 keys or queries if fewer; a block takes tile after tile. Block: 384
// threads, 1 a multiprocessor; registers 40 of a copying, 232 of a multiplying thread. Shared memory: up to 193 KB.
// WIDTH (32, 64, 96, 128): the head width rounded up.
// Work: 8 + 6 products' FLOP, 14·batch·heads·queries·keys·width (10 would do if the sums of dq were shared between blocks).
//
// version              | 1,024 x 1,024, width 64       | 256 x 256, width 96 | 1,024 x 128, width 64 (cross)
// wgmma, predicted     | 500 TFLOP/s (360 counting 10) | 430 TFLOP/s (310)   | 350 TFLOP/s (250)
// measured             | not measured yet              | not measured yet    | not measured yet
// Of one H100: 64 x 64 scores at width 64 take 512 cycles of the matrix core and 256 of the exponentials for the keys' side, 384
// and 256 for the queries'; products from shared memory with 64 columns also take all it gives, 128 bytes a cycle.
#include "hopper_attention.cuh"

typedef Vec<float, 2> FloatPair;

// ---- dk and dv ----

// Above width 96 the registers do not hold all sums beside scores of 64 queries.
constexpr int kQueries = WIDTH > 96 ? 32 : 64, kQueryStages = WIDTH == 96 ? 2 : 4;

typedef TileRing<2, kRows, 2> OwnRing;                    // k and v, or q and dO, of the block's rows
typedef TileRing<kQueryStages, kQueries, 2, 2> QueryRing; // q and dO of the other side

// Numbers of a tile's queries.
struct QueryNumbers
{
    FloatPair shift[kQueries / 2], delta[kQueries / 2]; // L times log2(e), δ
};

// A warp of the producer: what belongs to the queries of a stage. Beyond the last query there are zeros: such a row has q = dO =
// 0 and adds nothing.
__device__ __forceinline__ void load_numbers(
    const AttentionArguments& a, const AttentionTile& tile, QueryNumbers* numbers, QueryRing& ring)
{
    int lane = threadIdx.x % 32;
    const float* logSum = a.logSumExp + query_numbers(a, tile.sample, tile.head);
    const float* delta = a.delta + query_numbers(a, tile.sample, tile.head);
    for (int i = 0; i < a.queries; i += kQueries)
    {
        float shift[2], d[2];
#pragma unroll
        for (int e = 0; e < 2; ++e)
        {
            int row = i + 2 * lane + e;
            shift[e] = row < a.queries ? logSum[row] * kLog2E : 0.0f;
            d[e] = row < a.queries ? delta[row] : 0.0f;
        }
        ring.wait_empty();
        if (lane < kQueries / 2)
        {
            numbers[ring.stage].shift[lane] = FloatPair{shift[0], shift[1]};
            numbers[ring.stage].delta[lane] = FloatPair{d[0], d[1]};
        }
        __syncwarp();
        if (lane == 0)
            mbarrier_arrive(&ring.full[ring.stage]);
        ring.advance();
    }
}

// A consumer's 64 keys of a tile, and what it carries over the tiles of queries. Products are begun and waited for within one
// call: ptxas runs them one after another if they are under way from one round of the loop to the next (C7514).
struct KeysBackward
{
    const u8 *keys, *values;
    const QueryNumbers* numbers;
    float factor;
    bool counts[2];
    float dk[WIDTH / 2], dv[WIDTH / 2], p[kQueries / 2], ds[kQueries / 2];
    u32 left[kQueries / 16][4], leftGradients[kQueries / 16][4];

    // Begins p and dp of the ring's tile of queries.
    __device__ __forceinline__ void begin(QueryRing& ring)
    {
        ring.wait();
        scores<kRows>(p, keys, ring.tile(0));
        wgmma_commit();
        scores<kRows>(ds, values, ring.tile(1));
        wgmma_commit();
    }

    // p, while dp is under way.
    __device__ __forceinline__ void weigh(const QueryRing& ring)
    {
        const FloatPair* shifts = numbers[ring.stage].shift;
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n)
        {
            FloatPair shift = shifts[4 * n + threadIdx.x % 4];
#pragma unroll
            for (int e = 0; e < 4; ++e)
                p[4 * n + e] = counts[e / 2] ? exp2_approx(p[4 * n + e] * factor - shift.v[e % 2]) : 0.0f;
        }
        pack(left, p);
        wgmma_wait<0>(ds);
    }

    // Begins the sums of a tile, computes ds while that of dv is under way.
    __device__ __forceinline__ void add(const QueryRing& ring)
    {
        wgmma_fence();
        add_weighted(dv, left, ring.tile(1));
        wgmma_commit();
        const FloatPair* deltas = numbers[ring.stage].delta;
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n)
        {
            FloatPair delta = deltas[4 * n + threadIdx.x % 4];
#pragma unroll
            for (int e = 0; e < 4; ++e)
                ds[4 * n + e] = p[4 * n + e] * (ds[4 * n + e] - delta.v[e % 2]);
        }
        pack(leftGradients, ds);
        wgmma_fence();
        add_weighted(dk, leftGradients, ring.tile(0));
        wgmma_commit();
    }

    __device__ __forceinline__ void first(QueryRing& ring)
    {
        wgmma_fence();
        begin(ring);
        wgmma_wait_older<1>(p);
        weigh(ring);
    }

    // From one tile of queries to the next.
    __device__ __forceinline__ void next(QueryRing& ring)
    {
        int stage = ring.stage;
        add(ring);
        ring.advance();
        begin(ring);
        wgmma_wait_older<1>(p); // the sums are older still
        ring.release(stage);
        weigh(ring);
    }

    __device__ __forceinline__ void last(QueryRing& ring)
    {
        add(ring);
        wgmma_wait<0>(dv);
        wgmma_wait<0>(dk);
        ring.release();
    }
};

// A consumer's 64 keys of a tile, over all queries.
__device__ __forceinline__ void keys_backward(const AttentionArguments& a, const AttentionTile& tile, int consumer,
    const QueryNumbers* numbers, OwnRing& own, QueryRing& ring)
{
    int first = tile.first + consumer * 64;
    KeysBackward work;
    work.numbers = numbers;
    work.factor = a.scale * kLog2E;
#pragma unroll
    for (int half = 0; half < 2; ++half)
    {
        int j = first + own_row() + 8 * half;
        work.counts[half] = j < a.keys && (a.mask == nullptr || a.mask[(i64)tile.sample * a.keys + j] != 0.0f);
    }
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i)
        work.dk[i] = work.dv[i] = 0.0f;
    own.wait();
    work.keys = own.tile(0) + consumer * 64 * HopperLine;
    work.values = own.tile(1) + consumer * 64 * HopperLine;
    work.first(ring);
    for (int i = kQueries; i < a.queries; i += kQueries)
        work.next(ring);
    work.last(ring);
    own.release();

    float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
    int column = tile.head * a.width;
    if (a.dk != nullptr)
        store_rows(head_rows<bf16>(a.dk, a.dkStride, tile.sample, a.keys, column), a.dkStride, first, a.keys, a.width, a.addK,
            work.dk, scale);
    if (a.dv != nullptr)
        store_rows(head_rows<bf16>(a.dv, a.dvStride, tile.sample, a.keys, column), a.dvStride, first, a.keys, a.width, a.addV,
            work.dv, one);
}

HOPPER_ATTENTION hopper_attention_backward_keys(const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap dO,
    const __grid_constant__ TensorMap k, const __grid_constant__ TensorMap v, const __grid_constant__ AttentionArguments a)
{
    SHARED(u64, barriers[OwnRing::barriers + QueryRing::barriers]);
    SHARED(QueryNumbers, numbers[QueryRing::stages]);
    DYNAMIC_SHARED(u8, memory);
    OwnRing own(hopper_aligned(memory), barriers);
    QueryRing ring(own.data + OwnRing::bytes, barriers + OwnRing::barriers);
    if (threadIdx.x == 0)
    {
        own.begin();
        ring.begin();
        mbarrier_init_fence();
    }
    __syncthreads();

    int group = threadIdx.x / 128, tiles = (a.keys + kRows - 1) / kRows, work = tiles * a.heads * a.batch;
    if (group == 0)
    {
        registers_decrease<40>();
        for (int index = blockIdx.x; index < work; index += gridDim.x)
        {
            AttentionTile tile(index, tiles, a.heads);
            if (threadIdx.x == 0)
            {
                own.load(tile.first, tile.head, tile.sample, k, v);
                for (int i = 0; i < a.queries; i += kQueries)
                    ring.load(i, tile.head, tile.sample, q, dO);
            }
            else if (threadIdx.x / 32 == 1)
                load_numbers(a, tile, numbers, ring);
        }
    }
    else
    {
        registers_increase<232>();
        for (int index = blockIdx.x; index < work; index += gridDim.x)
            keys_backward(a, AttentionTile(index, tiles, a.heads), group - 1, numbers, own, ring);
    }
}

// ---- dq ----

constexpr int kKeys = WIDTH > 64 ? 64 : 128, kKeyStages = WIDTH > 64 ? 2 : 4;

typedef TileRing<kKeyStages, kKeys, 2> KeyRing; // k and v of the other side

// A consumer's 64 queries of a tile, and what it carries over the tiles of keys. As KeysBackward.
struct QueriesBackward
{
    const u8 *queries, *gradients;
    float factor, shift[2], delta[2];
    KeyMask<kKeys> counts;
    float dq[WIDTH / 2], p[kKeys / 2], ds[kKeys / 2];
    u32 left[kKeys / 16][4];

    // Begins p and dp of the ring's tile of keys.
    __device__ __forceinline__ void begin(KeyRing& ring)
    {
        ring.wait();
        scores<kRows>(p, queries, ring.tile(0));
        wgmma_commit();
        scores<kRows>(ds, gradients, ring.tile(1));
        wgmma_commit();
        counts.end();
    }

    // p while dp is under way, then ds.
    __device__ __forceinline__ void weigh()
    {
        counts.apply(p);
#pragma unroll
        for (int i = 0; i < kKeys / 2; ++i)
            p[i] = exp2_approx(p[i] * factor - shift[i / 2 % 2]);
        wgmma_wait<0>(ds);
#pragma unroll
        for (int i = 0; i < kKeys / 2; ++i)
            ds[i] = p[i] * (ds[i] - delta[i / 2 % 2]);
        pack(left, ds);
    }

    __device__ __forceinline__ void first(KeyRing& ring)
    {
        wgmma_fence();
        begin(ring);
        wgmma_wait_older<1>(p);
        weigh();
    }

    __device__ __forceinline__ void add(const KeyRing& ring)
    {
        wgmma_fence();
        add_weighted(dq, left, ring.tile(0));
        wgmma_commit();
    }

    // From one tile of keys to the next.
    __device__ __forceinline__ void next(KeyRing& ring)
    {
        int stage = ring.stage;
        add(ring);
        ring.advance();
        begin(ring);
        wgmma_wait_older<1>(p); // the sums are older still
        ring.release(stage);
        weigh();
    }

    __device__ __forceinline__ void last(KeyRing& ring)
    {
        add(ring);
        wgmma_wait<0>(dq);
        ring.release();
    }
};

// A consumer's 64 queries of a tile, over all keys.
__device__ __forceinline__ void queries_backward(
    const AttentionArguments& a, const AttentionTile& tile, int consumer, OwnRing& own, KeyRing& ring)
{
    const float* mask = a.mask == nullptr ? nullptr : a.mask + (i64)tile.sample * a.keys;
    int first = tile.first + consumer * 64;
    QueriesBackward work;
    work.factor = a.scale * kLog2E;
    work.counts.begin(mask, 0, a.keys);
#pragma unroll
    for (int half = 0; half < 2; ++half)
    {
        int row = first + own_row() + 8 * half;
        i64 at = query_numbers(a, tile.sample, tile.head) + row;
        float logSum = row < a.queries ? a.logSumExp[at] : 0.0f;
        work.shift[half] = logSum == minus_infinity() ? 0.0f : logSum * kLog2E; // no key counts: any shift gives zeros
        work.delta[half] = row < a.queries ? a.delta[at] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i)
        work.dq[i] = 0.0f;
    own.wait();
    work.queries = own.tile(0) + consumer * 64 * HopperLine;
    work.gradients = own.tile(1) + consumer * 64 * HopperLine;
    work.first(ring);
    for (int j = kKeys; j < a.keys; j += kKeys)
    {
        work.counts.begin(mask, j, a.keys);
        work.next(ring);
    }
    work.last(ring);
    own.release();
    float scale[2] = {a.scale, a.scale};
    store_rows(head_rows<bf16>(a.dq, a.dqStride, tile.sample, a.queries, tile.head * a.width), a.dqStride, first, a.queries,
        a.width, a.addQ, work.dq, scale);
}

HOPPER_ATTENTION hopper_attention_backward_queries(const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap dO,
    const __grid_constant__ TensorMap k, const __grid_constant__ TensorMap v, const __grid_constant__ AttentionArguments a)
{
    SHARED(u64, barriers[OwnRing::barriers + KeyRing::barriers]);
    DYNAMIC_SHARED(u8, memory);
    OwnRing own(hopper_aligned(memory), barriers);
    KeyRing ring(own.data + OwnRing::bytes, barriers + OwnRing::barriers);
    if (threadIdx.x == 0)
    {
        own.begin();
        ring.begin();
        mbarrier_init_fence();
    }
    __syncthreads();

    int group = threadIdx.x / 128, tiles = (a.queries + kRows - 1) / kRows, work = tiles * a.heads * a.batch;
    if (group == 0)
    {
        registers_decrease<40>();
        if (threadIdx.x != 0)
            return;
        for (int index = blockIdx.x; index < work; index += gridDim.x)
        {
            AttentionTile tile(index, tiles, a.heads);
            own.load(tile.first, tile.head, tile.sample, q, dO);
            for (int j = 0; j < a.keys; j += kKeys)
                ring.load(j, tile.head, tile.sample, k, v);
        }
    }
    else
    {
        registers_increase<232>();
        for (int index = blockIdx.x; index < work; index += gridDim.x)
            queries_backward(a, AttentionTile(index, tiles, a.heads), group - 1, own, ring);
    }
}
