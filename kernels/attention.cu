// Streaming attention on tensor cores, forward, bfloat16.
//
//   o_i = Σ_j p_ij v_j,  p_ij = e^(s_ij - L_i),  s_ij = scale·q_i·k_j + bias_ij over the keys that count,  L_i = log Σ_j e^s_ij
//
// The scores never leave the registers: key tile by key tile, a running maximum m and sum l of each query's softmax are
// carried on, and what was summed so far is rescaled when m grows (arXiv 1805.02867, 2307.08691).
//
// Layout: q, k, v, o are rows of [batch·positions, stride], head h at columns h·width..; they may be parts of wider rows.
// Launch: grid (queries / (64·M), heads, batch), 128 threads. A warp owns 16·M queries. Two stages of keys and values
// (asynchronous copies, one barrier a tile), the queries' fragments in registers, p handed from the first product's accumulators
// to the second as left operand. WIDTH (32, 48, 64, 96, 128) is the head width rounded up; scale must be positive.
// Work: 4·batch·heads·queries·keys·width FLOP; each operand is read once per block that needs it, mostly from L2.
//
// version                          | 1,024 x 1,024, width 64 | 256 x 256, width 96 | 1,024 x 128, width 64 (cross)
// mma.sync, M = 2, limit predicted | 400 TFLOP/s             | 350 TFLOP/s         | 2.2 TB/s (memory and tensor cores both busy)
// measured                         | not measured yet        | not measured yet    | not measured yet
// The limits are those of one H100: mma.sync reaches 62 % of the sheet's 989 TFLOP/s, e^x takes a third of the time beside it.
#include "attention_mma.cuh"

constexpr int kKeys = WIDTH > 96 ? 32 : 64;

// Takes the scores s of a tile (raw products) into the running softmax: m and l are of this lane's rows, l of this lane's
// columns alone. Returns e^(s - m) in s and rescales sum.
template <int M, int N, int Width>
__device__ __forceinline__ void online_softmax(
    float (&s)[M][N][4], float factor, float (&m)[M][2], float (&l)[M][2], float (&sum)[M][Width / 8][4])
{
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            float top = m[t][half];
#pragma unroll
            for (int n = 0; n < N; n++)
                top = fmaxf(top, fmaxf(s[t][n][2 * half], s[t][n][2 * half + 1]));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));

            // While every key so far is left out, any finite shift gives the zeros wanted.
            float shift = top == minus_infinity() ? 0.0f : top * factor;
            float keep = exp2_approx(m[t][half] * factor - shift), total = 0.0f;
            m[t][half] = top;
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++)
                {
                    s[t][n][e] = exp2_approx(s[t][n][e] * factor - shift);
                    total += s[t][n][e];
                }
            l[t][half] = l[t][half] * keep + total;
#pragma unroll
            for (int n = 0; n < Width / 8; n++)
            {
                sum[t][n][2 * half] *= keep;
                sum[t][n][2 * half + 1] *= keep;
            }
        }
}

// s = scale·s + bias, times log2(e).
template <int M, int N>
__device__ __forceinline__ void add_bias(float (&s)[M][N][4], const AttentionArguments& a, int head, int query, int key)
{
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int e = 0; e < 4; e++)
        {
            int row = query + 16 * t + e / 2 * 8;
            const float* bias = a.bias + ((i64)head * a.queries + row) * a.keys;
#pragma unroll
            for (int n = 0; n < N; n++)
            {
                int column = key + 8 * n + e % 2;
                float b = row < a.queries && column < a.keys ? bias[column] : 0.0f;
                s[t][n][e] = (s[t][n][e] * a.scale + b) * kLog2E;
            }
        }
}

// General: rows may be unaligned, and there may be a bias.
template <int Width, int M, bool General>
__device__ __forceinline__ void attention_forward(const AttentionArguments& a)
{
    constexpr int Tile = kKeys * kPitch<Width>, N = kKeys / 8;
    constexpr bool Held = Width * M <= 128;
    bool vector = !General || a.vector;
    DYNAMIC_SHARED(bf16, queries);
    bf16 *keys = queries + 64 * M * kPitch<Width>, *values = keys + 2 * Tile;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y, sample = blockIdx.z;
    int first = blockIdx.x * 64 * M, mine = 16 * M * warp, column = head * a.width;
    const bf16* k = head_rows<bf16>(a.k, a.kStride, sample, a.keys, column);
    const bf16* v = head_rows<bf16>(a.v, a.vStride, sample, a.keys, column);
    const float* mask = a.mask == nullptr ? nullptr : a.mask + (i64)sample * a.keys;
    bf16* stage = queries + mine * kPitch<Width>;

    float sum[M][Width / 8][4], m[M][2], l[M][2];
    clear<Width, M>(sum);
#pragma unroll
    for (int t = 0; t < M; t++)
        m[t][0] = m[t][1] = minus_infinity(), l[t][0] = l[t][1] = 0.0f;

    load_tile<Width, 64 * M>(queries, head_rows<bf16>(a.q, a.qStride, sample, a.queries, column), a.qStride, first, a.queries,
        a.width, vector);
    KeyFlags<kKeys> flags;
    flags.begin(mask, 0, a.keys, lane);
    if (a.keys > 0)
    {
        load_tile<Width, kKeys>(keys, k, a.kStride, 0, a.keys, a.width, vector);
        load_tile<Width, kKeys>(values, v, a.vStride, 0, a.keys, a.width, vector);
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    LeftRows<Width, M, Held> left;
    left.load(stage, lane);

    float factor = !General || a.bias == nullptr ? a.scale * kLog2E : 1.0f;
    for (int j = 0, buffer = 0; j < a.keys; j += kKeys, buffer ^= 1)
    {
        u64 bits = flags.bits();
        if (j + kKeys < a.keys)
        {
            int next = j + kKeys, to = (buffer ^ 1) * Tile;
            load_tile<Width, kKeys>(keys + to, k, a.kStride, next, a.keys, a.width, vector);
            load_tile<Width, kKeys>(values + to, v, a.vStride, next, a.keys, a.width, vector);
            flags.begin(mask, next, a.keys, lane);
        }
        cp_async_commit();

        if (bits != 0)
        {
            float s[M][N][4];
            scores<Width, M, N, Held>(s, left, keys + buffer * Tile, lane);
            if (General && a.bias != nullptr)
                add_bias<M, N>(s, a, head, first + mine + lane / 4, j + lane % 4 * 2);
            if (bits != KeyFlags<kKeys>::kAll)
            {
                u64 own = bits >> (lane % 4 * 2);
#pragma unroll
                for (int n = 0; n < N; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if ((own >> (8 * n + e % 2) & 1) == 0)
#pragma unroll
                            for (int t = 0; t < M; t++)
                                s[t][n][e] = minus_infinity();
            }
            online_softmax<M, N, Width>(s, factor, m, l, sum);
            add_weighted<Width, M, N>(sum, s, values + buffer * Tile, lane);
        }

        // The next tile has come, and nobody reads this one any more.
        cp_async_wait<0>();
        __syncthreads();
    }

    float inverse[M][2];
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            float total = l[t][half];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            inverse[t][half] = total == 0.0f ? 0.0f : 1.0f / total;
            int row = first + mine + 16 * t + 8 * half + lane / 4;
            if (lane % 4 == 0 && row < a.queries)
                a.logSumExp[query_numbers(a, sample, head) + row] = m[t][half] * factor * kLn2 + logf(total);
        }
    store_rows<Width, M>(head_rows<bf16>(a.o, a.oStride, sample, a.queries, column), a.oStride, first + mine, a.queries, a.width,
        vector, false, sum, inverse, stage, lane);
}

extern "C" __global__ void __launch_bounds__(kThreads, 2) attention_forward_64(AttentionArguments a)
{
    attention_forward<WIDTH, 1, true>(a);
}

extern "C" __global__ void __launch_bounds__(kThreads, 2) attention_forward_128(AttentionArguments a)
{
    attention_forward<WIDTH, 2, false>(a);
}
