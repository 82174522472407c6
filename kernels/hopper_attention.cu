// Streaming attention on Hopper's matrix core, forward, bfloat16. The formula is that of attention.cu:
//
//   o_i = Σ_j p_ij v_j,  p_ij = e^(s_ij - L_i),  s_ij = scale·q_i·k_j over the keys that count,  L_i = log Σ_j e^s_ij
//
// and so is the way: tile after tile of keys, the running maximum and sum of a query's softmax are carried on. scale > 0.
//
// Layout: rows of q, k, v, o as in attention.cuh, no bias; width, strides and addresses are multiples of 8 elements. Tiles in
// shared memory, and who fills and reads them: include/hopper_attention.cuh. WIDTH (32, 64, 96, 128): head width rounded up.
//
// A consumer has 64 of the block's 128 queries: s[64 x 128] = q kᵀ by wgmma from shared memory, softmax in registers, p rounded
// to bfloat16 as the left operand of o += p v from registers, v read as it lies. Exponentials are the other bound beside the
// matrix core (16 a cycle and multiprocessor), and run under products twice over: a consumer begins the products of the next
// scores before it waits for those of p v, and two consumers take turns at beginning (barriers 1 and 2), so that one computes
// exponentials while the products of the other are under way.
//
// Grid: as many blocks as multiprocessors, or as tiles of queries if fewer; a block takes tile after tile, and the producer
// brings the next one's queries and keys ahead. Block: 384 threads, 1 a multiprocessor; registers 40 of a copying, 232 of a
// multiplying thread. Shared memory: 193 KB (2 tiles of queries; 4 of keys and of values, 2 above width 64).
//
// version              | 1,024 x 1,024, width 64 | 256 x 256, width 96 | 1,024 x 128, width 64 (cross)
// wgmma, predicted     | 450 TFLOP/s             | 400 TFLOP/s         | 2.5 TB/s
// measured             | not measured yet        | not measured yet    | not measured yet
// Of one H100: a tile of 64 x 128 scores at width 64 takes 512 cycles of the matrix core, 512 of the exponentials and 300 of the
// other instructions; not all of it is hidden, which leaves about half of the sheet's 989 TFLOP/s. At width 96 768 and 512, but
// two tiles of keys only, and the first scores and the last p v of a tile of queries overlap with the other consumer alone.
// Not seen on a GPU yet either: products with 32 and 96 columns (widths 32 and 96) read half of a block of 64 columns of v as it
// lies. The manual's descriptors allow it; HopperAttentionTests would tell.
#include "hopper_attention.cuh"

constexpr int kKeys = 128, kStages = WIDTH > 64 ? 2 : 4, kQueryStages = 2;

typedef TileRing<kQueryStages, kRows> QueryRing;
typedef TileRing<kStages, kKeys> KeyRing;

// Takes scores (raw products) into the running softmax: m and l are of this lane's two rows, l of its columns alone. Returns
// e^(s - m) in s, and in keep what sums so far are to be multiplied with.
__device__ __forceinline__ void online_softmax(
    float (&s)[kKeys / 2], float factor, float (&m)[2], float (&l)[2], float (&keep)[2])
{
#pragma unroll
    for (int half = 0; half < 2; ++half)
    {
        float top = m[half];
#pragma unroll
        for (int i = 2 * half; i < kKeys / 2; i += 4)
            top = fmaxf(top, fmaxf(s[i], s[i + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));

        // While every key so far is left out, any finite shift gives the zeros wanted.
        float shift = top == minus_infinity() ? 0.0f : top * factor, total = 0.0f;
        keep[half] = exp2_approx(m[half] * factor - shift);
        m[half] = top;
#pragma unroll
        for (int i = 2 * half; i < kKeys / 2; i += 4)
#pragma unroll
            for (int e = i; e < i + 2; ++e)
            {
                s[e] = exp2_approx(s[e] * factor - shift);
                total += s[e];
            }
        l[half] = l[half] * keep[half] + total;
    }
}

// A consumer's 64 queries of a tile, over all keys.
__device__ __forceinline__ void attend(
    const AttentionArguments& a, const AttentionTile& tile, int consumer, QueryRing& queries, KeyRing& keys, KeyRing& values)
{
    const float* mask = a.mask == nullptr ? nullptr : a.mask + (i64)tile.sample * a.keys;
    float s[kKeys / 2], o[WIDTH / 2], factor = a.scale * kLog2E;
    float m[2] = {minus_infinity(), minus_infinity()}, l[2] = {0.0f, 0.0f}, keep[2];
    u32 p[kKeys / 16][4];
    KeyMask<kKeys> counts;
    counts.begin(mask, 0, a.keys);
    queries.wait();
    const u8* left = queries.tile() + consumer * 64 * HopperLine;

    keys.wait();
    barrier_meet(1 + consumer, kConsumers);
    wgmma_fence();
    scores<kRows>(s, left, keys.tile());
    wgmma_commit();
    barrier_arrive(2 - consumer, kConsumers);
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i)
        o[i] = 0.0f;
    counts.end();
    wgmma_wait<0>(s);
    keys.release();
    counts.apply(s);
    online_softmax(s, factor, m, l, keep);
    pack(p, s);

    for (int j = kKeys; j < a.keys; j += kKeys)
    {
        counts.begin(mask, j, a.keys);
        keys.wait();
        values.wait();
        barrier_meet(1 + consumer, kConsumers);
        wgmma_fence();
        scores<kRows>(s, left, keys.tile());
        wgmma_commit();
        add_weighted(o, p, values.tile());
        wgmma_commit();
        barrier_arrive(2 - consumer, kConsumers);
        counts.end();
        wgmma_wait_older<1>(s);
        keys.release();
        counts.apply(s);
        online_softmax(s, factor, m, l, keep);
        wgmma_wait<0>(o);
        values.release();
#pragma unroll
        for (int i = 0; i < WIDTH / 2; ++i)
            o[i] *= keep[i / 2 % 2];
        pack(p, s);
    }

    queries.release();
    values.wait();
    wgmma_fence();
    add_weighted(o, p, values.tile());
    wgmma_commit();
    float inverse[2];
    int first = tile.first + consumer * 64;
#pragma unroll
    for (int half = 0; half < 2; ++half)
    {
        float total = l[half];
        total += __shfl_xor_sync(0xffffffffu, total, 1);
        total += __shfl_xor_sync(0xffffffffu, total, 2);
        inverse[half] = total == 0.0f ? 0.0f : 1.0f / total;
        int row = first + own_row() + 8 * half;
        if (threadIdx.x % 4 == 0 && row < a.queries)
            a.logSumExp[query_numbers(a, tile.sample, tile.head) + row] = m[half] * factor * kLn2 + logf(total);
    }
    wgmma_wait<0>(o);
    values.release();
    store_rows(head_rows<bf16>(a.o, a.oStride, tile.sample, a.queries, tile.head * a.width), a.oStride, first, a.queries, a.width,
        false, o, inverse);
}

HOPPER_ATTENTION hopper_attention_forward(const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap k,
    const __grid_constant__ TensorMap v, const __grid_constant__ AttentionArguments a)
{
    SHARED(u64, barriers[QueryRing::barriers + 2 * KeyRing::barriers]);
    DYNAMIC_SHARED(u8, memory);
    u8* data = hopper_aligned(memory);
    QueryRing queries(data, barriers);
    KeyRing keys(data + QueryRing::bytes, barriers + QueryRing::barriers);
    KeyRing values(keys.data + KeyRing::bytes, keys.full + KeyRing::barriers);
    if (threadIdx.x == 0)
    {
        queries.begin();
        keys.begin();
        values.begin();
        mbarrier_init_fence();
    }
    __syncthreads();

    int group = threadIdx.x / 128, tiles = (a.queries + kRows - 1) / kRows, work = tiles * a.heads * a.batch;
    if (group == 0)
    {
        registers_decrease<40>();
        if (threadIdx.x != 0)
            return;
        tensor_prefetch(&q);
        tensor_prefetch(&k);
        tensor_prefetch(&v);
        for (int index = blockIdx.x; index < work; index += gridDim.x)
        {
            AttentionTile tile(index, tiles, a.heads);
            queries.load(tile.first, tile.head, tile.sample, q);
            for (int j = 0; j < a.keys; j += kKeys)
            {
                keys.load(j, tile.head, tile.sample, k);
                values.load(j, tile.head, tile.sample, v);
            }
        }
    }
    else
    {
        registers_increase<232>();
        // The first consumer begins; what the second one says last, the first one hears at the end.
        if (group == 2)
            barrier_arrive(1, kConsumers);
        for (int index = blockIdx.x; index < work; index += gridDim.x)
            attend(a, AttentionTile(index, tiles, a.heads), group - 1, queries, keys, values);
        if (group == 1)
            barrier_meet(1, kConsumers);
    }
}
