// Random numbers by index: element i of a call uses index offset + i of the sequence (seed, stream), see philox.cuh.
//
//   uniform   y = (word >> 8) 2^-24
//   normal    Box and Muller's transform of the words (0,1) and (2,3) of a block
//   dropout   y (+)= x / (1-p) where the uniform number is >= p, else 0
//
// Layout: flat. Launch: blocks of 256 threads, one block of Philox (four elements) per thread and round, grid-stride. About 90
// integer instructions per four elements. Limit: bytes written / 3 TB/s, or instructions for bfloat16.
//
//   version                                              measured
//   1  a Philox block per thread, four elements wide     not measured yet
#include "philox.cuh"
#include "flat.cuh"

struct Uniform
{
    static constexpr bool READS = false;
    __device__ __forceinline__ void operator()(const u32 (&words)[4], const float (&)[4], float (&y)[4]) const
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            y[i] = uniform_number(words[i]);
    }
};

struct Normal
{
    static constexpr bool READS = false;
    __device__ __forceinline__ void operator()(const u32 (&words)[4], const float (&)[4], float (&y)[4]) const
    {
        normal_numbers(words[0], words[1], y[0], y[1]);
        normal_numbers(words[2], words[3], y[2], y[3]);
    }
};

struct Dropout
{
    static constexpr bool READS = true;
    float p, factor;
    __device__ __forceinline__ void operator()(const u32 (&words)[4], const float (&x)[4], float (&y)[4]) const
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            y[i] = uniform_number(words[i]) < p ? 0.0f : x[i] * factor;
    }
};

// Philox blocks offset/4, offset/4 + 1, ...; the first may begin before element 0, the last may end after element n-1.
template <typename T, typename F>
__device__ __forceinline__ void generate(i64 n, u64 seed, u64 stream, i64 offset, const T* x, T* y, bool accumulate, F f)
{
    const i64 skipped = offset % 4, blocks = (skipped + n + 3) / 4;
    const bool aligned = skipped == 0 && (((u64)x | (u64)y) & (4 * sizeof(T) - 1)) == 0;
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 block = (i64)blockIdx.x * blockDim.x + threadIdx.x; block < blocks; block += threads)
    {
        u32 words[4];
        philox(seed, stream, (u64)(offset / 4 + block), words);
        const i64 first = 4 * block - skipped;
        float in[4] = {}, out[4];
        if (aligned && first + 4 <= n)
        {
            if (F::READS)
                load(x + first, in);
            f(words, in, out);
            put_pack(y + first, out, accumulate);
        }
        else
        {
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (F::READS && first + i >= 0 && first + i < n)
                    in[i] = to_float(x[first + i]);
            f(words, in, out);
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (first + i >= 0 && first + i < n)
                    y[first + i] = from_float<T>(accumulate ? out[i] + to_float(y[first + i]) : out[i]);
        }
    }
}

typedef MDM_T Element;

extern "C" __global__ __launch_bounds__(256) void uniform(i64 n, u64 seed, u64 stream, i64 offset, Element* y)
{
    generate(n, seed, stream, offset, y, y, false, Uniform());
}

extern "C" __global__ __launch_bounds__(256) void normal(i64 n, u64 seed, u64 stream, i64 offset, Element* y)
{
    generate(n, seed, stream, offset, y, y, false, Normal());
}

extern "C" __global__ __launch_bounds__(256) void dropout(
    i64 n, float p, float factor, u64 seed, u64 stream, i64 offset, const Element* x, Element* y, int accumulate)
{
    generate(n, seed, stream, offset, x, y, accumulate != 0, Dropout{p, factor});
}
