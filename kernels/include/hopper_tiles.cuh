// Matrices in shared memory as the tensor copy unit of Hopper writes them and wgmma reads them: lines of 128 bytes (64 bfloat16)
// with the 128-byte swizzle (16-byte chunk c of line l lies at chunk c ^ l % 8). More than 64 columns are blocks of 64, one after
// another, each a multiple of 1,024 bytes.
//   K-major      line = row of A or column of B, its 64 values of k;  8 lines are 1,024 bytes: the stride of the descriptor
//   M-/N-major   line = one k, 64 rows of A or columns of B;          8 lines of k are the stride, a block the leading offset
// A step of wgmma is 16 deep in k: 32 bytes further inside the lines (K-major) or 16 lines further (M-/N-major).
#pragma once
#include "types.cuh"

constexpr int HopperLine = 128;

// A matrix as wgmma wants it described: address, offsets in units of 16 bytes, swizzle. Lines: of a block of 64 columns.
template <int Transposed, int Lines = 64>
__device__ __forceinline__ u64 hopper_descriptor(const u8* p)
{
    constexpr u64 swizzle_128 = 1, stride = 8 * HopperLine / 16;
    constexpr u64 leading = Transposed ? Lines * HopperLine / 16 : 1; // not used when K-major
    return (u64)((shared_address(p) & 0x3ffff) >> 4) | leading << 16 | stride << 32 | swizzle_128 << 62;
}

// The first multiple of 1,024 bytes.
__device__ __forceinline__ u8* hopper_aligned(u8* memory) { return memory + (1024 - shared_address(memory) % 1024) % 1024; }

// v[i] of lane q becomes v[q] of lane i, among the four lanes of a row. A thread of wgmma holds pairs of neighbouring columns;
// so each gets 8 neighbouring columns and stores 16 bytes of bfloat16 at once.
__device__ __forceinline__ void quad_transpose(float (&v)[4])
{
    int q = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < 4; i += 2)
    {
        float got = __shfl_xor_sync(0xffffffffu, q & 1 ? v[i] : v[i + 1], 1);
        (q & 1 ? v[i] : v[i + 1]) = got;
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
    {
        float got = __shfl_xor_sync(0xffffffffu, q & 2 ? v[i] : v[i + 2], 2);
        (q & 2 ? v[i] : v[i + 2]) = got;
    }
}
