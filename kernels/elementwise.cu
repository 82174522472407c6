// Functions of every element: z = f(x, y), per tensor or with coefficients per sample.
//
//   Silu       y = x s, s = 1/(1+e^-x)                dx = dy s (1 + x (1-s))
//   Gelu       y = x F(x), F = erfc(-x/sqrt 2)/2      dx = dy (F(x) + x e^(-x^2/2)/sqrt(2 pi))
//   Tanh       y = tanh x                             dx = dy 4e/(1+e)^2, e = e^(-2|x|)
//   GeluTanh   y = x s(2u), u = sqrt(2/pi) (x + 0.044715 x^3), dx = dy (s + x s (1-s) (2u)')
//   Clamp, LinearCombination, Multiply, SampleCombination, ClampToUnit: as in IKernels.cs
//
// Layout: flat arrays; [batch, inner] for what has coefficients per sample. In place is allowed; targets may be added to.
// Launch: blocks of 256 threads, two vectors of 16 bytes per thread and round, grid-stride; grid (x) or (x, samples).
// Bytes per element (bfloat16): one operand 4, two operands 6, added to another 2 more. Limit: bytes / 3 TB/s, e.g. Silu on
// [32,64,64,256] (33.5 M): 134 MB, 45 us.
//
//   version                                             measured
//   1  16-byte vectors, two in flight per thread        not measured yet
#include "flat.cuh"

// z[i] (+)= f(x[i], y[i]) for 0 <= i < n; f says how many of its arguments it uses.
template <typename T, typename F>
__device__ __forceinline__ void map(i64 n, const T* x, const T* y, T* z, bool accumulate, F f)
{
    constexpr int N = Widest<T>::N;
    const Split<T> split(n, z, F::INPUTS > 0 ? x : z, F::INPUTS > 1 ? y : z);
    const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    for (i64 first = thread; first < split.vectors; first += 2 * threads)
    {
        float a[2][N] = {}, b[2][N] = {}, old[2][N] = {};
#pragma unroll
        for (int k = 0; k < 2; k++)
        {
            const i64 at = split.before + (first + k * threads) * N;
            if (first + k * threads < split.vectors)
            {
                if (F::INPUTS > 0)
                    load(x + at, a[k]);
                if (F::INPUTS > 1)
                    load(y + at, b[k]);
                if (accumulate)
                    load(z + at, old[k]);
            }
        }
#pragma unroll
        for (int k = 0; k < 2; k++)
        {
            const i64 at = split.before + (first + k * threads) * N;
            if (first + k * threads < split.vectors)
            {
#pragma unroll
                for (int i = 0; i < N; i++)
                    a[k][i] = f(a[k][i], b[k][i]) + old[k][i];
                store_pack(z + at, a[k]);
            }
        }
    }
    for (i64 i = thread; i < split.rest; i += threads)
    {
        const i64 at = split.single(i);
        const float value = f(F::INPUTS > 0 ? to_float(x[at]) : 0.0f, F::INPUTS > 1 ? to_float(y[at]) : 0.0f);
        z[at] = from_float<T>(accumulate ? value + to_float(z[at]) : value);
    }
}

// e^-|x| and 1/(1+e^-|x|), from which come s(x) and 1-s(x) without overflow or cancellation.
struct Sigmoid
{
    float value, rest;

    __device__ __forceinline__ explicit Sigmoid(float x)
    {
        const float e = __expf(-fabsf(x)), r = 1.0f / (1.0f + e);
        value = x >= 0.0f ? r : e * r;
        rest = x >= 0.0f ? e * r : r;
    }
};

__device__ __forceinline__ float normal_cdf(float x) { return 0.5f * erfcf(x * -0.70710678f); }

struct Silu
{
    static constexpr int INPUTS = 1;
    __device__ __forceinline__ float operator()(float x, float) const { return x * Sigmoid(x).value; }
};

struct SiluBackward
{
    static constexpr int INPUTS = 2;
    __device__ __forceinline__ float operator()(float x, float dy) const
    {
        const Sigmoid s(x);
        return dy * (s.value * fmaf(x, s.rest, 1.0f));
    }
};

struct Gelu
{
    static constexpr int INPUTS = 1;
    __device__ __forceinline__ float operator()(float x, float) const { return x * normal_cdf(x); }
};

struct GeluBackward
{
    static constexpr int INPUTS = 2;
    __device__ __forceinline__ float operator()(float x, float dy) const
    {
        return dy * fmaf(x, 0.39894228f * expf(-0.5f * x * x), normal_cdf(x));
    }
};

struct Tanh
{
    static constexpr int INPUTS = 1;
    __device__ __forceinline__ float operator()(float x, float) const { return tanhf(x); }
};

struct TanhBackward
{
    static constexpr int INPUTS = 2;
    __device__ __forceinline__ float operator()(float x, float dy) const
    {
        const float e = expf(-2.0f * fabsf(x)), d = 1.0f + e;
        return dy * (4.0f * e / (d * d));
    }
};

// 2u of x; beyond +-12 the sigmoid is 0 or 1, and the cube of a large number would be infinite. NaN passes.
struct GeluTanhArgument
{
    float x, value, slope;

    __device__ __forceinline__ explicit GeluTanhArgument(float given)
    {
        x = given < -12.0f ? -12.0f : given > 12.0f ? 12.0f : given;
        value = x * fmaf(0.0713548162726f, x * x, 1.59576912161f);
        slope = fmaf(0.214064448818f, x * x, 1.59576912161f);
    }
};

struct GeluTanh
{
    static constexpr int INPUTS = 1;
    __device__ __forceinline__ float operator()(float x, float) const
    {
        return x * Sigmoid(GeluTanhArgument(x).value).value;
    }
};

struct GeluTanhBackward
{
    static constexpr int INPUTS = 2;
    __device__ __forceinline__ float operator()(float x, float dy) const
    {
        const GeluTanhArgument u(x);
        const Sigmoid s(u.value);
        return dy * (s.value * fmaf(u.x * s.rest, u.slope, 1.0f));
    }
};

// NaN passes, as through the comparisons.
struct Clamp
{
    static constexpr int INPUTS = 1;
    float low, high;
    __device__ __forceinline__ float operator()(float x, float) const { return x < low ? low : x > high ? high : x; }
};

struct ClampBackward
{
    static constexpr int INPUTS = 2;
    float low, high;
    __device__ __forceinline__ float operator()(float x, float dy) const { return x < low || x > high ? 0.0f : dy; }
};

struct Scale
{
    static constexpr int INPUTS = 1;
    float a;
    __device__ __forceinline__ float operator()(float x, float) const { return a * x; }
};

struct Combine
{
    static constexpr int INPUTS = 2;
    float a, b;
    __device__ __forceinline__ float operator()(float x, float y) const { return fmaf(a, x, b * y); }
};

struct Product
{
    static constexpr int INPUTS = 2;
    __device__ __forceinline__ float operator()(float x, float y) const { return x * y; }
};

struct ClampToUnit
{
    static constexpr int INPUTS = 1;
    float limit;
    __device__ __forceinline__ float operator()(float x, float) const
    {
        return (x < -limit ? -limit : x > limit ? limit : x) / limit;
    }
};

struct Constant
{
    static constexpr int INPUTS = 0;
    float value;
    __device__ __forceinline__ float operator()(float, float) const { return value; }
};

// y[r,c] += x[r,c] in rows of cols groups of N elements; a row begins that many elements after the one before.
template <int N, typename T>
__device__ __forceinline__ void add_strided(i64 units, u32 cols, const T* x, i64 x_stride, T* y, i64 y_stride)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        u64 row;
        u32 col;
        divide((u64)i, cols, row, col);
        float v[N];
        load(x + (i64)row * x_stride + (i64)col * N, v);
        put_pack(y + (i64)row * y_stride + (i64)col * N, v, true);
    }
}

typedef MDM_T Element;

#define UNARY(name, F)                                                                         \
    extern "C" __global__ __launch_bounds__(256) void name(i64 n, const Element* x, Element* y) \
    {                                                                                          \
        map(n, x, x, y, false, F());                                                           \
    }                                                                                          \
    extern "C" __global__ __launch_bounds__(256) void name##_backward(                         \
        i64 n, const Element* x, const Element* dy, Element* dx, int accumulate)               \
    {                                                                                          \
        map(n, x, dy, dx, accumulate != 0, F##Backward());                                     \
    }

UNARY(silu, Silu)
UNARY(gelu, Gelu)
UNARY(tanh_of, Tanh)
UNARY(gelu_tanh, GeluTanh)

extern "C" __global__ __launch_bounds__(256) void clamp(i64 n, float low, float high, const Element* x, Element* y)
{
    map(n, x, x, y, false, Clamp{low, high});
}

extern "C" __global__ __launch_bounds__(256) void clamp_backward(
    i64 n, float low, float high, const Element* x, const Element* dy, Element* dx, int accumulate)
{
    map(n, x, dy, dx, accumulate != 0, ClampBackward{low, high});
}

// y optional.
extern "C" __global__ __launch_bounds__(256) void linear_combination(
    i64 n, float a, const Element* x, float b, const Element* y, Element* z, int accumulate)
{
    if (y == nullptr)
        map(n, x, x, z, accumulate != 0, Scale{a});
    else
        map(n, x, y, z, accumulate != 0, Combine{a, b});
}

extern "C" __global__ __launch_bounds__(256) void multiply(
    i64 n, const Element* x, const Element* y, Element* z, int accumulate)
{
    map(n, x, y, z, accumulate != 0, Product());
}

extern "C" __global__ __launch_bounds__(256) void fill(i64 n, float value, Element* y)
{
    map(n, y, y, y, false, Constant{value});
}

// y with b optional. Blocks take samples blockIdx.y, blockIdx.y + gridDim.y, ...
extern "C" __global__ __launch_bounds__(256) void sample_combination(int batch, i64 inner, const float* a, const Element* x,
    const float* b, const Element* y, Element* z, int accumulate)
{
    for (int s = blockIdx.y; s < batch; s += gridDim.y)
    {
        const i64 at = s * inner;
        if (y == nullptr)
            map(inner, x + at, x + at, z + at, accumulate != 0, Scale{a[s]});
        else
            map(inner, x + at, y + at, z + at, accumulate != 0, Combine{a[s], b[s]});
    }
}

extern "C" __global__ __launch_bounds__(256) void clamp_to_unit(
    int batch, i64 inner, const float* limit, const Element* x, Element* y)
{
    for (int s = blockIdx.y; s < batch; s += gridDim.y)
        map(inner, x + s * inner, x + s * inner, y + s * inner, false, ClampToUnit{limit[s]});
}

// x[r,c] (+)= scale y[r]: the gradient of a sum over rows.
extern "C" __global__ __launch_bounds__(256) void spread_rows(
    i64 rows, i64 cols, float scale, const float* y, Element* x, int accumulate)
{
    for (i64 r = blockIdx.y; r < rows; r += gridDim.y)
        map(cols, x + r * cols, x + r * cols, x + r * cols, accumulate != 0, Constant{scale * y[r]});
}

// da (+)= (a-b) factor dloss[s], db (+)= -that; each of da, db is optional.
extern "C" __global__ __launch_bounds__(256) void squared_error_backward(int batch, i64 inner, float factor, const Element* a,
    const Element* b, const float* dloss, Element* da, int accumulate_a, Element* db, int accumulate_b)
{
    for (int s = blockIdx.y; s < batch; s += gridDim.y)
    {
        const i64 at = s * inner;
        const float slope = factor * dloss[s];
        if (da != nullptr)
            map(inner, a + at, b + at, da + at, accumulate_a != 0, Combine{slope, -slope});
        if (db != nullptr)
            map(inner, a + at, b + at, db + at, accumulate_b != 0, Combine{-slope, slope});
    }
}

extern "C" __global__ __launch_bounds__(256) void add_rows(
    i64 units, int cols, const Element* x, i64 x_stride, Element* y, i64 y_stride)
{
    add_strided<1>(units, (u32)cols, x, x_stride, y, y_stride);
}

// Addresses, rows and strides are multiples of 16 bytes.
extern "C" __global__ __launch_bounds__(256) void add_rows_wide(
    i64 units, int cols, const Element* x, i64 x_stride, Element* y, i64 y_stride)
{
    add_strided<Widest<Element>::N>(units, (u32)cols, x, x_stride, y, y_stride);
}
