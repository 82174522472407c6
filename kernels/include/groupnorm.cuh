// What the forward and the backward kernels of GroupNorm share.
//
// x is [B,P,C] in one piece, or its channels come from two tensors: x [B,P,first] and skip [B,P,C-first]. With
// a = gamma·(1+s): u = (x - mean)·A + B, A = rstd·a, B = beta·(1+s) + t; y = u or silu(u).
#pragma once
#include "columns.cuh"
#include "vectors.cuh"

// The same fields in the same order as CudaKernels.GroupNormArguments.
template <typename T>
struct GroupNormArgs
{
    const T* x;
    const T* skip;
    const T* dy;
    T* y;                // forward: the result
    T* dx;               // backward, of x and of skip; either may be null
    T* dskip;
    const float* gamma;
    const float* beta;
    const T* scaleShift; // [B,2C] or null
    float* mean;         // [B,groups]
    float* rstd;
    float* partials;     // two floats per sample, chunk and channel
    float* totals;       // backward: S1, S2 of each sample and channel
    float* terms;        // backward: two floats per sample and group
    T* dscaleShift;      // or null
    float* dgamma;       // or null
    float* dbeta;        // or null
    int batch, positions, channels, first, groups;
    int columns, rows;   // of a block, see Columns
    int chunks, chunkRows;
    float epsilon;
    int silu, addDx, addDskip, addDscaleShift, addDgamma, addDbeta;
};

// Rows that a thread keeps in flight.
static const int InFlight = 4;

__device__ __forceinline__ float sigmoid(float u) { return __fdividef(1.0f, 1.0f + __expf(-u)); }

// Floats of shared memory before the slab: buffer, totals and one more number a channel, to a multiple of 16 bytes.
__device__ __forceinline__ int slab_offset(int width, int rows) { return (totals_buffer(width, rows) + 3 * width + 3) / 4 * 4; }

// A thread's channels in one of the two tensors: element (row, channel) is base[row·stride].
template <typename T>
struct ChannelRows
{
    T* base;
    i64 stride;

    __device__ __forceinline__ ChannelRows(T* x, T* skip, int first, int channels, int channel)
    {
        bool second = channel >= first;
        stride = second ? channels - first : first;
        base = second ? skip : x;
        if (base)
            base += second ? channel - first : channel;
    }

    __device__ __forceinline__ T* at(i64 row) const { return base + row * stride; }
};

// mean, A and B of V channels of sample b.
template <typename T, int V>
__device__ __forceinline__ void coefficients(
    const GroupNormArgs<T>& n, int b, int channel, float (&mean)[V], float (&a)[V], float (&c)[V])
{
    int size = n.channels / n.groups;
#pragma unroll
    for (int j = 0; j < V; j++)
    {
        int ch = channel + j, g = b * n.groups + ch / size;
        float scale = 1, shift = 0;
        if (n.scaleShift)
        {
            const T* s = n.scaleShift + (i64)b * 2 * n.channels + ch;
            scale += to_float(s[0]);
            shift = to_float(s[n.channels]);
        }

        mean[j] = n.mean[g];
        a[j] = n.rstd[g] * n.gamma[ch] * scale;
        c[j] = n.beta[ch] * scale + shift;
    }
}

static const int Wide = Widest<MDM_T>::N;

// A kernel's call of a part that is compiled with and without SiLU, V channels a thread.
#define BY_SILU(part, V) n.silu ? part<MDM_T, V, true>(n) : part<MDM_T, V, false>(n)
