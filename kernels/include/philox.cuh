// Philox4x32-10 (Salmon et al., 2011): the same bits as Philox.cs and the CPU. Element i is word i mod 4 of the block whose
// counter is (i/4, stream) under the key seed.
#pragma once
#include "types.cuh"

__device__ __forceinline__ void philox(u64 seed, u64 stream, u64 block, u32 (&words)[4])
{
    u32 a = (u32)block, b = (u32)(block >> 32), c = (u32)stream, d = (u32)(stream >> 32);
    u32 key0 = (u32)seed, key1 = (u32)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++)
    {
        const u64 p0 = (u64)0xD2511F53u * a, p1 = (u64)0xCD9E8D57u * c;
        a = (u32)(p1 >> 32) ^ b ^ key0;
        b = (u32)p1;
        c = (u32)(p0 >> 32) ^ d ^ key1;
        d = (u32)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    words[0] = a;
    words[1] = b;
    words[2] = c;
    words[3] = d;
}

// In [0,1): a multiple of 2^-24.
__device__ __forceinline__ float uniform_number(u32 word) { return (float)(int)(word >> 8) * 5.9604644775390625e-8f; }

// Box and Muller's transform of two words: two standard normal numbers. Every step is one IEEE operation, in the order that
// CpuKernels.Random.cs writes down, and none is a product that is added to something, which a compiler might fuse.
__device__ __forceinline__ void normal_numbers(u32 first, u32 second, float& x, float& y)
{
    const float u1 = (float)(int)((first >> 8) + 1) * 5.9604644775390625e-8f;
    const int e = (int)(__float_as_uint(u1) - 0x3F3504F3u) >> 23;
    const float f = __uint_as_float(__float_as_uint(u1) - ((u32)e << 23)) - 1.0f, exponent = (float)e;
    float p = 0.0697307040919f;
    p = fmaf(p, f, -0.114814772411f);
    p = fmaf(p, f, 0.116857196391f);
    p = fmaf(p, f, -0.124254865607f);
    p = fmaf(p, f, 0.142490093223f);
    p = fmaf(p, f, -0.166678085763f);
    p = fmaf(p, f, 0.200007171956f);
    p = fmaf(p, f, -0.249999969116f);
    p = fmaf(p, f, 0.333333311743f);
    const float z = f * f;
    float t = fmaf(f * z, p, exponent * -2.12194440e-4f);
    t = fmaf(z, -0.5f, t);
    const float radius = sqrtf(-2.0f * fmaf(exponent, 0.693359375f, f + t));

    const u32 k = second >> 8, q = (k + (1u << 21)) >> 22;
    const float angle = (float)(int)(k - (q << 22)) * 3.74507028e-7f, square = angle * angle;
    float s = fmaf(-0.000195878908804f, square, 0.00833274827063f);
    s = fmaf(s, square, -0.166666646623f);
    s = fmaf(s * square, angle, angle);
    float c = fmaf(2.45479420851e-5f, square, -0.00138883030359f);
    c = fmaf(c, square, 0.0416666646595f);
    c = fmaf(square * square, c, fmaf(square, -0.5f, 1.0f));
    const float cosine = __uint_as_float(__float_as_uint(q & 1 ? s : c) ^ ((q + 1) & 2) << 30);
    const float sine = __uint_as_float(__float_as_uint(q & 1 ? c : s) ^ (q & 2) << 30);
    x = radius * cosine;
    y = radius * sine;
}
