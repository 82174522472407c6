// y[s] = the p-quantile of |x[s]|, linear between order statistics: found digit by digit, without sorting. The bits of |x| as
// float32 order as integers do; counts of their upper 11, then 10, then 10 bits give the exact k-th smallest value, and one
// more pass the next one above it. Integer counts do not depend on their order.
//
//   count_digits (digit 0, 1, 2)   histogram of one digit of those x whose higher digits are the ones found
//   next_above                     the smallest |x| above the k-th
//   interpolate                    y = low + (high - low) · fraction
// Each of them first finds the last digit from the histogram before it (every block by itself).
//
// Layout: x [batch, inner]; histograms [batch][3][2048] and state [batch][8] (see below), zeroed before.
// Launch: grid (batch, pieces), 256 threads. Limit: four reads of x: 3 M float32, 50 MB, 17 us at 3 TB/s, plus six launches.
//
//   version                                             measured
//   1  histograms in shared memory, merged in L2        not measured yet
#include "flat.cuh"

typedef MDM_T Element;

constexpr int BINS = 2048, DIGITS = 3, THREADS = 256;

// What is known of a sample after digit d: state[2d] the digits so far, state[2d+1] how many values lie below. state[7] is
// the complement of the smallest value above the k-th (so that zero means none).
constexpr int STATE = 8, ABOVE = 7;

__device__ __forceinline__ u32 magnitude(Element x) { return __float_as_uint(to_float(x)) & 0x7fffffffu; }

__device__ __forceinline__ int digit_bits(int digit) { return digit == 0 ? 11 : 10; }

__device__ __forceinline__ int digit_shift(int digit) { return 20 - 10 * digit; }

// The digit whose bin holds the k-th value. Every thread gets all of it; found is shared memory.
struct Found
{
    u32 prefix, below, not_above;
};

__device__ __forceinline__ Found find_digit(int digit, u32 k, const u32* histogram, const u32* state, u32* sums, Found* found)
{
    constexpr int OWN = BINS / THREADS;
    const u32 prefix = digit == 0 ? 0u : state[2 * digit - 2], below = digit == 0 ? 0u : state[2 * digit - 1];
    u32 counts[OWN], sum = 0;
    for (int i = 0; i < OWN; i++)
        sum += counts[i] = histogram[threadIdx.x * OWN + i];
    sums[threadIdx.x] = sum;
    for (int offset = 1; offset < THREADS; offset *= 2) // sums of all threads up to this one
    {
        __syncthreads();
        const u32 other = (int)threadIdx.x >= offset ? sums[threadIdx.x - offset] : 0u;
        __syncthreads();
        sums[threadIdx.x] += other;
    }
    u32 at = below + sums[threadIdx.x] - sum;
    for (int i = 0; i < OWN; i++)
    {
        if (at <= k && k < at + counts[i])
            *found = Found{prefix << digit_bits(digit) | (threadIdx.x * OWN + i), at, at + counts[i]};
        at += counts[i];
    }
    __syncthreads();
    return *found;
}

extern "C" __global__ __launch_bounds__(256) void count_digits(
    int digit, i64 inner, i64 piece, u32 k, const Element* x, u32* histograms, u32* states)
{
    SHARED(u32, counts[BINS]);
    SHARED(u32, sums[THREADS]);
    SHARED(Found, found);
    const int s = blockIdx.x;
    u32 *histogram = histograms + (i64)(s * DIGITS + digit) * BINS, *state = states + s * STATE;
    u32 prefix = 0;
    if (digit > 0)
    {
        const Found f = find_digit(digit - 1, k, histogram - BINS, state, sums, &found);
        prefix = f.prefix;
        if (blockIdx.y == 0 && threadIdx.x == 0)
        {
            state[2 * digit - 2] = f.prefix;
            state[2 * digit - 1] = f.below;
        }
    }
    for (int i = threadIdx.x; i < BINS; i += THREADS)
        counts[i] = 0;
    __syncthreads();
    const int shift = digit_shift(digit), bits = digit_bits(digit);
    const i64 begin = blockIdx.y * piece, end = begin + piece < inner ? begin + piece : inner;
    const Element* own = x + s * inner;
#pragma unroll 4
    for (i64 i = begin + threadIdx.x; i < end; i += THREADS)
    {
        const u32 v = magnitude(own[i]);
        if (digit == 0 || v >> (shift + bits) == prefix)
            atomicAdd(counts + (v >> shift & ((1u << bits) - 1u)), 1u);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += THREADS)
        if (counts[i] != 0)
            atomicAdd(histogram + i, counts[i]);
}

extern "C" __global__ __launch_bounds__(256) void next_above(
    i64 inner, i64 piece, u32 k, const Element* x, const u32* histograms, u32* states)
{
    SHARED(u32, sums[THREADS]);
    SHARED(Found, found);
    const int s = blockIdx.x;
    u32* state = states + s * STATE;
    const Found f = find_digit(2, k, histograms + (i64)(s * DIGITS + 2) * BINS, state, sums, &found);
    if (blockIdx.y == 0 && threadIdx.x == 0)
    {
        state[4] = f.prefix;
        state[5] = f.not_above;
    }
    if (k + 1 < f.not_above || k + 1 >= inner)
        return; // the next one is equal, or there is none
    const i64 begin = blockIdx.y * piece, end = begin + piece < inner ? begin + piece : inner;
    const Element* own = x + s * inner;
    u32 least = 0xffffffffu;
#pragma unroll 4
    for (i64 i = begin + threadIdx.x; i < end; i += THREADS)
    {
        const u32 v = magnitude(own[i]);
        least = v > f.prefix && v < least ? v : least;
    }
    for (int offset = 16; offset > 0; offset /= 2)
    {
        const u32 other = __shfl_xor_sync(0xffffffffu, least, offset);
        least = other < least ? other : least;
    }
    if (threadIdx.x % 32 == 0)
        atomicMax(state + ABOVE, ~least);
}

// A thread per sample.
extern "C" __global__ __launch_bounds__(256) void interpolate(
    int batch, i64 inner, u32 k, double fraction, const u32* states, float* y)
{
    const int s = blockIdx.x * blockDim.x + threadIdx.x;
    if (s >= batch)
        return;
    const u32 *state = states + (i64)s * STATE, low = state[4];
    const u32 high = k + 1 < state[5] || k + 1 >= inner ? low : ~state[ABOVE];
    const double a = __uint_as_float(low), b = __uint_as_float(high);
    y[s] = (float)(a + (b - a) * fraction);
}
