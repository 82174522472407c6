// Gradients of streaming attention on tensor cores, bfloat16. With p_ij = e^(scale·q_i·k_j - L_i) made again from the forward
// pass's L, and δ_i = dO_i·o_i (attention_delta in attention_generic.cu):
//
//   dp_ij = dO_i·v_j,   ds_ij = p_ij (dp_ij - δ_i)
//   dv_j = Σ_i p_ij dO_i,   dk_j = scale Σ_i ds_ij q_i,   dq_i = scale Σ_j ds_ij k_j
//
// Layout: as in attention.cu; any gradient may be left out or added to what is there. There is no bias here.
// Launch: 128 threads. attention_backward_keys: grid (keys / (64·M), heads, batch), dk and dv of a block of keys, over all tiles
// of queries; the products are transposed (keys are rows), so p and ds go from the accumulators into the next product as left
// operand. attention_backward_queries: grid (queries / (64·M), heads, batch), dq of a block of queries, over all tiles of keys.
// Nothing is shared between blocks: no atomics, fixed order, same bits. The other side's tiles have two stages of asynchronous
// copies, one barrier a tile; a warp whose keys are all left out does nothing.
// Work: 8 + 6 products' FLOP, 14·batch·heads·queries·keys·width (10 would do if the sums of dq were shared between blocks).
//
// version                          | 1,024 x 1,024, width 64   | 256 x 256, width 96 | 1,024 x 128, width 64 (cross)
// mma.sync, limit predicted        | 350 TFLOP/s (250 counting 10) | 300 TFLOP/s     | 250 TFLOP/s
// measured                         | not measured yet          | not measured yet    | not measured yet
// The limits are those of one H100: shared memory feeds 128 bytes a clock, 16 rows a warp take 256 for 4,096 FLOP.
#include "attention_mma.cuh"

typedef Vec<float, 2> FloatPair;

// Rows of the other side's tiles: queries in the keys' kernel, keys in the queries' kernel.
template <int Width, int M>
constexpr int kTile = M > 1 || Width > 96 ? 32 : 64;

// dk and dv. Rows of fragments are keys, columns are queries. General: rows may be unaligned.
template <int Width, int M, bool General>
__device__ __forceinline__ void attention_backward_keys(const AttentionArguments& a)
{
    constexpr int Queries = kTile<Width, M>, N = Queries / 8, Tile = Queries * kPitch<Width>;
    DYNAMIC_SHARED(bf16, keys);
    bf16 *values = keys + 64 * M * kPitch<Width>, *queries = values + 64 * M * kPitch<Width>, *gradients = queries + 2 * Tile;
    SHARED(FloatPair, logSums[2][Queries / 2]);
    SHARED(FloatPair, deltas[2][Queries / 2]);
    bool vector = !General || a.vector;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y, sample = blockIdx.z, column = head * a.width;
    int first = blockIdx.x * 64 * M, mine = 16 * M * warp;
    const bf16* q = head_rows<bf16>(a.q, a.qStride, sample, a.queries, column);
    const bf16* dO = head_rows<bf16>(a.dO, a.dOStride, sample, a.queries, column);
    const float* logSum = a.logSumExp + query_numbers(a, sample, head);
    const float* delta = a.delta + query_numbers(a, sample, head);

    // Which of this lane's rows count.
    bool counts[M][2], any = false;
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            int j = first + mine + 16 * t + 8 * half + lane / 4;
            counts[t][half] = j < a.keys && (a.mask == nullptr || a.mask[(i64)sample * a.keys + j] != 0.0f);
            any |= counts[t][half];
        }
    any = __ballot_sync(0xffffffffu, any) != 0;

    auto load_queries = [&](int i, int buffer)
    {
        load_tile<Width, Queries>(queries + buffer * Tile, q, a.qStride, i, a.queries, a.width, vector);
        load_tile<Width, Queries>(gradients + buffer * Tile, dO, a.dOStride, i, a.queries, a.width, vector);

        // Beyond the last query there are zeros: such a row has q = dO = 0 and adds nothing.
        int r = threadIdx.x % Queries;
        bool valid = i + r < a.queries;
        if (threadIdx.x < Queries)
            cp_async_4(&logSums[buffer][r / 2].v[r % 2], logSum + (valid ? i + r : 0), valid);
        else if (threadIdx.x < 2 * Queries)
            cp_async_4(&deltas[buffer][r / 2].v[r % 2], delta + (valid ? i + r : 0), valid);
    };

    load_tile<Width, 64 * M>(keys, head_rows<bf16>(a.k, a.kStride, sample, a.keys, column), a.kStride, first, a.keys, a.width,
        vector);
    load_tile<Width, 64 * M>(values, head_rows<bf16>(a.v, a.vStride, sample, a.keys, column), a.vStride, first, a.keys, a.width,
        vector);
    if (a.queries > 0)
        load_queries(0, 0);
    cp_async_commit();

    float dk[M][Width / 8][4], dv[M][Width / 8][4], factor = a.scale * kLog2E;
    clear<Width, M>(dk);
    clear<Width, M>(dv);
    LeftRows<Width, M, false> left, leftValues;
    left.load(keys + mine * kPitch<Width>, lane);
    leftValues.load(values + mine * kPitch<Width>, lane);
    cp_async_wait<0>();
    __syncthreads();
    for (int i = 0, buffer = 0; i < a.queries; i += Queries, buffer ^= 1)
    {
        if (i + Queries < a.queries)
            load_queries(i + Queries, buffer ^ 1);
        cp_async_commit();
        if (any)
        {
            const bf16 *queryTile = queries + buffer * Tile, *gradientTile = gradients + buffer * Tile;
            float p[M][N][4], ds[M][N][4];
            scores<Width, M, N, false>(p, left, queryTile, lane);
#pragma unroll
            for (int n = 0; n < N; n++)
            {
                FloatPair shift = logSums[buffer][4 * n + lane % 4];
#pragma unroll
                for (int t = 0; t < M; t++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        p[t][n][e] =
                            counts[t][e / 2] ? exp2_approx(p[t][n][e] * factor - shift.v[e % 2] * kLog2E) : 0.0f;
            }
            add_weighted<Width, M, N>(dv, p, gradientTile, lane);
            scores<Width, M, N, false>(ds, leftValues, gradientTile, lane);
#pragma unroll
            for (int n = 0; n < N; n++)
            {
                FloatPair d = deltas[buffer][4 * n + lane % 4];
#pragma unroll
                for (int t = 0; t < M; t++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        ds[t][n][e] = p[t][n][e] * (ds[t][n][e] - d.v[e % 2]);
            }
            add_weighted<Width, M, N>(dk, ds, queryTile, lane);
        }
        cp_async_wait<0>();
        __syncthreads();
    }

    float scale[M][2], one[M][2];
#pragma unroll
    for (int t = 0; t < M; t++)
        scale[t][0] = scale[t][1] = a.scale, one[t][0] = one[t][1] = 1.0f;
    if (a.dk != nullptr)
        store_rows<Width, M>(head_rows<bf16>(a.dk, a.dkStride, sample, a.keys, column), a.dkStride, first + mine, a.keys, a.width,
            vector, a.addK, dk, scale, keys + mine * kPitch<Width>, lane);
    if (a.dv != nullptr)
        store_rows<Width, M>(head_rows<bf16>(a.dv, a.dvStride, sample, a.keys, column), a.dvStride, first + mine, a.keys, a.width,
            vector, a.addV, dv, one, values + mine * kPitch<Width>, lane);
}

// dq. Rows of fragments are queries, columns are keys. General: rows may be unaligned.
template <int Width, int M, bool General>
__device__ __forceinline__ void attention_backward_queries(const AttentionArguments& a)
{
    constexpr int Keys = kTile<Width, M>, N = Keys / 8, Tile = Keys * kPitch<Width>;
    constexpr bool Held = Width * M <= 128;
    DYNAMIC_SHARED(bf16, queries);
    bf16 *gradients = queries + 64 * M * kPitch<Width>, *keys = gradients + 64 * M * kPitch<Width>, *values = keys + 2 * Tile;
    bool vector = !General || a.vector;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y, sample = blockIdx.z, column = head * a.width;
    int first = blockIdx.x * 64 * M, mine = 16 * M * warp;
    const bf16* k = head_rows<bf16>(a.k, a.kStride, sample, a.keys, column);
    const bf16* v = head_rows<bf16>(a.v, a.vStride, sample, a.keys, column);
    const float* mask = a.mask == nullptr ? nullptr : a.mask + (i64)sample * a.keys;

    load_tile<Width, 64 * M>(queries, head_rows<bf16>(a.q, a.qStride, sample, a.queries, column), a.qStride, first, a.queries,
        a.width, vector);
    load_tile<Width, 64 * M>(gradients, head_rows<bf16>(a.dO, a.dOStride, sample, a.queries, column), a.dOStride, first,
        a.queries, a.width, vector);
    KeyFlags<Keys> flags;
    flags.begin(mask, 0, a.keys, lane);
    if (a.keys > 0)
    {
        load_tile<Width, Keys>(keys, k, a.kStride, 0, a.keys, a.width, vector);
        load_tile<Width, Keys>(values, v, a.vStride, 0, a.keys, a.width, vector);
    }
    cp_async_commit();

    float dq[M][Width / 8][4], shift[M][2], delta[M][2], factor = a.scale * kLog2E;
    clear<Width, M>(dq);
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            int row = first + mine + 16 * t + 8 * half + lane / 4;
            i64 at = query_numbers(a, sample, head) + row;
            shift[t][half] = row < a.queries ? a.logSumExp[at] * kLog2E : 0.0f;
            delta[t][half] = row < a.queries ? a.delta[at] : 0.0f;
        }
    cp_async_wait<0>();
    __syncthreads();
    LeftRows<Width, M, Held> left, leftGradients;
    left.load(queries + mine * kPitch<Width>, lane);
    leftGradients.load(gradients + mine * kPitch<Width>, lane);
    for (int j = 0, buffer = 0; j < a.keys; j += Keys, buffer ^= 1)
    {
        u64 bits = flags.bits();
        if (j + Keys < a.keys)
        {
            int to = (buffer ^ 1) * Tile;
            load_tile<Width, Keys>(keys + to, k, a.kStride, j + Keys, a.keys, a.width, vector);
            load_tile<Width, Keys>(values + to, v, a.vStride, j + Keys, a.keys, a.width, vector);
            flags.begin(mask, j + Keys, a.keys, lane);
        }
        cp_async_commit();
        if (bits != 0)
        {
            float p[M][N][4], ds[M][N][4];
            scores<Width, M, N, Held>(p, left, keys + buffer * Tile, lane);
            scores<Width, M, N, Held>(ds, leftGradients, values + buffer * Tile, lane);
            u64 own = bits >> (lane % 4 * 2);
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                {
                    bool counts = (own >> (8 * n + e % 2) & 1) != 0;
#pragma unroll
                    for (int t = 0; t < M; t++)
                    {
                        float weight = counts ? exp2_approx(p[t][n][e] * factor - shift[t][e / 2]) : 0.0f;
                        ds[t][n][e] = weight * (ds[t][n][e] - delta[t][e / 2]);
                    }
                }
            add_weighted<Width, M, N>(dq, ds, keys + buffer * Tile, lane);
        }
        cp_async_wait<0>();
        __syncthreads();
    }

    float scale[M][2];
#pragma unroll
    for (int t = 0; t < M; t++)
        scale[t][0] = scale[t][1] = a.scale;
    store_rows<Width, M>(head_rows<bf16>(a.dq, a.dqStride, sample, a.queries, column), a.dqStride, first + mine, a.queries,
        a.width, vector, a.addQ, dq, scale, queries + mine * kPitch<Width>, lane);
}

extern "C" __global__ void __launch_bounds__(kThreads, 2) attention_backward_keys_64(AttentionArguments a)
{
    attention_backward_keys<WIDTH, 1, true>(a);
}

extern "C" __global__ void __launch_bounds__(kThreads, 2) attention_backward_queries_64(AttentionArguments a)
{
    attention_backward_queries<WIDTH, 1, true>(a);
}

// Above width 64 the registers do not hold dk and dv of so many keys.
#if WIDTH <= 64
extern "C" __global__ void __launch_bounds__(kThreads, 2) attention_backward_keys_128(AttentionArguments a)
{
    attention_backward_keys<WIDTH, 2, false>(a);
}
#endif

extern "C" __global__ void __launch_bounds__(kThreads, 2) attention_backward_queries_128(AttentionArguments a)
{
    attention_backward_queries<WIDTH, 2, false>(a);
}
