// Where the sums of a tile go. A thread of wgmma holds pairs of neighbouring columns; four lanes that share a row exchange
// theirs, so that each has 8 neighbouring columns and stores 16 bytes of bfloat16 at once.
#pragma once
#include "hopper.cuh"
#include "output.cuh"

// Rows of a tile that follow each other in the output.
struct FirstRows
{
    int first, total;

    __device__ __forceinline__ i64 operator()(int row) const { return first + row < total ? first + row : -1; }
};

struct FirstColumns
{
    int first, total;

    __device__ __forceinline__ int operator()(int group, int& column) const
    {
        column = first + 32 * group;
        return total - column;
    }
};

// Row of a consumer's tile that this thread holds, beside the row 8 further down.
__device__ __forceinline__ int hopper_row(int consumer)
{
    return consumer * 64 + threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
}

// The 8 accumulators of 32 columns of one row: piece p = 2 (columns / 32) + (row 8 further down).
template <int P, int A>
__device__ __forceinline__ void hopper_take(const float (&d)[A], float (&even)[4], float (&odd)[4])
{
    constexpr int first = P < A / 8 ? P / 2 * 16 + P % 2 * 2 : 0;
#pragma unroll
    for (int i = 0; i < 4; ++i)
    {
        even[i] = d[first + 4 * i];
        odd[i] = d[first + 4 * i + 1];
    }
}

// Stores d[64 x N]. rows(r): the row of the output for row r of the tile, or -1 if there is none. columns(g, column): how many
// columns exist from 32 g on, and which is the first. The loop is not unrolled: what follows a product is long, and there
// are 16 pieces of 128x256; a branch by piece picks its registers.
template <int N, typename Rows, typename Columns>
__device__ __forceinline__ void hopper_store(
    const float (&d)[N / 2], const Output& o, int split, int rows_total, int consumer, const Rows& rows, const Columns& columns)
{
    int q = threadIdx.x % 4;
    i64 near = rows(hopper_row(consumer)), far = rows(hopper_row(consumer) + 8);
#pragma unroll 1
    for (int piece = 0; piece < N / 16; ++piece)
    {
        float even[4], odd[4];
        switch (piece)
        {
#define TAKE(p)                       \
    case p:                           \
        hopper_take<p>(d, even, odd); \
        break;
            TAKE(1) TAKE(2) TAKE(3) TAKE(4) TAKE(5) TAKE(6) TAKE(7)
            TAKE(8) TAKE(9) TAKE(10) TAKE(11) TAKE(12) TAKE(13) TAKE(14) TAKE(15)
#undef TAKE
        default:
            hopper_take<0>(d, even, odd);
        }

        quad_transpose(even);
        quad_transpose(odd);
        float v[8] = {even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]};
        i64 row = piece % 2 ? far : near;
        int column, count = min(columns(piece / 2, column) - 8 * q, 8);
        column += 8 * q;
        if (row < 0 || count <= 0)
            continue;
        if (o.partial != nullptr)
            write_values(o.partial + ((i64)split * rows_total + row) * o.columns + column, 8, true, v);
        else
            finish<bf16>(o, row * o.ldc + column, column, count, v);
    }
}
