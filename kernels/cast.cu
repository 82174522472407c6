// Casts between float32, bfloat16, float16 and float64, and of uint8, int32 and int64 to float32. Every cast rounds once, to
// nearest even: float64 goes to the 16-bit types through a float32 that is rounded to odd (towards zero, with the last
// bit set if anything was lost), which keeps the second rounding right.
//
// Layout: flat. Launch: blocks of 256 threads, eight elements per thread and round, grid-stride; single elements where an
// address is not a multiple of 16 bytes. Limit: bytes of both types / 3 TB/s; 461 M float32 to bfloat16: 2.8 GB, 0.92 ms.
//
//   version                              measured
//   1  eight elements per thread         not measured yet
#include "flat.cuh"

struct __align__(2) f16
{
    u16 bits;
};

__device__ __forceinline__ u32 magnitude_bits(float x) { return __float_as_uint(x) & 0x7fffffffu; }

// float32 towards zero, with the last bit set if anything was lost.
__device__ __forceinline__ float round_to_odd(double x)
{
    const float f = (float)x;
    if ((double)f == x || x != x)
        return f;
    u32 bits = __float_as_uint(f);
    if (fabs((double)f) > fabs(x))
        bits--;
    return __uint_as_float(bits | 1u);
}

__device__ __forceinline__ float half_to_float(f16 x)
{
    const u32 sign = (u32)(x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) // infinity and NaN
        return __uint_as_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x0400u) // multiples of 2^-24
        return __uint_as_float(sign | __float_as_uint((float)(int)magnitude * 5.9604644775390625e-8f));
    return __uint_as_float(sign | ((magnitude << 13) + (112u << 23)));
}

__device__ __forceinline__ f16 float_to_half(float x)
{
    const u32 sign = __float_as_uint(x) >> 16 & 0x8000u, magnitude = magnitude_bits(x);
    u32 half;
    if (magnitude > 0x7f800000u)
        half = 0x7e00u;
    else if (magnitude >= 0x47800000u) // 2^16
        half = 0x7c00u;
    else if (magnitude < 0x38800000u) // 2^-14; adding 1/2, whose last bit is 2^-24, rounds to multiples of 2^-24
        half = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000u;
    else
        half = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13;
    return f16{(u16)(sign | half)};
}

// What an element is read as: a type that holds it exactly.
__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return to_float(x); }
__device__ __forceinline__ float widen(f16 x) { return half_to_float(x); }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ u32 widen(u8 x) { return x; }
__device__ __forceinline__ int widen(int x) { return x; }
__device__ __forceinline__ i64 widen(i64 x) { return x; }

// What the 16-bit types are rounded from.
__device__ __forceinline__ float narrow(float x) { return x; }
__device__ __forceinline__ float narrow(double x) { return round_to_odd(x); }

template <typename W>
__device__ __forceinline__ void convert(W x, float& y)
{
    y = (float)x;
}

template <typename W>
__device__ __forceinline__ void convert(W x, double& y)
{
    y = x;
}

template <typename W>
__device__ __forceinline__ void convert(W x, bf16& y)
{
    y = from_float<bf16>(narrow(x));
}

template <typename W>
__device__ __forceinline__ void convert(W x, f16& y)
{
    y = float_to_half(narrow(x));
}

template <typename S, typename T>
__device__ __forceinline__ void cast(i64 n, const S* x, T* y)
{
    constexpr int N = 8, FROM = N < Widest<S>::N ? N : Widest<S>::N, TO = N < Widest<T>::N ? N : Widest<T>::N;
    const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    const i64 vectors = (((u64)x | (u64)y) & 15) == 0 ? n / N : 0;
    for (i64 i = thread; i < vectors; i += threads)
    {
        Vec<S, FROM> from[N / FROM];
        Vec<T, TO> to[N / TO];
#pragma unroll
        for (int k = 0; k < N / FROM; k++)
            from[k] = reinterpret_cast<const Vec<S, FROM>*>(x + i * N)[k];
#pragma unroll
        for (int k = 0; k < N; k++)
            convert(widen(from[k / FROM].v[k % FROM]), to[k / TO].v[k % TO]);
#pragma unroll
        for (int k = 0; k < N / TO; k++)
            reinterpret_cast<Vec<T, TO>*>(y + i * N)[k] = to[k];
    }
    for (i64 i = vectors * N + thread; i < n; i += threads)
        convert(widen(x[i]), y[i]);
}

#define CAST(from, S, to, T)                                                                              \
    extern "C" __global__ __launch_bounds__(256) void cast_##from##_##to(i64 n, const S* x, T* y) \
    {                                                                                                     \
        cast(n, x, y);                                                                                    \
    }

CAST(f32, float, bf16, bf16)
CAST(f32, float, f16, f16)
CAST(f32, float, f64, double)
CAST(bf16, bf16, f32, float)
CAST(bf16, bf16, f16, f16)
CAST(bf16, bf16, f64, double)
CAST(f16, f16, f32, float)
CAST(f16, f16, bf16, bf16)
CAST(f16, f16, f64, double)
CAST(f64, double, f32, float)
CAST(f64, double, bf16, bf16)
CAST(f64, double, f16, f16)
CAST(u8, u8, f32, float)
CAST(i32, int, f32, float)
CAST(i64, i64, f32, float)
