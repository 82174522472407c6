// Sums and maxima over the threads of a warp and of a block, in a fixed order. Every thread gets the result. V is float or
// double.
#pragma once
#include "types.cuh"

struct Sum
{
    template <typename V>
    __device__ __forceinline__ static V identity()
    {
        return 0;
    }

    template <typename V>
    __device__ __forceinline__ static V join(V a, V b)
    {
        return a + b;
    }
};

struct Max
{
    template <typename V>
    __device__ __forceinline__ static V identity()
    {
        return -__int_as_float(0x7f800000);
    }

    __device__ __forceinline__ static float join(float a, float b) { return fmaxf(a, b); }
};

template <typename Op, typename V>
__device__ __forceinline__ V warp_reduce(V x)
{
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
        x = Op::join(x, __shfl_xor_sync(0xffffffffu, x, offset));
    return x;
}

// scratch: 32 numbers of shared memory. The block is one-dimensional and has a multiple of 32 threads; all of them call.
template <typename Op, typename V>
__device__ __forceinline__ V block_reduce(V x, V* scratch)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    x = warp_reduce<Op>(x);
    __syncthreads(); // whoever read scratch before is done
    if (lane == 0)
        scratch[warp] = x;
    __syncthreads();
    return warp_reduce<Op>(lane < warps ? scratch[lane] : Op::template identity<V>());
}
