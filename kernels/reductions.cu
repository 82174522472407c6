// Sums in a fixed order: sums of rows, sums of columns, mean squared differences, means over tokens.
//
//   sum_pieces        partial[r,k] = sum of piece k of row r           mean_pieces: of (a-b)^2
//   finish_rows       y[r] (+)= scale sum_k partial[r,k]
//   sum_short_rows    y[r] (+)= scale sum_c x[r,c], a warp per row
//   column_pieces     partial[k,c] = sum of x[r,c] over piece k of the rows
//   finish_columns    y[c] (+)= sum_k partial[k,c]
//   masked_mean       y[b,c] = sum_n m[b,n] x[b,n,c] / sum_n m[b,n]
//
// Sums of at most 64 terms run in float32, beyond that in float64. Layout: row-major. Launch: see each kernel; blocks of
// 256 threads. Limit: every element is read once; a bias gradient of [131072,256] bfloat16: 67 MB, 22 us at 3 TB/s.
//
//   version                                                       measured
//   1  16-byte loads, four in flight, partial sums in float64     not measured yet
#include "reduce.cuh"
#include "flat.cuh"

// The sum of v[0..N-1] in pairs.
template <int N>
__device__ __forceinline__ float tree_sum(const float (&v)[N])
{
    if constexpr (N == 1)
        return v[0];
    else
    {
        float half[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++)
            half[i] = v[i] + v[i + N / 2];
        return tree_sum(half);
    }
}

// What a thread of many adds up over elements 0..n-1: x, or (x-y)^2 where SQUARED.
template <bool SQUARED, typename T>
__device__ __forceinline__ double thread_sum(i64 n, const T* x, const T* y, int thread, int threads)
{
    constexpr int N = Widest<T>::N, AT_ONCE = 4;
    const Split<T> split(n, x, SQUARED ? y : x, x);
    double sum = 0.0;
    for (i64 first = thread; first < split.vectors; first += AT_ONCE * threads)
    {
        float a[AT_ONCE][N] = {}, b[AT_ONCE][N] = {};
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            if (first + k * threads < split.vectors)
            {
                load(x + split.before + (first + k * threads) * N, a[k]);
                if (SQUARED)
                    load(y + split.before + (first + k * threads) * N, b[k]);
            }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
        {
            if (SQUARED)
#pragma unroll
                for (int i = 0; i < N; i++)
                    a[k][i] = (a[k][i] - b[k][i]) * (a[k][i] - b[k][i]);
            sum += (double)tree_sum(a[k]);
        }
    }
    for (i64 i = thread; i < split.rest; i += threads)
    {
        const i64 at = split.single(i);
        const float v = SQUARED ? to_float(x[at]) - to_float(y[at]) : to_float(x[at]);
        sum += (double)(SQUARED ? v * v : v);
    }
    return sum;
}

// Block r pieces + k: piece k of row r, that is columns k piece .. (k+1) piece - 1.
template <bool SQUARED, typename T>
__device__ __forceinline__ void row_piece(i64 cols, int pieces, i64 piece, const T* x, const T* y, double* partial)
{
    SHARED(double, scratch[32]);
    const i64 row = blockIdx.x / pieces, k = blockIdx.x % pieces, first = row * cols + k * piece;
    const i64 left = cols - k * piece;
    const double own = thread_sum<SQUARED>(left < piece ? left : piece, x + first, y + first, threadIdx.x, blockDim.x);
    const double sum = block_reduce<Sum>(own, scratch);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
}

typedef MDM_T Element;

extern "C" __global__ __launch_bounds__(256) void sum_pieces(
    i64 cols, int pieces, i64 piece, const Element* x, double* partial)
{
    row_piece<false>(cols, pieces, piece, x, x, partial);
}

extern "C" __global__ __launch_bounds__(256) void mean_pieces(
    i64 cols, int pieces, i64 piece, const Element* a, const Element* b, double* partial)
{
    row_piece<true>(cols, pieces, piece, a, b, partial);
}

__device__ __forceinline__ void put_sum(float* y, double value, int accumulate)
{
    *y = (float)(accumulate ? value + *y : value);
}

// A warp per row.
extern "C" __global__ __launch_bounds__(256) void finish_rows(
    i64 rows, int pieces, double scale, const double* partial, float* y, int accumulate)
{
    const i64 row = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    double sum = 0.0;
    for (int k = lane; row < rows && k < pieces; k += 32)
        sum += partial[row * pieces + k];
    sum = warp_reduce<Sum>(sum);
    if (row < rows && lane == 0)
        put_sum(y + row, scale * sum, accumulate);
}

// A warp per row.
extern "C" __global__ __launch_bounds__(256) void sum_short_rows(
    i64 rows, i64 cols, double scale, const Element* x, float* y, int accumulate)
{
    const i64 row = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    double sum = 0.0;
    if (row < rows)
        sum = thread_sum<false>(cols, x + row * cols, x + row * cols, lane, 32);
    sum = warp_reduce<Sum>(sum);
    if (row < rows && lane == 0)
        put_sum(y + row, scale * sum, accumulate);
}

// Block (t, k): piece k of the rows, columns t·across·N and on. The threads stand `across` side by side; each owns N
// columns and every (256/across)-th row of the piece.
template <int N, typename T>
__device__ __forceinline__ void column_piece(i64 rows, int cols, i64 piece, int across, const T* x, double* partial)
{
    constexpr int THREADS = 256, IN_FLOAT = 64, AT_ONCE = 4;
    SHARED(double, sums[THREADS * N]);
    const int side = threadIdx.x % across, down = threadIdx.x / across, step = THREADS / across;
    const int column = (blockIdx.x * across + side) * N;
    const i64 begin = blockIdx.y * piece, end = begin + piece < rows ? begin + piece : rows;
    double total[N] = {};
    if (column < cols)
        for (i64 chunk = begin + down; chunk < end; chunk += IN_FLOAT * step)
        {
            float sum[N] = {};
            for (int i = 0; i < IN_FLOAT && chunk + (i64)i * step < end; i += AT_ONCE)
            {
                float v[AT_ONCE][N] = {};
#pragma unroll
                for (int k = 0; k < AT_ONCE; k++)
                    if (chunk + (i64)(i + k) * step < end)
                        load(x + (chunk + (i64)(i + k) * step) * cols + column, v[k]);
#pragma unroll
                for (int j = 0; j < N; j++)
                    sum[j] += (v[0][j] + v[1][j]) + (v[2][j] + v[3][j]);
            }
#pragma unroll
            for (int j = 0; j < N; j++)
                total[j] += (double)sum[j];
        }
#pragma unroll
    for (int j = 0; j < N; j++)
        sums[j * THREADS + threadIdx.x] = total[j];
    __syncthreads();
    for (int i = threadIdx.x; i < across * N; i += THREADS)
    {
        const int c = blockIdx.x * across * N + i;
        double sum = 0.0;
        for (int d = 0; d < step; d++)
            sum += sums[i % N * THREADS + d * across + i / N];
        if (c < cols)
            partial[(i64)blockIdx.y * cols + c] = sum;
    }
}

extern "C" __global__ __launch_bounds__(256) void column_pieces(
    i64 rows, int cols, i64 piece, int across, const Element* x, double* partial)
{
    column_piece<1>(rows, cols, piece, across, x, partial);
}

// Rows and x are multiples of 16 bytes.
extern "C" __global__ __launch_bounds__(256) void column_pieces_wide(
    i64 rows, int cols, i64 piece, int across, const Element* x, double* partial)
{
    column_piece<Widest<Element>::N>(rows, cols, piece, across, x, partial);
}

// A block per 32 columns; eight threads share one column.
extern "C" __global__ __launch_bounds__(256) void finish_columns(
    int cols, int pieces, const double* partial, float* y, int accumulate)
{
    SHARED(double, sums[8][32]);
    const int side = threadIdx.x % 32, down = threadIdx.x / 32, c = blockIdx.x * 32 + side;
    double sum = 0.0;
    if (c < cols)
#pragma unroll 8
        for (int k = down; k < pieces; k += 8)
            sum += partial[(i64)k * cols + c];
    sums[down][side] = sum;
    __syncthreads();
    if (down == 0 && c < cols)
    {
        for (int i = 1; i < 8; i++)
            sum += sums[i][side];
        put_sum(y + c, sum, accumulate);
    }
}

// What the weights of a sample are multiplied with: 1 / their sum, 0 where nothing counts.
__device__ __forceinline__ double mask_factor(const float* mask, int tokens)
{
    if (mask == nullptr)
        return 1.0 / tokens;
    double sum = 0.0;
    for (int t = 0; t < tokens; t++)
        sum += mask[t];
    return sum == 0.0 ? 0.0 : 1.0 / sum;
}

// Block (b, t): sample b, channels 256 t and on, one per thread. mask optional.
extern "C" __global__ __launch_bounds__(256) void masked_mean(
    int tokens, int channels, const Element* x, const float* mask, Element* y)
{
    const int b = blockIdx.x, c = blockIdx.y * blockDim.x + threadIdx.x;
    if (c >= channels)
        return;
    const float* own = mask == nullptr ? nullptr : mask + (i64)b * tokens;
    const Element* column = x + (i64)b * tokens * channels + c;
    double sum = 0.0;
#pragma unroll 8
    for (int t = 0; t < tokens; t++)
    {
        // What is left out may be anything, even NaN.
        const float m = own == nullptr ? 1.0f : own[t], v = to_float(column[(i64)t * channels]);
        sum += m == 0.0f ? 0.0 : (double)m * v;
    }
    y[(i64)b * channels + c] = from_float<Element>((float)(sum * mask_factor(own, tokens)));
}

extern "C" __global__ __launch_bounds__(256) void masked_mean_backward(
    int tokens, int channels, const Element* dy, const float* mask, Element* dx, int accumulate)
{
    const int b = blockIdx.x, c = blockIdx.y * blockDim.x + threadIdx.x;
    if (c >= channels)
        return;
    const float* own = mask == nullptr ? nullptr : mask + (i64)b * tokens;
    const double factor = mask_factor(own, tokens);
    const float slope = to_float(dy[(i64)b * channels + c]);
    Element* column = dx + (i64)b * tokens * channels + c;
    for (int t = 0; t < tokens; t++)
    {
        const float d = slope * (float)((own == nullptr ? 1.0f : own[t]) * factor);
        Element* to = column + (i64)t * channels;
        *to = from_float<Element>(accumulate ? d + to_float(*to) : d);
    }
}
