// Weights of the products that stand for a 3x3 convolution of an image doubled by nearest neighbour. Along one axis, output
// 2h + a sees, of the stored image, row h - 1 + a + t (t = 0, 1) with the sum of those taps r that fall on it:
//   a = 0:  t = 0: {0}     t = 1: {1, 2}
//   a = 1:  t = 0: {0, 1}  t = 1: {2}
// and the gradient of row h gathers row 2h - 1 + u (u = 0 to 3) of dy, with taps u = 0: {2}, 1: {1, 2}, 2: {0, 1}, 3: {0}.
//   conv_weights_forward  f[o, a, a', t, t', c] = sum of w[o, r, s, c], r of (a, t), s of (a', t')
//   conv_weights_data     g[u, u', o, c]        = sum of w[o, r, s, c], r of u, s of u'
//   conv_weights_gradient dw[o, r, s, c]        = sum over parities (a, a') and parts of partial[a, a', part, o, t, t', c], with
//                                                 t the one of (a, r), t' that of (a', s): what f's gradient says of w
// f and g have 16 O I elements, dw 9, and O a bias's gradient. A thread makes one. Grid: elements / 256. Block: 256.
//
// Versions (not measured yet; limit: 9 + 16 elements a weight / 3 TB/s; 2 % of the products that use them):
//   one element a thread   70 % of copy bandwidth predicted
#include "output.cuh"

// Sum of w[r, s] over two ranges of taps; w is the tap (0, 0).
__device__ __forceinline__ MDM_T sum_taps(const MDM_T* w, int inputs, int r0, int r1, int s0, int s1)
{
    float sum = 0.0f;
    for (int r = r0; r <= r1; r++)
        for (int s = s0; s <= s1; s++)
            sum += to_float(w[(r * 3 + s) * inputs]);
    return from_float<MDM_T>(sum);
}

extern "C" __global__ void __launch_bounds__(256) conv_weights_forward(const MDM_T* w, MDM_T* f, int outputs, int inputs)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)16 * outputs * inputs)
        return;
    int c = (int)(i % inputs), t = (int)(i / inputs % 4), parity = (int)(i / ((i64)4 * inputs) % 4);
    i64 o = i / ((i64)16 * inputs);
    // Tap t of parity a covers rows t (1 + a) ... in detail: (0,0) 0-0, (0,1) 1-2, (1,0) 0-1, (1,1) 2-2.
    int a = parity / 2, b = parity % 2, tr = t / 2, ts = t % 2;
    f[i] = sum_taps(w + o * 9 * inputs + c, inputs, tr * (1 + a), tr == 0 ? a : 2, ts * (1 + b), ts == 0 ? b : 2);
}

extern "C" __global__ void __launch_bounds__(256) conv_weights_data(const MDM_T* w, MDM_T* g, int outputs, int inputs)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)16 * outputs * inputs)
        return;
    int c = (int)(i % inputs), tap = (int)(i / ((i64)inputs * outputs)), u = tap / 4, v = tap % 4;
    i64 o = i / inputs % outputs;
    // Row u of dy: taps max(0, 2-u) to min(2, 3-u).
    g[i] = sum_taps(w + o * 9 * inputs + c, inputs, u < 2 ? 2 - u : 0, u == 0 ? 2 : 3 - u, v < 2 ? 2 - v : 0, v == 0 ? 2 : 3 - v);
}

// partial: float, a part of it [O, columns], columns at least 4 I, with parity_step numbers between the parities. dw: float or,
// if not is_float, MDM_T. rows: the bias's gradient.
extern "C" __global__ void __launch_bounds__(256) conv_weights_gradient(
    const float* partial, void* dw, int outputs, int inputs, int columns, int parts, i64 parity_step,
    int is_float, int accumulate, RowSums rows)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, weights = (i64)9 * outputs * inputs;
    if (i >= weights)
    {
        if (rows.partial != nullptr && i - weights < outputs)
            rows.finish(outputs, (int)(i - weights));
        return;
    }

    int c = (int)(i % inputs), tap = (int)(i / inputs % 9), r = tap / 3, s = tap % 3;
    i64 o = i / ((i64)9 * inputs);
    float sum = 0.0f;
    for (int parity = 0; parity < 4; parity++)
    {
        int a = parity / 2, b = parity % 2, t = (r + 1 - a) / 2, u = (s + 1 - b) / 2;
        for (int part = 0; part < parts; part++)
            sum += partial[parity * parity_step + ((i64)part * outputs + o) * columns + (t * 2 + u) * inputs + c];
    }

    if (is_float)
        ((float*)dw)[i] = sum + (accumulate ? ((float*)dw)[i] : 0.0f);
    else
        ((MDM_T*)dw)[i] = from_float<MDM_T>(sum + (accumulate ? to_float(((MDM_T*)dw)[i]) : 0.0f));
}
