// Tiles of attention on tensor cores. A tile holds rows of a head in shared memory as bfloat16, padded with zeros to Width
// columns and then by 8 unused ones: rows are then an odd number of 16-byte pieces apart, so that the eight rows that ldmatrix
// reads at once lie in different banks whatever the width is. A block has 4 warps; a warp owns 16*M rows of the block's result.
// A fragment element s[t][n][e] of a lane belongs to row 16t + lane/4 + 8*(e/2), column 8n + 2*(lane%4) + e%2.
#pragma once
#include "attention.cuh"

constexpr int kWarps = 4, kThreads = 32 * kWarps;

template <int Width>
constexpr int kPitch = Width + 8;

// Brings rows first.. of a head into a tile of Rows rows; rows from count on and columns from width on become zeros. Vector
// rows come asynchronously (the caller commits and waits), others element by element.
template <int Width, int Rows>
__device__ __forceinline__ void load_tile(bf16* tile, const bf16* rows, int stride, int first, int count, int width, bool vector)
{
    // A row's pieces are shared by 2, 4, 8 or 16 threads (at widths 48 and 96 each has three), so that a thread stays in its
    // columns and its addresses are steps of whole rows.
    constexpr int Pieces = Width / 8, Sharers = Pieces % 3 == 0 ? Pieces / 3 : Pieces, Step = kThreads / Sharers;
    int row = threadIdx.x / Sharers, column = threadIdx.x % Sharers * 8;
    if (Step > Rows && row >= Rows)
        return;
    const bf16* from = rows + (i64)(first + row) * stride + column;
    bf16* to = tile + row * kPitch<Width> + column;
    if (vector)
    {
#pragma unroll
        for (int r = 0; r < Rows; r += Step, from += (i64)Step * stride)
#pragma unroll
            for (int c = 0; c < 8 * Pieces; c += 8 * Sharers)
                cp_async_16(to + r * kPitch<Width> + c, from + c, first + row + r < count && column + c < width);
    }
    else
    {
#pragma unroll 1 // not to take the registers that the products need
        for (int r = 0; r < Rows; r += Step, from += (i64)Step * stride)
#pragma unroll 1
            for (int c = 0; c < 8 * Pieces; c += 8 * Sharers)
            {
                Vec<bf16, 8> x;
#pragma unroll
                for (int e = 0; e < 8; e++)
                    x.v[e] = first + row + r < count && column + c + e < width ? from[c + e] : bf16{0};
                *reinterpret_cast<Vec<bf16, 8>*>(to + r * kPitch<Width> + c) = x;
            }
    }
}

// The 16x16 piece of rows that lies at tile, as left operand.
template <int Width>
__device__ __forceinline__ void load_left(u32 (&a)[4], const bf16* tile, int lane)
{
    ldmatrix_x4(a, tile + lane % 16 * kPitch<Width> + lane / 16 * 8);
}

// A warp's 16*M rows as left operand: read anew for every product, or kept in registers.
template <int Width, int M, bool Held>
struct LeftRows;

template <int Width, int M>
struct LeftRows<Width, M, false>
{
    const bf16* tile;

    __device__ __forceinline__ void load(const bf16* from, int) { tile = from; }

    __device__ __forceinline__ void get(u32 (&a)[4], int t, int step, int lane) const
    {
        load_left<Width>(a, tile + 16 * t * kPitch<Width> + 16 * step, lane);
    }
};

template <int Width, int M>
struct LeftRows<Width, M, true>
{
    u32 held[M][Width / 16][4];

    __device__ __forceinline__ void load(const bf16* from, int lane)
    {
#pragma unroll
        for (int t = 0; t < M; t++)
#pragma unroll
            for (int step = 0; step < Width / 16; step++)
                load_left<Width>(held[t][step], from + 16 * t * kPitch<Width> + 16 * step, lane);
    }

    __device__ __forceinline__ void get(u32 (&a)[4], int t, int step, int) const
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = held[t][step][i];
    }
};

// s = left · rowsᵀ with 8N rows.
template <int Width, int M, int N, bool Held>
__device__ __forceinline__ void scores(float (&s)[M][N][4], const LeftRows<Width, M, Held>& left, const bf16* rows, int lane)
{
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s[t][n][e] = 0.0f;
    const bf16* from = rows + (lane / 16 * 8 + lane % 8) * kPitch<Width> + lane / 8 % 2 * 8;
#pragma unroll
    for (int step = 0; step < Width / 16; step++)
    {
        u32 a[M][4];
#pragma unroll
        for (int t = 0; t < M; t++)
            left.get(a[t], t, step, lane);
#pragma unroll
        for (int n = 0; n < N; n += 2)
        {
            u32 b[4];
            ldmatrix_x4(b, from + 8 * n * kPitch<Width> + 16 * step);
            u32 b0[2] = {b[0], b[1]}, b1[2] = {b[2], b[3]};
#pragma unroll
            for (int t = 0; t < M; t++)
            {
                mma_bf16(s[t][n], a[t], b0);
                mma_bf16(s[t][n + 1], a[t], b1);
            }
        }
    }
}

// sum += w · rows with 8N rows; the fragments of w, rounded to bfloat16, are left operands as they are.
template <int Width, int M, int N>
__device__ __forceinline__ void add_weighted(
    float (&sum)[M][Width / 8][4], const float (&w)[M][N][4], const bf16* rows, int lane)
{
    const bf16* from = rows + lane % 16 * kPitch<Width> + lane / 16 * 8;
#pragma unroll
    for (int n = 0; n < N; n += 2)
    {
        u32 a[M][4];
#pragma unroll
        for (int t = 0; t < M; t++)
        {
            a[t][0] = pack_bf16(w[t][n][0], w[t][n][1]);
            a[t][1] = pack_bf16(w[t][n][2], w[t][n][3]);
            a[t][2] = pack_bf16(w[t][n + 1][0], w[t][n + 1][1]);
            a[t][3] = pack_bf16(w[t][n + 1][2], w[t][n + 1][3]);
        }
#pragma unroll
        for (int d = 0; d < Width / 8; d += 2)
        {
            u32 b[4];
            ldmatrix_x4_transposed(b, from + 8 * n * kPitch<Width> + 8 * d);
            u32 b0[2] = {b[0], b[1]}, b1[2] = {b[2], b[3]};
#pragma unroll
            for (int t = 0; t < M; t++)
            {
                mma_bf16(sum[t][d], a[t], b0);
                mma_bf16(sum[t][d + 1], a[t], b1);
            }
        }
    }
}

template <int Width, int M>
__device__ __forceinline__ void clear(float (&sum)[M][Width / 8][4])
{
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int n = 0; n < Width / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[t][n][e] = 0.0f;
}

// Writes a warp's rows, rows first.. of a head, row r times factor[t][..]. stage: the warp's own 16*M rows of a tile that
// nobody reads any more; through it, whole pieces of 16 bytes go out.
template <int Width, int M>
__device__ __forceinline__ void store_rows(bf16* rows, int stride, int first, int count, int width, bool vector, bool add,
    const float (&sum)[M][Width / 8][4], const float (&factor)[M][2], bf16* stage, int lane)
{
    constexpr int Pieces = Width / 8;
    __syncwarp();
#pragma unroll
    for (int t = 0; t < M; t++)
#pragma unroll
        for (int n = 0; n < Width / 8; n++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                *reinterpret_cast<u32*>(stage + (16 * t + 8 * half + lane / 4) * kPitch<Width> + 8 * n + lane % 4 * 2) =
                    pack_bf16(sum[t][n][2 * half] * factor[t][half], sum[t][n][2 * half + 1] * factor[t][half]);
    __syncwarp();
#pragma unroll 4
    for (int piece = lane; piece < 16 * M * Pieces; piece += 32)
    {
        int row = piece / Pieces, column = piece % Pieces * 8;
        if (first + row >= count || column >= width)
            continue;
        Vec<bf16, 8> x = *reinterpret_cast<const Vec<bf16, 8>*>(stage + row * kPitch<Width> + column);
        bf16* to = rows + (i64)(first + row) * stride + column;
        if (vector)
        {
            if (add)
            {
                Vec<bf16, 8> old = *reinterpret_cast<const Vec<bf16, 8>*>(to);
#pragma unroll
                for (int e = 0; e < 8; e++)
                    x.v[e] = from_float<bf16>(to_float(old.v[e]) + to_float(x.v[e]));
            }
            *reinterpret_cast<Vec<bf16, 8>*>(to) = x;
        }
        else
#pragma unroll
            for (int e = 0; e < 8; e++)
                if (column + e < width)
                    to[e] = add ? from_float<bf16>(to_float(to[e]) + to_float(x.v[e])) : x.v[e];
    }
}

// Which of up to 64 keys of a tile count, asked for a tile ahead: begin reads the mask, bits makes one word of it.
template <int Keys>
struct KeyFlags
{
    bool low, high;

    __device__ __forceinline__ void begin(const float* mask, int first, int keys, int lane)
    {
        int j = first + lane;
        low = j < keys && (mask == nullptr || mask[j] != 0.0f);
        high = Keys > 32 && j + 32 < keys && (mask == nullptr || mask[j + 32] != 0.0f);
    }

    __device__ __forceinline__ u64 bits() const
    {
        u64 first = __ballot_sync(0xffffffffu, low);
        return Keys > 32 ? first | (u64)__ballot_sync(0xffffffffu, high) << 32 : first;
    }

    static constexpr u64 kAll = Keys > 32 ? ~0ull : 0xffffffffull;
};
