// Loads and stores of several elements at once, as floats, and which addresses allow them.
#pragma once
#include "types.cuh"

// Elements of T in 16 bytes, the widest access there is.
template <typename T>
constexpr int LANES = 16 / (int)sizeof(T);

// N elements from p, in accesses of at most 16 bytes: p is a multiple of 16 bytes, or of N elements where they are fewer.
template <typename T, int N>
__device__ __forceinline__ void load(const T* p, float (&v)[N])
{
    constexpr int PIECE = N < LANES<T> ? N : LANES<T>;
#pragma unroll
    for (int i = 0; i < N; i += PIECE)
    {
        Vec<T, PIECE> piece = *reinterpret_cast<const Vec<T, PIECE>*>(p + i);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            v[i + j] = to_float(piece.v[j]);
    }
}

template <typename T, int N>
__device__ __forceinline__ void store(T* p, const float (&v)[N])
{
    constexpr int PIECE = N < LANES<T> ? N : LANES<T>;
#pragma unroll
    for (int i = 0; i < N; i += PIECE)
    {
        if constexpr (sizeof(T) == 2 && PIECE > 1)
        {
            Vec<u32, PIECE / 2> pairs;
#pragma unroll
            for (int j = 0; j < PIECE; j += 2)
                pairs.v[j / 2] = pack_bf16(v[i + j], v[i + j + 1]);
            *reinterpret_cast<Vec<u32, PIECE / 2>*>(p + i) = pairs;
        }
        else
        {
            Vec<T, PIECE> piece;
#pragma unroll
            for (int j = 0; j < PIECE; j++)
                piece.v[j] = from_float<T>(v[i + j]);
            *reinterpret_cast<Vec<T, PIECE>*>(p + i) = piece;
        }
    }
}

// Puts v in place of what is there, or adds it to that.
template <typename T, int N>
__device__ __forceinline__ void put(T* p, float (&v)[N], bool accumulate)
{
    if (accumulate)
    {
        float old[N];
        load(p, old);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] += old[i];
    }
    store(p, v);
}

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
        vectors = same && n > before ? (n - before) / LANES<T> : 0;
        rest = n - vectors * LANES<T>;
        if (vectors == 0)
            before = n;
    }

    // Where the i-th of the single elements is.
    __device__ __forceinline__ i64 single(i64 i) const { return i < before ? i : i + vectors * LANES<T>; }
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
