// Streaming attention for every type and head width, in true float32: what attention.cu and attention_backward.cu compute (their
// formulas hold here), where those do not serve: float32 activations, widths above 128, gradients with a bias.
//
// Layout: as in attention.cu.
// Launch: 256 threads; grid (tiles · slices, heads, batch), a tile being 64 queries (attention_forward,
// attention_backward_queries) or 64 keys (attention_backward_keys), a slice SLICE columns of the result (64, 96 or 128).
// Scores of 64 x 64 are made in registers, 4x4 a thread, from pieces of 32 columns of both operands in shared memory, so any
// width does; several slices make them again. They pass through shared memory as weights of the second product.
// attention_delta: 4 threads for each query and head.
// Work: forward 2·(slices + 1), backward (4·slices + 4) + (4·slices + 2) times batch·heads·queries·keys·width FLOP.
//
// version                        | 1,024 x 1,024, width 64 | 256 x 256, width 96
// float32, 4x4, limit predicted  | 35 TFLOP/s              | 35 TFLOP/s
// measured                       | not measured yet        | not measured yet
// attention_delta: 2·batch·queries·channels elements, limit 3 TB/s; not measured yet.
// The limits are those of one H100: of every 16 clocks of multiply-adds, shared memory is busy for 12; barriers take the rest.
#include "attention.cuh"

typedef MDM_T T;
typedef Vec<float, 4> Four;
typedef Vec<float, 2> Pair;

constexpr int kThreads = 256;
constexpr int kTile = 64;
constexpr int kDepth = 32;
constexpr int kDepthPitch = kDepth / 4 + 1;  // in fours; odd, so that eight rows lie in different banks
constexpr int kTilePitch = kTile / 4 + 1;
constexpr int kPairs = SLICE / 32;           // of result columns a thread has: 2·(tx + 16 c) and the one beside it

// A head's rows of one operand.
struct HeadRows
{
    const T* p;
    int stride, count, width;
    bool vector;

    // Columns column.. of a row; zeros outside.
    __device__ __forceinline__ Four four(int row, int column) const
    {
        Four y = {{0.0f, 0.0f, 0.0f, 0.0f}};
        if (row >= count)
            return y;
        const T* from = p + (i64)row * stride + column;
        if (vector && column < width)
        {
            Vec<T, 4> x = *reinterpret_cast<const Vec<T, 4>*>(from);
#pragma unroll
            for (int e = 0; e < 4; e++)
                y.v[e] = to_float(x.v[e]);
        }
        else
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (column + e < width)
                    y.v[e] = to_float(from[e]);
        return y;
    }
};

// Shared memory of a block: columns of both operands of the scores, or rows of the second product; and the weights.
struct Workspace
{
    Four *operands, *weights;
};

__device__ __forceinline__ int thread_x() { return threadIdx.x % 16; }
__device__ __forceinline__ int thread_y() { return threadIdx.x / 16; }

// s[i][j] = row leftFirst + 4 ty + i of left · row rightFirst + tx + 16 j of right.
__device__ __forceinline__ void scores(
    float (&s)[4][4], const HeadRows& left, int leftFirst, const HeadRows& right, int rightFirst, const Workspace& w)
{
    Four *leftTile = w.operands, *rightTile = w.operands + kTile * kDepthPitch;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            s[i][j] = 0.0f;
    for (int column = 0; column < left.width; column += kDepth)
    {
        __syncthreads();
#pragma unroll 1 // not to take the registers that the sums need
        for (int n = threadIdx.x; n < kTile * kDepth / 4; n += kThreads)
        {
            int row = n / (kDepth / 4), d = n % (kDepth / 4);
            leftTile[row * kDepthPitch + d] = left.four(leftFirst + row, column + 4 * d);
            rightTile[row * kDepthPitch + d] = right.four(rightFirst + row, column + 4 * d);
        }
        __syncthreads();
        int fours = min(kDepth, left.width - column + 3) / 4;
#pragma unroll 1
        for (int d = 0; d < fours; d++)
        {
            Four x[4], y[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                x[i] = leftTile[(4 * thread_y() + i) * kDepthPitch + d];
                y[i] = rightTile[(thread_x() + 16 * i) * kDepthPitch + d];
            }
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++)
                        s[i][j] += x[i].v[e] * y[j].v[e];
        }
    }
}

// Hands the tile of weights to add_weighted. A half-warp reads only the rows that it wrote.
__device__ __forceinline__ void put_weights(const float (&s)[4][4], const Workspace& w)
{
    __syncwarp();
    float* to = reinterpret_cast<float*>(w.weights) + 4 * thread_y() * 4 * kTilePitch + thread_x();
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            to[i * 4 * kTilePitch + 16 * j] = s[i][j];
}

// sum[i][..] += Σ_j weight of (4 ty + i, j) · row first + j of rows, in the columns of the slice that begins at column.
__device__ __forceinline__ void add_weighted(
    float (&sum)[4][2 * kPairs], const HeadRows& rows, int first, int column, const Workspace& w)
{
    for (int part = 0; part < kTile && first + part < rows.count; part += kTile / 2)
    {
        __syncthreads();
#pragma unroll 1
        for (int n = threadIdx.x; n < kTile / 2 * SLICE / 4; n += kThreads)
            w.operands[n] = rows.four(first + part + n / (SLICE / 4), column + n % (SLICE / 4) * 4);
        __syncthreads();
        const Pair* values = reinterpret_cast<const Pair*>(w.operands);
#pragma unroll 1
        for (int j = 0; j < kTile / 2; j += 4)
        {
            Four weight[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                weight[i] = w.weights[(4 * thread_y() + i) * kTilePitch + (part + j) / 4];
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int c = 0; c < kPairs; c++)
                {
                    Pair v = values[(j + e) * (SLICE / 2) + 16 * c + thread_x()];
#pragma unroll
                    for (int i = 0; i < 4; i++)
                    {
                        sum[i][2 * c] += weight[i].v[e] * v.v[0];
                        sum[i][2 * c + 1] += weight[i].v[e] * v.v[1];
                    }
                }
        }
    }
}

// Writes rows first.. of a head, row i times factor[i], or adds to them.
__device__ __forceinline__ void store_rows(void* p, int stride, int sample, int count, int first, int column,
    const AttentionArguments& a, bool add, const float (&sum)[4][2 * kPairs], const float (&factor)[4])
{
    T* rows = head_rows<T>(p, stride, sample, count, blockIdx.y * a.width);
#pragma unroll
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 2 * kPairs; c++)
        {
            int row = first + 4 * thread_y() + i, at = column + 2 * (thread_x() + c / 2 * 16) + c % 2;
            if (row >= count || at >= a.width)
                continue;
            T* to = rows + (i64)row * stride + at;
            float y = sum[i][c] * factor[i];
            *to = from_float<T>(add ? to_float(*to) + y : y);
        }
}

__device__ __forceinline__ HeadRows rows_of(const AttentionArguments& a, const void* p, int stride, int count)
{
    return {head_rows<T>(p, stride, blockIdx.z, count, blockIdx.y * a.width), stride, count, a.width, a.vector != 0};
}

__device__ __forceinline__ bool key_counts(const AttentionArguments& a, int key)
{
    return key < a.keys && (a.mask == nullptr || a.mask[(i64)blockIdx.z * a.keys + key] != 0.0f);
}

// log2(e) · (scale·s + bias) of a query and a key, both of which exist.
__device__ __forceinline__ float scaled(const AttentionArguments& a, float s, int query, int key)
{
    float bias = a.bias == nullptr ? 0.0f : a.bias[((i64)blockIdx.y * a.queries + query) * a.keys + key];
    return (s * a.scale + bias) * kLog2E;
}

// A block's shared memory, which tile and slice it has, and the operands.
#define BLOCK                                                                                         \
    SHARED(Four, operandTiles[2 * kTile * kDepthPitch]);                                              \
    SHARED(Four, weightTile[kTile * kTilePitch]);                                                     \
    Workspace w = {operandTiles, weightTile};                                                         \
    int slices = (a.width + SLICE - 1) / SLICE;                                                       \
    int first = (int)blockIdx.x / slices * kTile, column = (int)blockIdx.x % slices * SLICE;          \
    HeadRows q = rows_of(a, a.q, a.qStride, a.queries), k = rows_of(a, a.k, a.kStride, a.keys);       \
    HeadRows v = rows_of(a, a.v, a.vStride, a.keys)

extern "C" __global__ void __launch_bounds__(kThreads) attention_forward(AttentionArguments a)
{
    BLOCK;
    int query = first + 4 * thread_y();
    float sum[4][2 * kPairs] = {}, m[4], l[4] = {};
#pragma unroll
    for (int i = 0; i < 4; i++)
        m[i] = minus_infinity();
    for (int j0 = 0; j0 < a.keys; j0 += kTile)
    {
        float s[4][4];
        scores(s, q, first, k, j0, w);
#pragma unroll
        for (int j = 0; j < 4; j++)
        {
            int key = j0 + thread_x() + 16 * j;
            bool counts = key_counts(a, key);
#pragma unroll
            for (int i = 0; i < 4; i++)
                s[i][j] = counts && query + i < a.queries ? scaled(a, s[i][j], query + i, key) : minus_infinity();
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            float top = fmaxf(fmaxf(fmaxf(s[i][0], s[i][1]), fmaxf(s[i][2], s[i][3])), m[i]);
            for (int offset = 8; offset > 0; offset /= 2)
                top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, offset));

            // While every key so far is left out, any finite shift gives the zeros wanted.
            float shift = top == minus_infinity() ? 0.0f : top, keep = exp2f(m[i] - shift);
            m[i] = top;
            l[i] *= keep;
#pragma unroll
            for (int j = 0; j < 4; j++)
                l[i] += s[i][j] = exp2f(s[i][j] - shift);
#pragma unroll
            for (int c = 0; c < 2 * kPairs; c++)
                sum[i][c] *= keep;
        }
        put_weights(s, w);
        add_weighted(sum, v, j0, column, w);
    }

    float inverse[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        float total = l[i];
        for (int offset = 8; offset > 0; offset /= 2)
            total += __shfl_xor_sync(0xffffffffu, total, offset);
        inverse[i] = total == 0.0f ? 0.0f : 1.0f / total;
        if (column == 0 && thread_x() == 0 && query + i < a.queries)
            a.logSumExp[query_numbers(a, blockIdx.z, blockIdx.y) + query + i] = m[i] * kLn2 + logf(total);
    }
    store_rows(a.o, a.oStride, blockIdx.z, a.queries, first, column, a, false, sum, inverse);
}

// Rows of the tiles are keys, columns are queries.
extern "C" __global__ void __launch_bounds__(kThreads) attention_backward_keys(AttentionArguments a)
{
    BLOCK;
    HeadRows dO = rows_of(a, a.dO, a.dOStride, a.queries);
    int key = first + 4 * thread_y();
    i64 numbers = query_numbers(a, blockIdx.z, blockIdx.y);
    float dk[4][2 * kPairs] = {}, dv[4][2 * kPairs] = {};
    for (int i0 = 0; i0 < a.queries; i0 += kTile)
    {
        float p[4][4], ds[4][4];
        scores(p, k, first, q, i0, w);
        scores(ds, v, first, dO, i0, w);
#pragma unroll
        for (int j = 0; j < 4; j++)
        {
            int query = i0 + thread_x() + 16 * j;
            bool exists = query < a.queries;
            float logSum = exists ? a.logSumExp[numbers + query] * kLog2E : 0.0f;
            float delta = exists ? a.delta[numbers + query] : 0.0f;
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                p[i][j] = exists && key_counts(a, key + i) ? exp2f(scaled(a, p[i][j], query, key + i) - logSum) : 0.0f;
                ds[i][j] = p[i][j] * (ds[i][j] - delta);
            }
        }
        put_weights(p, w);
        add_weighted(dv, dO, i0, column, w);
        put_weights(ds, w);
        add_weighted(dk, q, i0, column, w);
    }
    float scale[4] = {a.scale, a.scale, a.scale, a.scale}, one[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    if (a.dk != nullptr)
        store_rows(a.dk, a.dkStride, blockIdx.z, a.keys, first, column, a, a.addK != 0, dk, scale);
    if (a.dv != nullptr)
        store_rows(a.dv, a.dvStride, blockIdx.z, a.keys, first, column, a, a.addV != 0, dv, one);
}

// Rows of the tiles are queries, columns are keys.
extern "C" __global__ void __launch_bounds__(kThreads) attention_backward_queries(AttentionArguments a)
{
    BLOCK;
    HeadRows dO = rows_of(a, a.dO, a.dOStride, a.queries);
    int query = first + 4 * thread_y();
    float dq[4][2 * kPairs] = {}, logSum[4], delta[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        i64 at = query_numbers(a, blockIdx.z, blockIdx.y) + query + i;
        logSum[i] = query + i < a.queries ? a.logSumExp[at] * kLog2E : 0.0f;
        delta[i] = query + i < a.queries ? a.delta[at] : 0.0f;
    }
    for (int j0 = 0; j0 < a.keys; j0 += kTile)
    {
        float p[4][4], ds[4][4];
        scores(p, q, first, k, j0, w);
        scores(ds, dO, first, v, j0, w);
#pragma unroll
        for (int j = 0; j < 4; j++)
        {
            int key = j0 + thread_x() + 16 * j;
            bool counts = key_counts(a, key);
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                float weight =
                    counts && query + i < a.queries ? exp2f(scaled(a, p[i][j], query + i, key) - logSum[i]) : 0.0f;
                ds[i][j] = weight * (ds[i][j] - delta[i]);
            }
        }
        put_weights(ds, w);
        add_weighted(dq, k, j0, column, w);
    }
    float scale[4] = {a.scale, a.scale, a.scale, a.scale};
    store_rows(a.dq, a.dqStride, blockIdx.z, a.queries, first, column, a, a.addQ != 0, dq, scale);
}

// delta = Σ dO·o over a head's columns. Thread 4n + r takes every fourth piece of query and head n = (b·queries + i)·heads + h.
extern "C" __global__ void __launch_bounds__(kThreads) attention_delta(AttentionArguments a)
{
    constexpr int Piece = 16 / sizeof(T);
    i64 n = ((i64)blockIdx.x * kThreads + threadIdx.x) / 4;
    int part = threadIdx.x % 4, head = (int)(n % a.heads);
    i64 row = n / a.heads;
    bool exists = row < (i64)a.batch * a.queries;
    const T* o = static_cast<const T*>(a.o) + row * a.oStride + head * a.width;
    const T* dO = static_cast<const T*>(a.dO) + row * a.dOStride + head * a.width;
    float sum = 0.0f;
    if (exists && a.vector)
        for (int c = part * Piece; c < a.width; c += 4 * Piece)
        {
            Vec<T, Piece> x = *reinterpret_cast<const Vec<T, Piece>*>(o + c), y = *reinterpret_cast<const Vec<T, Piece>*>(dO + c);
#pragma unroll
            for (int e = 0; e < Piece; e++)
                sum += to_float(x.v[e]) * to_float(y.v[e]);
        }
    else if (exists)
        for (int c = part; c < a.width; c += 4)
            sum += to_float(o[c]) * to_float(dO[c]);
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (exists && part == 0)
        a.delta[query_numbers(a, (int)(row / a.queries), head) + row % a.queries] = sum;
}
