// Bytes: zeroing and copies of rows, of any element type. The launcher takes the widest unit (16, 8, 4, 2 or 1 bytes) that
// divides addresses, rows and strides.
//
// Layout: row r begins r stride units after its pointer and has cols units. Launch: blocks of 256 threads, grid-stride,
// four units per thread and round. Limit: 2 bytes moved per byte copied / 3 TB/s; joining two [32,64,64,256] bfloat16
// tensors (67 MB each) in two calls: 268 MB, 90 us.
//
//   version                                                 measured
//   1  16-byte units where they fit, four in flight         not measured yet
#include "flat.cuh"

struct __align__(16) Unit16
{
    u32 v[4];
};

struct __align__(8) Unit8
{
    u32 v[2];
};

extern "C" __global__ __launch_bounds__(256) void zero_bytes(i64 bytes, u8* y)
{
    const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    const i64 place = (i64)((u64)y & 15), wanted = (16 - place) & 15;
    const i64 before = wanted < bytes ? wanted : bytes, vectors = (bytes - before) / 16, rest = bytes - 16 * vectors;
    for (i64 i = thread; i < vectors; i += threads)
        *reinterpret_cast<Unit16*>(y + before + 16 * i) = Unit16{{0, 0, 0, 0}};
    for (i64 i = thread; i < rest; i += threads)
        y[i < before ? i : i + 16 * vectors] = 0;
}

template <typename U>
__device__ __forceinline__ void copy_rows(i64 units, u32 cols, const U* source, i64 source_stride, U* target, i64 target_stride)
{
    constexpr int AT_ONCE = 4;
    const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    for (i64 first = thread; first < units; first += AT_ONCE * threads)
    {
        U u[AT_ONCE];
        i64 to[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
        {
            u64 row;
            u32 col;
            divide((u64)(first + k * threads), cols, row, col);
            to[k] = (i64)row * target_stride + col;
            if (first + k * threads < units)
                u[k] = source[(i64)row * source_stride + col];
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            if (first + k * threads < units)
                target[to[k]] = u[k];
    }
}

#define COPY_ROWS(bytes, U)                                                                             \
    extern "C" __global__ __launch_bounds__(256) void copy_rows_##bytes(                                \
        i64 units, int cols, const U* source, i64 source_stride, U* target, i64 target_stride)          \
    {                                                                                                   \
        copy_rows(units, (u32)cols, source, source_stride, target, target_stride);                      \
    }

COPY_ROWS(16, Unit16)
COPY_ROWS(8, Unit8)
COPY_ROWS(4, u32)
COPY_ROWS(2, u16)
COPY_ROWS(1, u8)
