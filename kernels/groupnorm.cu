// GroupNorm, forward: n = (x - mean_g)·rstd_g·gamma + beta; with scaleShift n·(1+s_b) + t_b; with SiLU n·σ(n).
//
// Layout: x, y [B,P,C] (channels last), x perhaps from two tensors; scaleShift [B,2C]; mean, rstd [B,G]. A thread owns 16
// bytes of neighbouring channels (one channel where the widths are odd) and walks over positions, so a warp reads whole
// pieces of rows however few channels a group has; groups are made from sums per channel.
// Statistics: sums of x - shift and its square, shift = the mean of four positions spread over the chunk, so that a large
// mean does not cancel; chunks and channels are joined by Σ M2 + n·(m - mean)². Fixed order, no atomics.
//
// Launches:
//   slab    one block per sample and slice of whole groups where P x slice fits shared memory: x is read once
//   moments, finish, apply   otherwise: grid (B·chunks, channel tiles); apply goes through the samples backwards, so that it
//           finds the last ones in the second-level cache
//
// version                        bytes moved (bf16)   [32,4096,256] at 3 TB/s   measured
// slab                           4 B an element       134 MB, 45 us             not measured yet
// moments + finish + apply       6 B an element       201 MB, 67 us             not measured yet
#include "groupnorm.cuh"

// The mean of four of the rows first..first+count-1.
template <typename T, int V>
__device__ __forceinline__ void shift_of(const ChannelRows<const T>& x, i64 first, int count, float (&shift)[V])
{
#pragma unroll
    for (int j = 0; j < V; j++)
        shift[j] = 0;
#pragma unroll
    for (int k = 0; k < 4; k++)
    {
        Pack<T, V> pack = load_pack<V>(x.at(first + (i64)(count - 1) * k / 3));
#pragma unroll
        for (int j = 0; j < V; j++)
            shift[j] += 0.25f * pack.at(j);
    }
}

// The next rows of a thread: pack[k] = row first + p + k·at.rows, of those before first + count.
template <typename T, int V>
__device__ __forceinline__ void load_rows(
    const Columns& at, const ChannelRows<const T>& x, i64 first, int p, int count, Pack<T, V> (&pack)[InFlight])
{
#pragma unroll
    for (int k = 0; k < InFlight; k++)
        if (p + k * at.rows < count)
            pack[k] = load_pack<V>(x.at(first + p + k * at.rows));
}

// s = Σ (x - shift), q = Σ (x - shift)² over the thread's share of rows first..first+count-1; with Keep the rows stay in slab.
template <typename T, int V, bool Keep>
__device__ __forceinline__ void shifted_sums(const Columns& at, const ChannelRows<const T>& x, i64 first, int count,
    const float (&shift)[V], float (&s)[V], float (&q)[V], Pack<T, V>* slab)
{
    for (int p = at.ty; p < count; p += InFlight * at.rows)
    {
        Pack<T, V> pack[InFlight];
        load_rows<T, V>(at, x, first, p, count, pack);
#pragma unroll
        for (int k = 0; k < InFlight; k++)
        {
            if (p + k * at.rows >= count)
                break;
            if (Keep)
                slab[(p + k * at.rows) * at.columns + at.tx] = pack[k];
#pragma unroll
            for (int j = 0; j < V; j++)
            {
                float d = pack[k].at(j) - shift[j];
                s[j] += d;
                q[j] += d * d;
            }
        }
    }
}

template <typename T>
__device__ __forceinline__ void put_statistics(const GroupNormArgs<T>& n, int group, float mean, float variance)
{
    n.mean[group] = mean;
    n.rstd[group] = 1 / sqrtf(fmaxf(variance, 0) + n.epsilon);
}

template <typename T, int V, bool Silu>
__device__ __forceinline__ void normalize(
    const Pack<T, V>& x, const float (&mean)[V], const float (&a)[V], const float (&c)[V], T* y)
{
    float out[V];
#pragma unroll
    for (int j = 0; j < V; j++)
    {
        float u = (x.at(j) - mean[j]) * a[j] + c[j];
        out[j] = Silu ? u * sigmoid(u) : u;
    }

    store_pack<V>(y, out);
}

// partials = mean and M2 = Σ (x - mean)² of every channel of one chunk of positions of one sample.
template <typename T, int V>
__device__ __forceinline__ void moments(const GroupNormArgs<T>& n)
{
    DYNAMIC_SHARED(float, shared);
    Columns at(n.columns, n.rows);
    int width = V * n.columns;
    float* totals = shared + totals_buffer(width, n.rows);
    float* shifts = totals + 2 * width;
    int b = blockIdx.x / n.chunks, chunk = blockIdx.x % n.chunks, tile = blockIdx.y * width;
    int from = chunk * n.chunkRows, count = min(n.chunkRows, n.positions - from), channel = tile + at.tx * V;
    float shift[V] = {}, s[V] = {}, q[V] = {};
    if (at.inside() && channel < n.channels)
    {
        ChannelRows<const T> x(n.x, n.skip, n.first, n.channels, channel);
        i64 first = (i64)b * n.positions + from;
        shift_of<T, V>(x, first, count, shift);
        shifted_sums<T, V, false>(at, x, first, count, shift, s, q, nullptr);
    }

    if (at.ty == 0)
#pragma unroll
        for (int j = 0; j < V; j++)
            shifts[at.own_slot<V>(j)] = shift[j];
    column_totals<V>(at, s, q, shared, totals);
    float* out = n.partials + (i64)blockIdx.x * 2 * n.channels;
    for (int i = threadIdx.x; i < width && tile + i < n.channels; i += blockDim.x)
    {
        int slot = at.slot<V>(i);
        float sum = totals[slot];
        out[2 * (tile + i)] = shifts[slot] + sum / count;
        out[2 * (tile + i) + 1] = totals[width + slot] - sum * (sum / count);
    }
}

// mean and rstd of a group, by one block: entry i of its chunks and channels has n_i elements, mean m_i and M2_i.
template <typename T>
__device__ __forceinline__ void finish(const GroupNormArgs<T>& n)
{
    SHARED(float, scratch[32]);
    int b = blockIdx.x / n.groups, size = n.channels / n.groups, from = blockIdx.x % n.groups * size;
    int entries = n.chunks * size;
    const float* partials = n.partials + (i64)b * n.chunks * 2 * n.channels;
    float origin = partials[2 * from], total = (float)n.positions * size, sum = 0, squares = 0;
    for (int i = threadIdx.x; i < entries; i += blockDim.x)
    {
        int chunk = i / size;
        i64 at = 2 * ((i64)chunk * n.channels + from + i % size);
        sum += min(n.chunkRows, n.positions - chunk * n.chunkRows) * (partials[at] - origin);
    }

    float mean = origin + block_reduce<Sum>(sum, scratch) / total;
    for (int i = threadIdx.x; i < entries; i += blockDim.x)
    {
        int chunk = i / size;
        i64 at = 2 * ((i64)chunk * n.channels + from + i % size);
        float d = partials[at] - mean;
        squares += partials[at + 1] + min(n.chunkRows, n.positions - chunk * n.chunkRows) * d * d;
    }

    squares = block_reduce<Sum>(squares, scratch);
    if (threadIdx.x == 0)
        put_statistics(n, blockIdx.x, mean, squares / total);
}

template <typename T, int V, bool Silu>
__device__ __forceinline__ void apply(const GroupNormArgs<T>& n)
{
    Columns at(n.columns, n.rows);
    int block = gridDim.x - 1 - blockIdx.x, b = block / n.chunks, from = block % n.chunks * n.chunkRows;
    int count = min(n.chunkRows, n.positions - from), channel = (blockIdx.y * n.columns + at.tx) * V;
    if (!at.inside() || channel >= n.channels)
        return;
    float mean[V], a[V], c[V];
    coefficients<T, V>(n, b, channel, mean, a, c);
    ChannelRows<const T> x(n.x, n.skip, n.first, n.channels, channel);
    i64 first = (i64)b * n.positions + from;
    T* y = n.y + first * n.channels + channel;
    for (int p = at.ty; p < count; p += InFlight * at.rows)
    {
        Pack<T, V> pack[InFlight];
        load_rows<T, V>(at, x, first, p, count, pack);
#pragma unroll
        for (int k = 0; k < InFlight; k++)
            if (p + k * at.rows < count)
                normalize<T, V, Silu>(pack[k], mean, a, c, y + (i64)(p + k * at.rows) * n.channels);
    }
}

// Everything for V·columns channels (whole groups) of one sample.
template <typename T, int V, bool Silu>
__device__ __forceinline__ void slab(const GroupNormArgs<T>& n)
{
    typedef Pack<T, V> P;
    DYNAMIC_SHARED(float, shared);
    Columns at(n.columns, n.rows);
    int width = V * n.columns, slices = n.channels / width, b = blockIdx.x / slices, tile = blockIdx.x % slices * width;
    float* totals = shared + totals_buffer(width, n.rows);
    float* shifts = totals + 2 * width;
    P* kept = reinterpret_cast<P*>(shared + slab_offset(width, n.rows));
    int channel = tile + at.tx * V;
    i64 first = (i64)b * n.positions;
    float shift[V] = {}, s[V] = {}, q[V] = {};
    if (at.inside())
    {
        ChannelRows<const T> x(n.x, n.skip, n.first, n.channels, channel);
        shift_of<T, V>(x, first, n.positions, shift);
        shifted_sums<T, V, true>(at, x, first, n.positions, shift, s, q, kept);
    }

    if (at.ty == 0)
#pragma unroll
        for (int j = 0; j < V; j++)
            shifts[at.own_slot<V>(j)] = shift[j];
    column_totals<V>(at, s, q, shared, totals);

    int size = n.channels / n.groups, warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    float count = (float)n.positions;
    for (int g = warp; g < width / size; g += warps)
    {
        float origin = shifts[at.slot<V>(g * size)], sum = 0, squares = 0;
        for (int i = g * size + lane; i < (g + 1) * size; i += 32)
        {
            int slot = at.slot<V>(i);
            sum += shifts[slot] - origin + totals[slot] / count;
        }

        float mean = origin + warp_reduce<Sum>(sum) / size;
        for (int i = g * size + lane; i < (g + 1) * size; i += 32)
        {
            int slot = at.slot<V>(i);
            float average = totals[slot] / count, d = shifts[slot] - mean + average;
            squares += totals[width + slot] - totals[slot] * average + count * d * d;
        }

        squares = warp_reduce<Sum>(squares);
        if (lane == 0)
            put_statistics(n, b * n.groups + tile / size + g, mean, squares / (count * size));
    }

    __syncthreads(); // the statistics are read back below
    if (!at.inside())
        return;
    float mean[V], a[V], c[V];
    coefficients<T, V>(n, b, channel, mean, a, c);
    T* y = n.y + first * n.channels + channel;
    for (int p = at.ty; p < n.positions; p += at.rows)
        normalize<T, V, Silu>(kept[p * n.columns + at.tx], mean, a, c, y + (i64)p * n.channels);
}

extern "C" __global__ void groupnorm_moments_wide(GroupNormArgs<MDM_T> n) { moments<MDM_T, Wide>(n); }

extern "C" __global__ void groupnorm_moments_single(GroupNormArgs<MDM_T> n) { moments<MDM_T, 1>(n); }

extern "C" __global__ void groupnorm_finish(GroupNormArgs<MDM_T> n) { finish<MDM_T>(n); }

extern "C" __global__ void groupnorm_apply_wide(GroupNormArgs<MDM_T> n) { BY_SILU(apply, Wide); }

extern "C" __global__ void groupnorm_apply_single(GroupNormArgs<MDM_T> n) { BY_SILU(apply, 1); }

extern "C" __global__ void __launch_bounds__(512) groupnorm_slab_wide(GroupNormArgs<MDM_T> n) { BY_SILU(slab, Wide); }

extern "C" __global__ void __launch_bounds__(512) groupnorm_slab_single(GroupNormArgs<MDM_T> n) { BY_SILU(slab, 1); }
