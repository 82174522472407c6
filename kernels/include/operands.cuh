// Operands that are matrices in memory: copies of their tiles to shared memory. Elements past the ends are zero.
#pragma once
#include "tile.cuh"

// [size, depth], depth contiguous: rows of A, or columns of a transposed B.
template <typename Tile, typename T, int Threads, bool Aligned>
struct MatrixKMajor
{
    ThreadChunks<Tile, Threads> chunks;
    const T* matrix;
    const T* source;
    i64 step;
    int left, depth;

    __device__ __forceinline__ MatrixKMajor(const void* address, i64 ld, int size, int total, int first)
    {
        matrix = (const T*)address;
        source = matrix + (first + chunks.row) * ld + chunks.chunk * chunk_elements<T>;
        step = chunks.step * ld;
        left = size - first - chunks.row;
        depth = total - chunks.chunk * chunk_elements<T>;
    }

    __device__ __forceinline__ void load(char* tile, int k_tile)
    {
        int k = k_tile * step_elements<T>, valid = clamp_chunk(depth - k, chunk_elements<T>);
        const T* from = source + k;
#pragma unroll
        for (int i = 0; i < chunks.count; i++)
        {
            bool inside = valid > 0 && i * chunks.step < left;
            copy_chunk<T, Aligned>(chunks.at(tile, i), inside ? from + i * step : matrix, inside ? valid : 0);
        }
    }
};

// [depth, size], size contiguous: a transposed A, or B.
template <typename Tile, typename T, int Threads, bool Aligned>
struct MatrixMnMajor
{
    ThreadChunks<Tile, Threads> chunks;
    const T* matrix;
    const T* source;
    i64 ld;
    int valid, depth;

    __device__ __forceinline__ MatrixMnMajor(const void* address, i64 row, int size, int total, int first)
    {
        matrix = (const T*)address;
        ld = row;
        int column = first + chunks.chunk * chunk_elements<T>;
        source = matrix + chunks.row * ld + column;
        valid = clamp_chunk(size - column, chunk_elements<T>);
        depth = total - chunks.row;
    }

    __device__ __forceinline__ void load(char* tile, int k_tile)
    {
        int k = k_tile * step_elements<T>;
        const T* from = source + k * ld;
#pragma unroll
        for (int i = 0; i < chunks.count; i++)
        {
            bool inside = valid > 0 && k + i * chunks.step < depth;
            copy_chunk<T, Aligned>(chunks.at(tile, i), inside ? from + i * chunks.step * ld : matrix, inside ? valid : 0);
        }
    }
};
