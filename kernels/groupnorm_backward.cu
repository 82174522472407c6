// GroupNorm, backward. With u = (x - mean)·A + B as in groupnorm.cuh, du = dy·silu'(u) (du = dy without SiLU), a = gamma·(1+s),
// N = positions x channels of a group, and per sample and channel S1 = Σ_p du, S2 = Σ_p du·(x - mean):
//   dx = du·A - (x - mean)·rstd³·Σ_c a·S2 / N - rstd·Σ_c a·S1 / N                   (sums over the group's channels)
//   dgamma = Σ_b (1+s)·S2·rstd, dbeta = Σ_b (1+s)·S1, ds = gamma·S2·rstd + beta·S1, dt = S1
// u and silu' are computed again from x: nothing but mean and rstd was saved.
//
// Layout as in groupnorm.cu; dx may go to two tensors; dgamma, dbeta are float. Fixed order, no atomics.
// Launches:
//   slab    one block per sample and slice of whole groups where P x slice of x and of dy fit shared memory
//   sums, totals, input   otherwise: grid (B·chunks, channel tiles); totals has one block a sample and group
//   parameters            one block for 32 channels of all samples
//
// version                        bytes moved (bf16)   [32,4096,256] at 3 TB/s   measured
// slab                           6 B an element       201 MB, 67 us             not measured yet
// sums + totals + input          10 B an element      336 MB, 112 us            not measured yet
#include "groupnorm.cuh"

// du from dy and x - mean.
template <bool Silu>
__device__ __forceinline__ float inner_gradient(float dy, float d, float a, float c)
{
    if (!Silu)
        return dy;
    float u = d * a + c, s = sigmoid(u);
    return dy * (s + u * s * (1 - s));
}

// The next rows of a thread: px[k] and pg[k] = row first + p + k·at.rows of x and dy, of those before first + count.
template <typename T, int V, int N>
__device__ __forceinline__ void load_rows(const Columns& at, const ChannelRows<const T>& x, const ChannelRows<const T>& dy,
    i64 first, int p, int count, Pack<T, V> (&px)[N], Pack<T, V> (&pg)[N])
{
#pragma unroll
    for (int k = 0; k < N; k++)
    {
        if (p + k * at.rows < count)
        {
            px[k] = load_pack<V>(x.at(first + p + k * at.rows));
            pg[k] = load_pack<V>(dy.at(first + p + k * at.rows));
        }
    }
}

// s1 = Σ du, s2 = Σ du·(x - mean) over the thread's share of rows first..first+count-1; with Keep, x and dy stay in the slabs.
template <typename T, int V, bool Silu, bool Keep>
__device__ __forceinline__ void gradient_sums(const Columns& at, const ChannelRows<const T>& x, const ChannelRows<const T>& dy,
    i64 first, int count, const float (&mean)[V], const float (&a)[V], const float (&c)[V], float (&s1)[V], float (&s2)[V],
    Pack<T, V>* keptX, Pack<T, V>* keptDy)
{
    for (int p = at.ty; p < count; p += InFlight * at.rows)
    {
        Pack<T, V> px[InFlight], pg[InFlight];
        load_rows<T, V, InFlight>(at, x, dy, first, p, count, px, pg);
#pragma unroll
        for (int k = 0; k < InFlight; k++)
        {
            if (p + k * at.rows >= count)
                break;
            if (Keep)
            {
                keptX[(p + k * at.rows) * at.columns + at.tx] = px[k];
                keptDy[(p + k * at.rows) * at.columns + at.tx] = pg[k];
            }

#pragma unroll
            for (int j = 0; j < V; j++)
            {
                float d = px[k].at(j) - mean[j], du = inner_gradient<Silu>(pg[k].at(j), d, a[j], c[j]);
                s1[j] += du;
                s2[j] += du * d;
            }
        }
    }
}

// along and across of dx = du·A + (x - mean)·along + across, for V channels.
template <typename T, int V>
__device__ __forceinline__ void group_terms(
    const GroupNormArgs<T>& n, int b, int channel, float (&along)[V], float (&across)[V])
{
    int size = n.channels / n.groups;
#pragma unroll
    for (int j = 0; j < V; j++)
    {
        const float* term = n.terms + 2 * ((i64)b * n.groups + (channel + j) / size);
        along[j] = term[0];
        across[j] = term[1];
    }
}

template <typename T, int V, bool Silu>
__device__ __forceinline__ void input_gradient(const Pack<T, V>& x, const Pack<T, V>& dy, const float (&mean)[V],
    const float (&a)[V], const float (&c)[V], const float (&along)[V], const float (&across)[V], T* dx, bool add)
{
    float out[V];
#pragma unroll
    for (int j = 0; j < V; j++)
    {
        float d = x.at(j) - mean[j];
        out[j] = inner_gradient<Silu>(dy.at(j), d, a[j], c[j]) * a[j] + d * along[j] + across[j];
    }

    put_pack<V>(dx, out, add);
}

// What is left once a channel's S1 and S2 over all positions are known. Returns a·S1 and a·S2 in s1 and s2.
template <typename T>
__device__ __forceinline__ void finish_channel(const GroupNormArgs<T>& n, int b, int channel, float& s1, float& s2)
{
    i64 at = (i64)b * n.channels + channel, modulation = at + (i64)b * n.channels;
    float rstd = n.rstd[b * n.groups + channel / (n.channels / n.groups)], gamma = n.gamma[channel];
    n.totals[2 * at] = s1;
    n.totals[2 * at + 1] = s2 * rstd;
    if (n.dscaleShift)
    {
        put(n.dscaleShift + modulation, gamma * s2 * rstd + n.beta[channel] * s1, n.addDscaleShift);
        put(n.dscaleShift + modulation + n.channels, s1, n.addDscaleShift);
    }

    float a = n.scaleShift ? gamma * (1 + to_float(n.scaleShift[modulation])) : gamma;
    s1 *= a;
    s2 *= a;
}

// A group's terms from its sums of a·S1 and a·S2.
template <typename T>
__device__ __forceinline__ void finish_group(const GroupNormArgs<T>& n, int group, float s1, float s2)
{
    float rstd = n.rstd[group], scale = -rstd / ((float)n.positions * (n.channels / n.groups));
    n.terms[2 * (i64)group] = s2 * rstd * rstd * scale;
    n.terms[2 * (i64)group + 1] = s1 * scale;
}

template <typename T, int V, bool Silu>
__device__ __forceinline__ void sums(const GroupNormArgs<T>& n)
{
    DYNAMIC_SHARED(float, shared);
    Columns at(n.columns, n.rows);
    int width = V * n.columns, b = blockIdx.x / n.chunks, chunk = blockIdx.x % n.chunks, tile = blockIdx.y * width;
    float* totals = shared + totals_buffer(width, n.rows);
    int from = chunk * n.chunkRows, count = min(n.chunkRows, n.positions - from), channel = tile + at.tx * V;
    float s1[V] = {}, s2[V] = {};
    if (at.inside() && channel < n.channels)
    {
        float mean[V], a[V], c[V];
        coefficients<T, V>(n, b, channel, mean, a, c);
        ChannelRows<const T> x(n.x, n.skip, n.first, n.channels, channel), dy(n.dy, nullptr, n.channels, n.channels, channel);
        gradient_sums<T, V, Silu, false>(at, x, dy, (i64)b * n.positions + from, count, mean, a, c, s1, s2, nullptr, nullptr);
    }

    column_totals<V>(at, s1, s2, shared, totals);
    float* out = n.partials + (i64)blockIdx.x * 2 * n.channels;
    for (int i = threadIdx.x; i < width && tile + i < n.channels; i += blockDim.x)
    {
        out[2 * (tile + i)] = totals[at.slot<V>(i)];
        out[2 * (tile + i) + 1] = totals[width + at.slot<V>(i)];
    }
}

// One block a group: a warp adds the chunks of a channel.
template <typename T>
__device__ __forceinline__ void totals(const GroupNormArgs<T>& n)
{
    SHARED(float, scratch[32]);
    int b = blockIdx.x / n.groups, size = n.channels / n.groups, from = blockIdx.x % n.groups * size;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    float total1 = 0, total2 = 0;
    for (int channel = from + warp; channel < from + size; channel += warps)
    {
        const float* partial = n.partials + 2 * ((i64)b * n.chunks * n.channels + channel);
        float s1 = 0, s2 = 0;
        for (int chunk = lane; chunk < n.chunks; chunk += 32)
        {
            s1 += partial[2 * (i64)chunk * n.channels];
            s2 += partial[2 * (i64)chunk * n.channels + 1];
        }

        s1 = warp_reduce<Sum>(s1);
        s2 = warp_reduce<Sum>(s2);
        if (lane == 0)
        {
            finish_channel(n, b, channel, s1, s2);
            total1 += s1;
            total2 += s2;
        }
    }

    total1 = block_reduce<Sum>(total1, scratch);
    total2 = block_reduce<Sum>(total2, scratch);
    if (threadIdx.x == 0)
        finish_group(n, blockIdx.x, total1, total2);
}

template <typename T, int V, bool Silu>
__device__ __forceinline__ void input(const GroupNormArgs<T>& n)
{
    Columns at(n.columns, n.rows);
    int block = gridDim.x - 1 - blockIdx.x, b = block / n.chunks, from = block % n.chunks * n.chunkRows;
    int count = min(n.chunkRows, n.positions - from), channel = (blockIdx.y * n.columns + at.tx) * V;
    if (!at.inside() || channel >= n.channels)
        return;
    ChannelRows<T> dx(n.dx, n.dskip, n.first, n.channels, channel);
    if (!dx.base)
        return;
    bool add = channel < n.first ? n.addDx : n.addDskip;
    float mean[V], a[V], c[V], along[V], across[V];
    coefficients<T, V>(n, b, channel, mean, a, c);
    group_terms<T, V>(n, b, channel, along, across);
    ChannelRows<const T> x(n.x, n.skip, n.first, n.channels, channel), dy(n.dy, nullptr, n.channels, n.channels, channel);
    i64 first = (i64)b * n.positions + from;
    for (int p = at.ty; p < count; p += 2 * at.rows)
    {
        Pack<T, V> px[2], pg[2];
        load_rows<T, V, 2>(at, x, dy, first, p, count, px, pg);
#pragma unroll
        for (int k = 0; k < 2; k++)
            if (p + k * at.rows < count)
                input_gradient<T, V, Silu>(
                    px[k], pg[k], mean, a, c, along, across, dx.at(first + p + k * at.rows), add);
    }
}

template <typename T, int V, bool Silu>
__device__ __forceinline__ void slab(const GroupNormArgs<T>& n)
{
    typedef Pack<T, V> P;
    DYNAMIC_SHARED(float, shared);
    Columns at(n.columns, n.rows);
    int width = V * n.columns, slices = n.channels / width, b = blockIdx.x / slices, tile = blockIdx.x % slices * width;
    float* totals = shared + totals_buffer(width, n.rows);
    P* keptX = reinterpret_cast<P*>(shared + slab_offset(width, n.rows));
    P* keptDy = keptX + n.positions * n.columns;
    int channel = tile + at.tx * V;
    i64 first = (i64)b * n.positions;
    float s1[V] = {}, s2[V] = {}, mean[V], a[V], c[V];
    coefficients<T, V>(n, b, channel, mean, a, c);
    if (at.inside())
    {
        ChannelRows<const T> x(n.x, n.skip, n.first, n.channels, channel), dy(n.dy, nullptr, n.channels, n.channels, channel);
        gradient_sums<T, V, Silu, true>(at, x, dy, first, n.positions, mean, a, c, s1, s2, keptX, keptDy);
    }

    column_totals<V>(at, s1, s2, shared, totals);
    int size = n.channels / n.groups, warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    for (int g = warp; g < width / size; g += warps)
    {
        float total1 = 0, total2 = 0;
        for (int i = g * size + lane; i < (g + 1) * size; i += 32)
        {
            float t1 = totals[at.slot<V>(i)], t2 = totals[width + at.slot<V>(i)];
            finish_channel(n, b, tile + i, t1, t2);
            total1 += t1;
            total2 += t2;
        }

        total1 = warp_reduce<Sum>(total1);
        total2 = warp_reduce<Sum>(total2);
        if (lane == 0)
            finish_group(n, b * n.groups + tile / size + g, total1, total2);
    }

    __syncthreads(); // the terms are read back below
    ChannelRows<T> dx(n.dx, n.dskip, n.first, n.channels, channel);
    if (!at.inside() || !dx.base)
        return;
    bool add = channel < n.first ? n.addDx : n.addDskip;
    float along[V], across[V];
    group_terms<T, V>(n, b, channel, along, across);
    for (int p = at.ty; p < n.positions; p += at.rows)
        input_gradient<T, V, Silu>(keptX[p * n.columns + at.tx], keptDy[p * n.columns + at.tx], mean, a, c, along, across,
            dx.at(first + p), add);
}

// dgamma and dbeta from the totals S1 and S2·rstd of the samples.
template <typename T>
__device__ __forceinline__ void parameters(const GroupNormArgs<T>& n)
{
    DYNAMIC_SHARED(float, shared);
    Columns at(n.columns, n.rows);
    float* totals = shared + totals_buffer(n.columns, n.rows);
    int first = blockIdx.x * n.columns, channel = first + at.tx;
    float dgamma[1] = {}, dbeta[1] = {};
    for (int b = at.ty; b < n.batch && channel < n.channels; b += at.rows)
    {
        i64 i = (i64)b * n.channels + channel;
        float scale = n.scaleShift ? 1 + to_float(n.scaleShift[i + (i64)b * n.channels]) : 1;
        dbeta[0] += scale * n.totals[2 * i];
        dgamma[0] += scale * n.totals[2 * i + 1];
    }

    column_totals<1>(at, dgamma, dbeta, shared, totals);
    for (int i = threadIdx.x; i < n.columns && first + i < n.channels; i += blockDim.x)
    {
        if (n.dgamma)
            put(n.dgamma + first + i, totals[i], n.addDgamma);
        if (n.dbeta)
            put(n.dbeta + first + i, totals[n.columns + i], n.addDbeta);
    }
}

extern "C" __global__ void groupnorm_sums_wide(GroupNormArgs<MDM_T> n) { BY_SILU(sums, Wide); }

extern "C" __global__ void groupnorm_sums_single(GroupNormArgs<MDM_T> n) { BY_SILU(sums, 1); }

extern "C" __global__ void groupnorm_totals(GroupNormArgs<MDM_T> n) { totals<MDM_T>(n); }

extern "C" __global__ void groupnorm_input_wide(GroupNormArgs<MDM_T> n) { BY_SILU(input, Wide); }

extern "C" __global__ void groupnorm_input_single(GroupNormArgs<MDM_T> n) { BY_SILU(input, 1); }

extern "C" __global__ void __launch_bounds__(512) groupnorm_backward_slab_wide(GroupNormArgs<MDM_T> n) { BY_SILU(slab, Wide); }

extern "C" __global__ void __launch_bounds__(512) groupnorm_backward_slab_single(GroupNormArgs<MDM_T> n) { BY_SILU(slab, 1); }

extern "C" __global__ void groupnorm_parameters(GroupNormArgs<MDM_T> n) { parameters<MDM_T>(n); }
