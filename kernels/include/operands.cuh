// Operands that are matrices in memory: copies of their tiles to shared memory, one step of K after the other. Elements past
// the ends are zero.
#pragma once
#include "tile.cuh"

// [size, depth], depth contiguous: rows of A, or columns of a transposed B.
template <typename Tile, typename T, int Threads, bool Aligned>
struct MatrixKMajor
{
    ThreadChunks<Tile, Threads> chunks;
    const T* source; // of the next step's first row
    int ld;
    int left;  // rows from the first one on
    int depth; // elements of K from the next chunk on

    __device__ __forceinline__ MatrixKMajor(const void* address, int row, int size, int total, int first_row, int first_step)
    {
        int k = first_step * step_elements<T> + chunks.chunk * chunk_elements<T>;
        source = (const T*)address + (i64)(first_row + chunks.row) * row + k;
        ld = row;
        left = size - first_row - chunks.row;
        depth = total - k;
    }

    __device__ __forceinline__ void load(char* tile)
    {
        int valid = clamp_chunk(depth, chunk_elements<T>);
        const T* from = source;
#pragma unroll
        for (int i = 0; i < chunks.count; i++)
        {
            copy_chunk<T, Aligned>(chunks.at(tile, i), from, i * chunks.step < left ? valid : 0);
            from += (i64)chunks.step * ld;
        }

        source += step_elements<T>;
        depth -= step_elements<T>;
    }
};

// [depth, size], size contiguous: a transposed A, or B.
template <typename Tile, typename T, int Threads, bool Aligned>
struct MatrixMnMajor
{
    ThreadChunks<Tile, Threads> chunks;
    const T* source; // of the next row k
    i64 row_step;
    int valid; // elements of the chunk
    int depth; // rows k from the next one on

    __device__ __forceinline__ MatrixMnMajor(const void* address, i64 ld, int size, int total, int first_column, int first_step)
    {
        int k = first_step * step_elements<T> + chunks.row, column = first_column + chunks.chunk * chunk_elements<T>;
        source = (const T*)address + k * ld + column;
        row_step = chunks.step * ld;
        valid = clamp_chunk(size - column, chunk_elements<T>);
        depth = total - k;
    }

    __device__ __forceinline__ void load(char* tile)
    {
#pragma unroll
        for (int i = 0; i < chunks.count; i++)
        {
            copy_chunk<T, Aligned>(chunks.at(tile, i), source, i * chunks.step < depth ? valid : 0);
            source += row_step; // after the last one: the next step's first
        }

        depth -= step_elements<T>;
    }
};
