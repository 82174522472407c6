// Moves of blocks between axes, and rotary positions.
//
//   copy_blocks   y[o to.outer + r to.row + c to.col + i] (+)= x[o from.outer + r from.row + c from.col + i], i < inner:
//                 frames between a grid and the batch, frames between the batch and pixels, repetition (a distance of 0)
//   rotate        (y[2j], y[2j+1]) (+)= (x[2j], x[2j+1]) turned by t 10000^(-2k/d): row r has the position t = r mod positions,
//                 its j-th pair the frequency k = j mod d/2
//
// Layout: distances in elements. Launch: blocks of 256 threads, grid-stride; one element or 16 bytes per thread (_wide, where
// addresses, blocks and distances are multiples of that), one pair for rotate. Limit: bytes of x and y / 3 TB/s, e.g. 4 frames
// of [32,64,64,256] bfloat16: 537 MB, 180 us.
//
//   version                        measured
//   1  one unit per thread         not measured yet
#include "flat.cuh"

typedef MDM_T Element;

template <int N>
__device__ __forceinline__ void copy(i64 units, u32 rows, u32 cols, u32 groups, const Element* x, i64 from_outer, i64 from_row,
    i64 from_col, Element* y, i64 to_outer, i64 to_row, i64 to_col, bool accumulate)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        u64 block, line, outer;
        u32 group, c, r;
        divide((u64)i, groups, block, group);
        divide(block, cols, line, c);
        divide(line, rows, outer, r);
        float v[N];
        load(x + (i64)outer * from_outer + r * from_row + c * from_col + (i64)group * N, v);
        put_pack(y + (i64)outer * to_outer + r * to_row + c * to_col + (i64)group * N, v, accumulate);
    }
}

#define COPY_BLOCKS(name, N)                                                                                          \
    extern "C" __global__ __launch_bounds__(256) void name(i64 units, int rows, int cols, int groups, const Element* x, \
        i64 from_outer, i64 from_row, i64 from_col, Element* y, i64 to_outer, i64 to_row, i64 to_col, bool accumulate)  \
    {                                                                                                                 \
        copy<N>(units, (u32)rows, (u32)cols, (u32)groups, x, from_outer, from_row, from_col, y, to_outer, to_row,     \
            to_col, accumulate);                                                                                      \
    }

COPY_BLOCKS(copy_blocks, 1)
COPY_BLOCKS(copy_blocks_wide, Widest<Element>::N)

// units = rows · columns / 2. Frequency and angle are rounded to float32, as those of the time embedding are.
extern "C" __global__ __launch_bounds__(256) void rotate(i64 units, int columns, int pairs, int positions, float step, float sign,
    const Element* x, i64 x_stride, Element* y, i64 y_stride, bool accumulate)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        u64 row;
        u32 j;
        divide((u64)i, (u32)columns, row, j);
        const int k = (int)(j % (u32)pairs), t = (int)(row % (u32)positions);
        const float angle = (float)t * (float)exp((double)((float)k * step));
        const float cosine = cosf(angle), sine = sign * sinf(angle);
        const Element* from = x + (i64)row * x_stride + 2 * j;
        Element* to = y + (i64)row * y_stride + 2 * j;
        const float a = to_float(from[0]), b = to_float(from[1]);
        const float first = a * cosine - b * sine, second = b * cosine + a * sine;
        to[0] = from_float<Element>(accumulate ? to_float(to[0]) + first : first);
        to[1] = from_float<Element>(accumulate ? to_float(to[1]) + second : second);
    }
}
