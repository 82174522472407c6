// What the kernels of attention are given, and where a head's rows lie.
#pragma once
#include "types.cuh"

// The launcher has the same structure (AttentionArguments in CudaKernels.Attention.cs). Row i of sample b is row b*count+i,
// rows are `Stride` elements apart, head h owns columns h*width.. of every one of them.
struct AttentionArguments
{
    const void *q, *k, *v;
    void* o;                     // written by the forward pass, read by the backward pass
    const void* dO;              // backward only, as everything up to delta
    void *dq, *dk, *dv;          // null: not wanted
    float* delta;                // [batch,heads,queries]: sum over the head's columns of dO * o
    float* logSumExp;            // [batch,heads,queries]; natural logarithm, -infinity where no key counts
    const float *mask;           // [batch,keys], null: every key counts
    const float* bias;           // [heads,queries,keys], null: none
    int qStride, kStride, vStride, oStride, dOStride, dqStride, dkStride, dvStride;
    int batch, heads, width, queries, keys;
    float scale;
    int vector;                  // every row of activations is aligned to 16 bytes, and the width to 16 bytes' elements
    int addQ, addK, addV;        // whether the gradient is added to what is there
};

constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.693147180559945309f;

__device__ __forceinline__ float minus_infinity() { return -__int_as_float(0x7f800000); }

// Row 0 of a sample's head.
template <typename T>
__device__ __forceinline__ const T* head_rows(const void* p, int stride, int sample, int rows, int column)
{
    return static_cast<const T*>(p) + (i64)sample * rows * stride + column;
}

template <typename T>
__device__ __forceinline__ T* head_rows(void* p, int stride, int sample, int rows, int column)
{
    return static_cast<T*>(p) + (i64)sample * rows * stride + column;
}

// Where a head's numbers begin that there is one of for each query.
__device__ __forceinline__ i64 query_numbers(const AttentionArguments& a, int sample, int head)
{
    return ((i64)sample * a.heads + head) * a.queries;
}
