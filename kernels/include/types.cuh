// Types, conversions and macros that every kernel shares. No CUDA header is needed: NVRTC has the vector types and
// intrinsics built in, bfloat16 is ours. The emulator (tests/CudaEmulator) defines MDM_EMULATOR and brings its own
// versions of the macros and of ptx.cuh.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// Shared memory. SHARED(float, sums[32]); declares a static array of the block, DYNAMIC_SHARED(float, tile); a pointer to
// the bytes given at launch (128-byte aligned). Contents are undefined at first.
#ifndef MDM_EMULATOR
#define SHARED(type, declarator) __shared__ type declarator
#define DYNAMIC_SHARED(type, name)                                  \
    extern __shared__ __align__(128) unsigned char dynamic_shared[]; \
    type* name = reinterpret_cast<type*>(dynamic_shared)
#endif

#include "ptx.cuh"

// The element type of activations: each file is compiled once for float and once for bf16 (-DMDM_T=bf16).
struct __align__(2) bf16
{
    u16 bits;
};

// N elements that are loaded and stored at once; the address must be a multiple of the size.
template <typename T, int N>
struct __align__(sizeof(T) * N) Vec
{
    T v[N];
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

template <typename T>
__device__ __forceinline__ T from_float(float x);

template <>
__device__ __forceinline__ float from_float<float>(float x)
{
    return x;
}

// Round to nearest even; NaN stays NaN.
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x)
{
    return bf16{(u16)bf16_bits(x)};
}

// Two floats as a pair of bfloat16, the first in the low half.
__device__ __forceinline__ u32 pack_bf16(float low, float high) { return bf16_pair(low, high); }
