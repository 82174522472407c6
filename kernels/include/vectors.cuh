// Elements that travel together: Pack<T, N> is what one load or store moves, 16 bytes, four elements or a single one.
#pragma once
#include "types.cuh"

// Elements of 16 bytes.
template <typename T>
struct Widest
{
    static const int N = 16 / sizeof(T);
};

template <typename T, int N>
struct Pack;

template <typename T>
struct Pack<T, 1>
{
    T v;

    __device__ __forceinline__ float at(int) const { return to_float(v); }
    __device__ __forceinline__ void set(const float (&x)[1]) { v = from_float<T>(x[0]); }
};

template <>
struct __align__(16) Pack<float, 4>
{
    float v[4];

    __device__ __forceinline__ float at(int i) const { return v[i]; }
    __device__ __forceinline__ void set(const float (&x)[4])
    {
        v[0] = x[0];
        v[1] = x[1];
        v[2] = x[2];
        v[3] = x[3];
    }
};

template <>
struct __align__(16) Pack<bf16, 8>
{
    u32 v[4];

    __device__ __forceinline__ float at(int i) const
    {
        return __uint_as_float(i % 2 == 0 ? v[i / 2] << 16 : v[i / 2] & 0xffff0000u);
    }

    __device__ __forceinline__ void set(const float (&x)[8])
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = pack_bf16(x[2 * i], x[2 * i + 1]);
    }
};

template <>
struct __align__(8) Pack<bf16, 4>
{
    u32 v[2];

    __device__ __forceinline__ float at(int i) const
    {
        return __uint_as_float(i % 2 == 0 ? v[i / 2] << 16 : v[i / 2] & 0xffff0000u);
    }

    __device__ __forceinline__ void set(const float (&x)[4])
    {
        v[0] = pack_bf16(x[0], x[1]);
        v[1] = pack_bf16(x[2], x[3]);
    }
};

// p is a multiple of the pack's size.
template <int N, typename T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* p)
{
    return *reinterpret_cast<const Pack<T, N>*>(p);
}

// v[i] = p[i].
template <int N, typename T>
__device__ __forceinline__ void load(const T* p, float (&v)[N])
{
    Pack<T, N> pack = load_pack<N>(p);
#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] = pack.at(i);
}

template <int N, typename T>
__device__ __forceinline__ void store_pack(T* p, const float (&x)[N])
{
    Pack<T, N> pack;
    pack.set(x);
    *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

// p[i] = x[i], or p[i] += x[i].
template <int N, typename T>
__device__ __forceinline__ void put_pack(T* p, const float (&x)[N], bool accumulate)
{
    if (!accumulate)
    {
        store_pack<N>(p, x);
        return;
    }

    Pack<T, N> before = load_pack<N>((const T*)p);
    float sum[N];
#pragma unroll
    for (int i = 0; i < N; i++)
        sum[i] = before.at(i) + x[i];
    store_pack<N>(p, sum);
}

template <typename T>
__device__ __forceinline__ void put(T* p, float x, bool accumulate)
{
    *p = from_float<T>(accumulate ? to_float(*p) + x : x);
}
