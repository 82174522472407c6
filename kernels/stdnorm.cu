// Per-sample normalisation: y = x / std, the unbiased deviation (n-1) over a sample's n elements; the mean stays.
// Backward: dx = dy/std - (x - mean)·(Σ dy·x)/((n-1)·std³).
//
// Layout: x, y [batch, inner]; mean, deviation [batch] float. Two passes: sums of chunks, then every block of the second pass
// joins the chunks of its sample (at most 256) in the same order and goes over its part. The sums are of x - shift, shift being
// the mean of 256 elements spread over the sample, and of their squares. inner may be anything: 16 bytes a thread where
// addresses and inner allow it.
// Launches: grid (chunks, batch), blocks of 256.
//
// version                        bytes moved (bf16)   [64,3·1024·1024] at 3 TB/s   measured
// forward                        6 B an element       1208 MB, 403 us              not measured yet
// backward                       10 B an element      2013 MB, 671 us              not measured yet
#include "reduce.cuh"
#include "vectors.cuh"

static const int InFlight = 4;

// The block's share of a sample's packs: first..end-1.
struct Part
{
    i64 first, end;

    __device__ __forceinline__ Part(i64 packs)
    {
        i64 length = (packs + gridDim.x - 1) / gridDim.x;
        first = min(packs, length * (i64)blockIdx.x);
        end = min(packs, first + length);
    }
};

template <typename T, int V>
__device__ __forceinline__ void moments(i64 inner, const T* x, float* partials)
{
    SHARED(float, scratch[32]);
    const T* sample = x + (i64)blockIdx.y * inner;
    float shift = block_reduce<Sum>(to_float(sample[(inner - 1) * (i64)threadIdx.x / 255]), scratch) / 256;
    Part part(inner / V);
    float s = 0, q = 0;
    for (i64 i = part.first + threadIdx.x; i < part.end; i += InFlight * 256)
    {
        Pack<T, V> p[InFlight];
#pragma unroll
        for (int k = 0; k < InFlight; k++)
            if (i + k * 256 < part.end)
                p[k] = load_pack<V>(sample + (i + k * 256) * V);
#pragma unroll
        for (int k = 0; k < InFlight; k++)
        {
            if (i + k * 256 >= part.end)
                break;
#pragma unroll
            for (int j = 0; j < V; j++)
            {
                float d = p[k].at(j) - shift;
                s += d;
                q += d * d;
            }
        }
    }

    s = block_reduce<Sum>(s, scratch);
    q = block_reduce<Sum>(q, scratch);
    if (threadIdx.x == 0)
    {
        i64 count = (part.end - part.first) * V;
        float* out = partials + 2 * ((i64)blockIdx.y * gridDim.x + blockIdx.x);
        out[0] = count == 0 ? shift : shift + s / count;
        out[1] = count == 0 ? 0 : q - s * (s / count);
    }
}

template <typename T, int V>
__device__ __forceinline__ void scale(i64 inner, const T* x, const float* partials, T* y, float* mean, float* deviation)
{
    SHARED(float, scratch[32]);
    i64 packs = inner / V, length = (packs + gridDim.x - 1) / gridDim.x;
    const float* sums = partials + 2 * (i64)blockIdx.y * gridDim.x;
    bool inside = threadIdx.x < gridDim.x;
    i64 before = min(packs, length * (i64)threadIdx.x);
    float count = inside ? (float)((min(packs, before + length) - before) * V) : 0, origin = sums[0];
    float part = inside ? sums[2 * threadIdx.x] : origin, squares = inside ? sums[2 * threadIdx.x + 1] : 0;
    float m = origin + block_reduce<Sum>(count * (part - origin), scratch) / inner;
    float spread = sqrtf(block_reduce<Sum>(squares + count * (part - m) * (part - m), scratch) / (inner - 1));
    if (blockIdx.x == 0 && threadIdx.x == 0)
    {
        mean[blockIdx.y] = m;
        deviation[blockIdx.y] = spread;
    }

    float k = 1 / spread;
    const T* from = x + (i64)blockIdx.y * inner;
    T* to = y + (i64)blockIdx.y * inner;
    Part own(packs);
    for (i64 i = own.first + threadIdx.x; i < own.end; i += InFlight * 256)
    {
        Pack<T, V> p[InFlight];
#pragma unroll
        for (int u = 0; u < InFlight; u++)
            if (i + u * 256 < own.end)
                p[u] = load_pack<V>(from + (i + u * 256) * V);
#pragma unroll
        for (int u = 0; u < InFlight; u++)
        {
            if (i + u * 256 >= own.end)
                break;
            float out[V];
#pragma unroll
            for (int j = 0; j < V; j++)
                out[j] = p[u].at(j) * k;
            store_pack<V>(to + (i + u * 256) * V, out);
        }
    }
}

// partials = Σ dy·x of every chunk.
template <typename T, int V>
__device__ __forceinline__ void products(i64 inner, const T* dy, const T* x, float* partials)
{
    SHARED(float, scratch[32]);
    const T *a = dy + (i64)blockIdx.y * inner, *b = x + (i64)blockIdx.y * inner;
    Part part(inner / V);
    float s = 0;
#pragma unroll 4
    for (i64 i = part.first + threadIdx.x; i < part.end; i += 256)
    {
        Pack<T, V> p = load_pack<V>(a + i * V), q = load_pack<V>(b + i * V);
#pragma unroll
        for (int j = 0; j < V; j++)
            s += p.at(j) * q.at(j);
    }

    s = block_reduce<Sum>(s, scratch);
    if (threadIdx.x == 0)
        partials[(i64)blockIdx.y * gridDim.x + blockIdx.x] = s;
}

template <typename T, int V>
__device__ __forceinline__ void input(i64 inner, const T* dy, const T* x, const float* mean, const float* deviation,
    const float* partials, T* dx, bool add)
{
    SHARED(float, scratch[32]);
    float sum = threadIdx.x < gridDim.x ? partials[(i64)blockIdx.y * gridDim.x + threadIdx.x] : 0;
    sum = block_reduce<Sum>(sum, scratch);
    float m = mean[blockIdx.y], k = 1 / deviation[blockIdx.y], along = -sum / (inner - 1) * k * k * k;
    const T *a = dy + (i64)blockIdx.y * inner, *b = x + (i64)blockIdx.y * inner;
    T* to = dx + (i64)blockIdx.y * inner;
    Part part(inner / V);
#pragma unroll 2
    for (i64 i = part.first + threadIdx.x; i < part.end; i += 256)
    {
        Pack<T, V> p = load_pack<V>(a + i * V), q = load_pack<V>(b + i * V);
        float out[V];
#pragma unroll
        for (int j = 0; j < V; j++)
            out[j] = p.at(j) * k + (q.at(j) - m) * along;
        put_pack<V>(to + i * V, out, add);
    }
}

#define KERNELS(name, V)                                                                                                    \
    extern "C" __global__ void stdnorm_moments_##name(i64 inner, const MDM_T* x, float* partials)                           \
    {                                                                                                                       \
        moments<MDM_T, V>(inner, x, partials);                                                                              \
    }                                                                                                                       \
    extern "C" __global__ void stdnorm_scale_##name(                                                                        \
        i64 inner, const MDM_T* x, const float* partials, MDM_T* y, float* mean, float* deviation)                          \
    {                                                                                                                       \
        scale<MDM_T, V>(inner, x, partials, y, mean, deviation);                                                            \
    }                                                                                                                       \
    extern "C" __global__ void stdnorm_products_##name(i64 inner, const MDM_T* dy, const MDM_T* x, float* partials)         \
    {                                                                                                                       \
        products<MDM_T, V>(inner, dy, x, partials);                                                                         \
    }                                                                                                                       \
    extern "C" __global__ void stdnorm_input_##name(i64 inner, const MDM_T* dy, const MDM_T* x, const float* mean,          \
        const float* deviation, const float* partials, MDM_T* dx, int add)                                                  \
    {                                                                                                                       \
        input<MDM_T, V>(inner, dy, x, mean, deviation, partials, dx, add);                                                  \
    }

KERNELS(wide, Widest<MDM_T>::N)
KERNELS(single, 1)
