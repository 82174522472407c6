// Adam in one pass over all parameters; what changes from step to step stays on the device (OptimizerState).
//
//   squares, finish_squares   state[1] = sum of g^2, in float64, in a fixed order
//   adam_numbers              one thread: the step's numbers from the state, and the state of the next step
//   adam                      g = factor g; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2
//                             p = keep p - rate m / (sqrt(v correction2) + epsilon)
//                             ema = d ema + (1-d) p; copy = p in bfloat16
//
// Layout: flat float32 arrays, up to 2^40 elements. Launch: blocks of 256 threads, four elements (16 bytes of each array)
// per thread and round, grid-stride; single elements where an address is not a multiple of 16 bytes (8 for the copy).
// Bytes per parameter: reads p, g, m, v, ema (20), writes p, m, v, ema, copy (18): 38, 12.7 ps at 3 TB/s, so 5.8 ms for
// 461 M; without ema and copy 28 and 4.3 ms. The norm reads 4 bytes: 0.6 ms.
//
//   version                        measured
//   1  one pass, 16-byte vectors   not measured yet
#include "reduce.cuh"
#include "flat.cuh"

// Block k: the squares of the vectors k, k + gridDim.x, ... of 256·4 elements.
extern "C" __global__ __launch_bounds__(256) void squares(i64 n, const float* g, double* partial)
{
    SHARED(double, scratch[32]);
    const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    const Split<float> split(n, g, g, g);
    double sum = 0.0;
    for (i64 first = thread; first < split.vectors; first += 4 * threads)
    {
        float v[4][4] = {};
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (first + k * threads < split.vectors)
                load(g + split.before + (first + k * threads) * 4, v[k]);
#pragma unroll
        for (int k = 0; k < 4; k++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                sum = fma((double)v[k][i], (double)v[k][i], sum);
    }
    for (i64 i = thread; i < split.rest; i += threads)
        sum = fma((double)g[split.single(i)], (double)g[split.single(i)], sum);
    sum = block_reduce<Sum>(sum, scratch);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
}

// One block.
extern "C" __global__ __launch_bounds__(256) void finish_squares(int pieces, const double* partial, double* state)
{
    SHARED(double, scratch[32]);
    double sum = 0.0;
    for (int k = threadIdx.x; k < pieces; k += blockDim.x)
        sum += partial[k];
    sum = block_reduce<Sum>(sum, scratch);
    if (threadIdx.x == 0)
        state[1] = sum;
}

// AdamOptions, the betas as written in decimal.
struct AdamOptions
{
    double beta1, beta2;
    float epsilon, weight_decay, clip, grad_scale;
    int decoupled;
};

// What every parameter needs in one step. Nothing is changed where take is 0.
struct AdamNumbers
{
    float factor, beta1, rest1, beta2, rest2, keep, rate, correction2, epsilon, ema_keep, ema_rest;
    int take;
};

// state: steps taken, squared gradient norm, learning rate, skipped steps, EMA decay.
extern "C" __global__ void adam_numbers(AdamOptions o, double* state, AdamNumbers* numbers)
{
    const double norm = sqrt(state[1]);
    if (!(norm <= 1.7976931348623157e308)) // infinite or NaN
    {
        state[3] += 1.0;
        *numbers = {}; // take is 0
        return;
    }
    const double step = state[0] + 1.0, rate = state[2], decay = state[4];
    const double clipped = (double)o.clip / ((double)o.grad_scale * norm + 1e-6);
    AdamNumbers a;
    a.factor = (float)((double)o.grad_scale * (o.clip == 0.0f || clipped > 1.0 ? 1.0 : clipped));
    a.beta1 = (float)o.beta1;
    a.rest1 = (float)(1.0 - o.beta1);
    a.beta2 = (float)o.beta2;
    a.rest2 = (float)(1.0 - o.beta2);
    a.keep = o.decoupled != 0 ? (float)(1.0 - rate * (double)o.weight_decay) : 1.0f;
    a.rate = (float)(rate / (1.0 - pow(o.beta1, step)));
    a.correction2 = (float)(1.0 / (1.0 - pow(o.beta2, step)));
    a.epsilon = o.epsilon;
    a.ema_keep = (float)decay;
    a.ema_rest = (float)(1.0 - decay);
    a.take = 1;
    *numbers = a;
    state[0] = step;
}

// N elements from i on.
template <int N>
__device__ __forceinline__ void adam_elements(
    i64 i, const AdamNumbers& a, float* p, const float* g, float* m, float* v, float* ema, bf16* copy)
{
    float value[N], gradient[N], first[N], second[N], average[N];
    load(p + i, value);
    load(g + i, gradient);
    load(m + i, first);
    load(v + i, second);
    if (ema != nullptr)
        load(ema + i, average);
#pragma unroll
    for (int k = 0; k < N; k++)
    {
        const float grad = gradient[k] * a.factor;
        first[k] = fmaf(a.beta1, first[k], a.rest1 * grad);
        second[k] = fmaf(a.beta2, second[k], a.rest2 * grad * grad);
        const float denominator = sqrtf(second[k] * a.correction2) + a.epsilon;
        value[k] = fmaf(-a.rate, first[k] / denominator, value[k] * a.keep);
        if (ema != nullptr)
            average[k] = fmaf(a.ema_keep, average[k], a.ema_rest * value[k]);
    }
    store_pack(p + i, value);
    store_pack(m + i, first);
    store_pack(v + i, second);
    if (ema != nullptr)
        store_pack(ema + i, average);
    if (copy != nullptr)
        store_pack(copy + i, value);
}

// ema and copy are optional.
extern "C" __global__ __launch_bounds__(256) void adam(i64 n, const AdamNumbers* numbers, float* p, const float* g, float* m,
    float* v, float* ema, bf16* copy)
{
    const AdamNumbers a = *numbers;
    if (a.take == 0)
        return;
    const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    const bool aligned = (((u64)p | (u64)g | (u64)m | (u64)v | (u64)ema) & 15) == 0 && ((u64)copy & 7) == 0;
    const i64 vectors = aligned ? n / 4 : 0;
    for (i64 i = thread; i < vectors; i += threads)
        adam_elements<4>(4 * i, a, p, g, m, v, ema, copy);
    for (i64 i = 4 * vectors + thread; i < n; i += threads)
        adam_elements<1>(i, a, p, g, m, v, ema, copy);
}
