// Sums over the rows of a matrix, one thread for some neighbouring columns: a block is rows x columns threads (thread
// ty·columns + tx), each with V elements of every rows-th row. Threads beyond rows·columns only help at the end.
#pragma once
#include "reduce.cuh"

struct Columns
{
    int tx, ty, columns, rows;

    __device__ __forceinline__ Columns(int columns, int rows)
        : tx((int)threadIdx.x % columns), ty((int)threadIdx.x / columns), columns(columns), rows(rows)
    {
    }

    __device__ __forceinline__ bool inside() const { return ty < rows; }

    // Where the numbers of column i (0 to V·columns-1) of the block lie in an array of one number a column.
    template <int V>
    __device__ __forceinline__ int slot(int i) const
    {
        return i % V * columns + i / V;
    }

    template <int V>
    __device__ __forceinline__ int own_slot(int j) const
    {
        return j * columns + tx;
    }
};

// Floats of shared memory that column_totals needs as its buffer for width = V·columns columns.
__device__ __forceinline__ int totals_buffer(int width, int rows) { return rows * (2 * width + 1); }

// totals[slot] = Σ over the block's rows of a, totals[V·columns + slot] = the same of b. All threads call; totals can be read
// on return.
template <int V>
__device__ __forceinline__ void column_totals(
    const Columns& at, const float (&a)[V], const float (&b)[V], float* buffer, float* totals)
{
    int items = 2 * V * at.columns, pitch = items + 1;
    if (at.inside())
    {
        float* row = buffer + at.ty * pitch;
#pragma unroll
        for (int j = 0; j < V; j++)
        {
            row[at.own_slot<V>(j)] = a[j];
            row[V * at.columns + at.own_slot<V>(j)] = b[j];
        }
    }

    __syncthreads();
    if (at.rows >= 32)
    {
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
        for (int i = warp; i < items; i += warps)
        {
            float sum = 0;
            for (int r = lane; r < at.rows; r += 32)
                sum += buffer[r * pitch + i];
            sum = warp_reduce<Sum>(sum);
            if (lane == 0)
                totals[i] = sum;
        }
    }
    else
    {
        for (int i = threadIdx.x; i < items; i += blockDim.x)
        {
            float sum = 0;
            for (int r = 0; r < at.rows; r++)
                sum += buffer[r * pitch + i];
            totals[i] = sum;
        }
    }

    __syncthreads();
}
