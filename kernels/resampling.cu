// Changes of resolution of [B,H,W,C] images.
//
//   upsample_nearest       y[b,2h+i,2w+j,c] = x[b,h,w,c]
//   sum_blocks             y[b,h,w,c] (+)= scale sum_ij x[b,fh+i,fw+j,c]: average pooling, and the gradient of upsampling
//   spread_blocks          dx[b,h,w,c] (+)= dy[b,h/f,w/f,c] / f^2: the gradient of average pooling
//   resize_taps, resize    y[b,h,w,c] = sum_ij down[h].weight[i] across[w].weight[j] x[b,down[h].index[i],across[w].index[j],c]
//
// Layout: channels last. Launch: blocks of 256 threads, grid-stride over groups of channels: 16 bytes (_wide, where addresses
// and pixels are multiples of that) or one. Limit: bytes of x and y / 3 TB/s, e.g. pooling [32,64,64,256] bfloat16 to 32x32:
// 84 MB, 28 us.
//
//   version                        measured
//   1  16 bytes of a pixel         not measured yet
#include "flat.cuh"

typedef MDM_T Element;

// Position of a group of channels in [B,H,W,C/N].
struct Place
{
    u64 image;
    u32 h, w, group;

    __device__ __forceinline__ Place(i64 i, u32 height, u32 width, u32 groups)
    {
        u64 pixel, line;
        divide((u64)i, groups, pixel, group);
        divide(pixel, width, line, w);
        divide(line, height, image, h);
    }
};

template <int N>
__device__ __forceinline__ void upsample(i64 units, u32 width, u32 groups, const Element* x, Element* y)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        u64 pixel, line;
        u32 group, w;
        divide((u64)i, groups, pixel, group);
        divide(pixel, width, line, w);
        float v[N];
        load(x + i * N, v);
        const i64 row = (i64)2 * width * groups, at = (i64)line * 2 * row + (i64)2 * w * groups + group;
        store_pack(y + at * N, v);
        store_pack(y + (at + groups) * N, v);
        store_pack(y + (at + row) * N, v);
        store_pack(y + (at + row + groups) * N, v);
    }
}

// units, height and width are y's.
template <int N>
__device__ __forceinline__ void block_sums(
    i64 units, u32 width, u32 groups, int factor, float scale, const Element* x, Element* y, bool accumulate)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        u64 pixel, line;
        u32 group, w;
        divide((u64)i, groups, pixel, group);
        divide(pixel, width, line, w);
        const i64 row = (i64)factor * width * groups;
        const Element* corner = x + ((i64)line * factor * row + (i64)w * factor * groups + group) * N;
        float sum[N] = {};
        for (int down = 0; down < factor; down++)
#pragma unroll 2
            for (int across = 0; across < factor; across++)
            {
                float v[N];
                load(corner + (down * row + (i64)across * groups) * N, v);
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum[k] += v[k];
            }
#pragma unroll
        for (int k = 0; k < N; k++)
            sum[k] *= scale;
        put_pack(y + i * N, sum, accumulate);
    }
}

// units, height and width are dx's.
template <int N>
__device__ __forceinline__ void block_spread(
    i64 units, u32 height, u32 width, u32 groups, u32 factor, float scale, const Element* dy, Element* dx, bool accumulate)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        const Place p(i, height, width, groups);
        const i64 line = (i64)p.image * (height / factor) + p.h / factor;
        float v[N];
        load(dy + ((line * (width / factor) + p.w / factor) * groups + p.group) * N, v);
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] *= scale;
        put_pack(dx + i * N, v, accumulate);
    }
}

// The (up to) four input positions of an output position along one axis, and their weights.
struct Taps
{
    int index[4];
    float weight[4];
};

__device__ __forceinline__ int clamped(int i, int size) { return i < 0 ? 0 : i >= size ? size - 1 : i; }

// Keys' cubic convolution kernel with a = -0.75 at distance d.
__device__ __forceinline__ double cubic_weight(double d)
{
    const double a = -0.75;
    return d <= 1.0 ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
        : d < 2.0   ? ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
                    : 0.0;
}

// One thread per output position.
extern "C" __global__ __launch_bounds__(256) void resize_taps(int size, int out_size, int cubic, Taps* taps)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= out_size)
        return;
    const double at = ((double)i + 0.5) * size / out_size - 0.5;
    Taps t = {};
    if (cubic != 0)
    {
        const int below = (int)floor(at);
        for (int k = 0; k < 4; k++)
        {
            t.index[k] = clamped(below - 1 + k, size);
            t.weight[k] = (float)cubic_weight(fabs(at - (below - 1 + k)));
        }
    }
    else
    {
        const double inside = at < 0.0 ? 0.0 : at;
        const int first = (int)inside;
        t.index[0] = first;
        t.index[1] = clamped(first + 1, size);
        t.weight[0] = (float)(1.0 - (inside - first));
        t.weight[1] = (float)(inside - first);
    }
    taps[i] = t;
}

// units, outHeight and outWidth are y's; count taps along each axis.
template <int N>
__device__ __forceinline__ void resize(i64 units, int count, int height, int width, u32 out_height, u32 out_width, u32 groups,
    const Taps* down, const Taps* across, const Element* x, Element* y)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        const Place p(i, out_height, out_width, groups);
        const Element* image = x + ((i64)p.image * height * width * groups + p.group) * N;
        float sum[N] = {};
        for (int r = 0; r < count; r++)
        {
            float line[N] = {};
            for (int s = 0; s < count; s++)
            {
                float v[N];
                load(image + ((i64)down[p.h].index[r] * width + across[p.w].index[s]) * groups * N, v);
#pragma unroll
                for (int k = 0; k < N; k++)
                    line[k] = fmaf(across[p.w].weight[s], v[k], line[k]);
            }
#pragma unroll
            for (int k = 0; k < N; k++)
                sum[k] = fmaf(down[p.h].weight[r], line[k], sum[k]);
        }
        store_pack(y + i * N, sum);
    }
}

// Every kernel for single channels and for groups of 16 bytes.
#define RESAMPLING(suffix, N)                                                                                            \
    extern "C" __global__ __launch_bounds__(256) void upsample_nearest##suffix(                                          \
        i64 units, int width, int groups, const Element* x, Element* y)                                                  \
    {                                                                                                                    \
        upsample<N>(units, width, groups, x, y);                                                                         \
    }                                                                                                                    \
    extern "C" __global__ __launch_bounds__(256) void sum_blocks##suffix(                                                \
        i64 units, int width, int groups, int factor, float scale, const Element* x, Element* y, int accumulate)         \
    {                                                                                                                    \
        block_sums<N>(units, width, groups, factor, scale, x, y, accumulate != 0);                                       \
    }                                                                                                                    \
    extern "C" __global__ __launch_bounds__(256) void spread_blocks##suffix(i64 units, int height, int width,            \
        int groups, int factor, float scale, const Element* dy, Element* dx, int accumulate)                             \
    {                                                                                                                    \
        block_spread<N>(units, height, width, groups, factor, scale, dy, dx, accumulate != 0);                           \
    }                                                                                                                    \
    extern "C" __global__ __launch_bounds__(256) void resize##suffix(i64 units, int count, int height, int width,        \
        int out_height, int out_width, int groups, const Taps* down, const Taps* across, const Element* x, Element* y)   \
    {                                                                                                                    \
        resize<N>(units, count, height, width, out_height, out_width, groups, down, across, x, y);                       \
    }

RESAMPLING(, 1)
RESAMPLING(_wide, Widest<Element>::N)
