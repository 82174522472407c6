// Walking through flat arrays: whole vectors of 16 bytes where addresses allow them, single elements elsewhere.
#pragma once
#include "vectors.cuh"

// How n elements split into single ones, then whole vectors of 16 bytes on their boundaries, then single ones. Every
// operand must be in the same place between two boundaries; else there are no vectors.
template <typename T>
struct Split
{
    i64 before;  // single elements ahead of the vectors
    i64 vectors;
    i64 rest;    // single elements altogether

    __device__ __forceinline__ Split(i64 n, const void* a, const void* b, const void* c)
    {
        u64 place = (u64)a & 15;
        bool same = ((u64)b & 15) == place && ((u64)c & 15) == place && place % sizeof(T) == 0;
        before = (i64)(((16 - place) & 15) / sizeof(T));
        vectors = same && n > before ? (n - before) / Widest<T>::N : 0;
        rest = n - vectors * Widest<T>::N;
        if (vectors == 0)
            before = n;
    }

    // Where the i-th of the single elements is.
    __device__ __forceinline__ i64 single(i64 i) const { return i < before ? i : i + vectors * Widest<T>::N; }
};

// i = quotient · d + remainder; most counts fit in 32 bits, where a division costs a quarter.
__device__ __forceinline__ void divide(u64 i, u32 d, u64& quotient, u32& remainder)
{
    if (i >> 32 == 0)
    {
        u32 q = (u32)i / d;
        quotient = q;
        remainder = (u32)i - q * d;
    }
    else
    {
        quotient = i / d;
        remainder = (u32)(i - quotient * d);
    }
}
