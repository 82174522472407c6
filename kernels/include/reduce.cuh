// Sums and maxima over the threads of a warp and of a block, in a fixed order. Every thread gets the result.
#pragma once
#include "types.cuh"

struct Sum
{
    __device__ static float identity() { return 0.0f; }
    __device__ static float join(float a, float b) { return a + b; }
};

struct Max
{
    __device__ static float identity() { return -__int_as_float(0x7f800000); }
    __device__ static float join(float a, float b) { return fmaxf(a, b); }
};

template <typename Op>
__device__ __forceinline__ float warp_reduce(float x)
{
    for (int offset = 16; offset > 0; offset /= 2)
        x = Op::join(x, __shfl_xor_sync(0xffffffffu, x, offset));
    return x;
}

// scratch: 32 floats of shared memory. The block is one-dimensional and has a multiple of 32 threads; all of them call.
template <typename Op>
__device__ __forceinline__ float block_reduce(float x, float* scratch)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    x = warp_reduce<Op>(x);
    __syncthreads(); // whoever read scratch before is done
    if (lane == 0)
        scratch[warp] = x;
    __syncthreads();
    return warp_reduce<Op>(lane < warps ? scratch[lane] : Op::identity());
}
