// LayerNorm: y = (x - mean)·rstd·gamma + beta over rows of cols elements; RMSNorm: y = x·rstd·gamma, rstd = 1/√(mean(x²) + ε).
// Backward, with g = dy·gamma and n = (x - mean)·rstd (mean = 0 for RMSNorm):
//   dx = rstd·(g - mean(g) - n·mean(g·n))      (without mean(g) for RMSNorm)
//   dgamma = Σ_rows dy·n, dbeta = Σ_rows dy
//
// Layout: x, y [rows,cols]; gamma, beta [cols] and mean, rstd [rows] float. A row belongs to a warp if 4 packs of 16 bytes a
// lane hold it, else to a block; it stays in registers (what is beyond 4 packs a thread is read again), so that mean
// and variance are taken in two passes over numbers that were read once. Parameter gradients: columns as in columns.cuh over
// chunks of rows, then one block for 32 columns adds the chunks in order.
// Launches: forward, input: 4 rows a block of 128, or 1 row a block of 256; sums: (chunks, column tiles); parameters: cols / 32.
//
// version                        bytes moved (bf16)   [16384,1024] at 3 TB/s   measured
// forward                        4 B an element       67 MB, 22 us             not measured yet
// input + sums + parameters      10 B an element      168 MB, 56 us            not measured yet
#include "columns.cuh"
#include "vectors.cuh"

// A row's packs lane, lane+lanes, ...: the first ones in registers.
template <typename T, int V>
struct RowPacks
{
    static const int Kept = V == 1 ? 8 : 4;
    Pack<T, V> kept[Kept];
    const T* row;
    int lane, lanes, packs;

    __device__ __forceinline__ RowPacks(const T* row, int lane, int lanes, int packs)
        : row(row), lane(lane), lanes(lanes), packs(packs)
    {
#pragma unroll
        for (int k = 0; k < Kept; k++)
            if (lane + k * lanes < packs)
                kept[k] = load_pack<V>(row + (lane + k * lanes) * V);
    }

    __device__ __forceinline__ Pack<T, V> beyond(int i) const { return load_pack<V>(row + i * V); }
};

// f(pack, first column of it)
template <typename T, int V, typename F>
__device__ __forceinline__ void each(const RowPacks<T, V>& x, F f)
{
#pragma unroll
    for (int k = 0; k < RowPacks<T, V>::Kept; k++)
        if (x.lane + k * x.lanes < x.packs)
            f(x.kept[k], (x.lane + k * x.lanes) * V);
    for (int i = x.lane + RowPacks<T, V>::Kept * x.lanes; i < x.packs; i += x.lanes)
        f(x.beyond(i), i * V);
}

template <typename T, int V, typename F>
__device__ __forceinline__ void each(const RowPacks<T, V>& x, const RowPacks<T, V>& y, F f)
{
#pragma unroll
    for (int k = 0; k < RowPacks<T, V>::Kept; k++)
        if (x.lane + k * x.lanes < x.packs)
            f(x.kept[k], y.kept[k], (x.lane + k * x.lanes) * V);
    for (int i = x.lane + RowPacks<T, V>::Kept * x.lanes; i < x.packs; i += x.lanes)
        f(x.beyond(i), y.beyond(i), i * V);
}

// V neighbouring parameters.
template <int V>
struct Parameters
{
    float v[V];

    __device__ __forceinline__ explicit Parameters(const float* p)
    {
        const int N = V == 1 ? 1 : 4;
#pragma unroll
        for (int j = 0; j < V; j += N)
        {
            Pack<float, N> pack = load_pack<N>(p + j);
#pragma unroll
            for (int k = 0; k < N; k++)
                v[j + k] = pack.at(k);
        }
    }
};

// Which row a thread works on and how its lanes add: a warp or a block a row.
template <bool Warp>
struct RowGroup
{
    int row, lane, lanes;
    float* scratch;

    __device__ __forceinline__ explicit RowGroup(float* scratch)
        : row(Warp ? (int)((blockIdx.x * blockDim.x + threadIdx.x) / 32) : (int)blockIdx.x),
          lane(Warp ? (int)threadIdx.x % 32 : (int)threadIdx.x), lanes(Warp ? 32 : (int)blockDim.x), scratch(scratch)
    {
    }

    __device__ __forceinline__ float sum(float x) const
    {
        return Warp ? warp_reduce<Sum>(x) : block_reduce<Sum>(x, scratch);
    }
};

template <typename T, int V, bool Rms, bool Warp>
__device__ __forceinline__ void forward(int rows, int cols, float epsilon, const T* x, const float* gamma, const float* beta,
    T* y, float* mean, float* rstd)
{
    SHARED(float, scratch[32]);
    RowGroup<Warp> at(scratch);
    if (at.row >= rows)
        return;
    RowPacks<T, V> row(x + (i64)at.row * cols, at.lane, at.lanes, cols / V);
    float m = 0, sum = 0;
    if (!Rms)
    {
        each(row, [&](const Pack<T, V>& p, int)
        {
#pragma unroll
            for (int j = 0; j < V; j++)
                sum += p.at(j);
        });
        m = at.sum(sum) / cols;
    }

    float squares = 0;
    each(row, [&](const Pack<T, V>& p, int)
    {
#pragma unroll
        for (int j = 0; j < V; j++)
            squares += (p.at(j) - m) * (p.at(j) - m);
    });
    float k = 1 / sqrtf(at.sum(squares) / cols + epsilon);
    if (at.lane == 0)
    {
        if (!Rms)
            mean[at.row] = m;
        rstd[at.row] = k;
    }

    T* out = y + (i64)at.row * cols;
    each(row, [&](const Pack<T, V>& p, int column)
    {
        Parameters<V> g(gamma + column);
        float result[V];
#pragma unroll
        for (int j = 0; j < V; j++)
            result[j] = (p.at(j) - m) * k * g.v[j];
        if (!Rms)
        {
            Parameters<V> b(beta + column);
#pragma unroll
            for (int j = 0; j < V; j++)
                result[j] += b.v[j];
        }

        store_pack<V>(out + column, result);
    });
}

template <typename T, int V, bool Rms, bool Warp>
__device__ __forceinline__ void input(int rows, int cols, const T* dy, const T* x, const float* gamma, const float* mean,
    const float* rstd, T* dx, bool add)
{
    SHARED(float, scratch[32]);
    RowGroup<Warp> at(scratch);
    if (at.row >= rows)
        return;
    i64 first = (i64)at.row * cols;
    RowPacks<T, V> row(x + first, at.lane, at.lanes, cols / V), gradient(dy + first, at.lane, at.lanes, cols / V);
    float m = Rms ? 0 : mean[at.row], k = rstd[at.row], s1 = 0, s2 = 0;
    each(row, gradient, [&](const Pack<T, V>& p, const Pack<T, V>& q, int column)
    {
        Parameters<V> w(gamma + column);
#pragma unroll
        for (int j = 0; j < V; j++)
        {
            float g = q.at(j) * w.v[j];
            s1 += g;
            s2 += g * (p.at(j) - m);
        }
    });
    float across = Rms ? 0 : -k * at.sum(s1) / cols, along = -k * k * k * at.sum(s2) / cols;
    T* out = dx + first;
    each(row, gradient, [&](const Pack<T, V>& p, const Pack<T, V>& q, int column)
    {
        Parameters<V> w(gamma + column);
        float result[V];
#pragma unroll
        for (int j = 0; j < V; j++)
            result[j] = q.at(j) * w.v[j] * k + (p.at(j) - m) * along + across;
        put_pack<V>(out + column, result, add);
    });
}

// partials [chunks, 2, cols]: Σ dy·n and Σ dy over a chunk of rows.
template <typename T, int V, bool Rms>
__device__ __forceinline__ void sums(int rows, int cols, int columns, int blockRows, int chunkRows, const T* dy, const T* x,
    const float* mean, const float* rstd, float* partials)
{
    DYNAMIC_SHARED(float, shared);
    Columns at(columns, blockRows);
    int width = V * columns, tile = blockIdx.y * width, column = tile + at.tx * V;
    int from = blockIdx.x * chunkRows, end = min(rows, from + chunkRows);
    float* totals = shared + totals_buffer(width, blockRows);
    float s1[V] = {}, s2[V] = {};
    if (at.inside() && column < cols)
    {
#pragma unroll 4
        for (int r = from + at.ty; r < end; r += blockRows)
        {
            Pack<T, V> p = load_pack<V>(x + (i64)r * cols + column), q = load_pack<V>(dy + (i64)r * cols + column);
            float m = Rms ? 0 : mean[r], k = rstd[r];
#pragma unroll
            for (int j = 0; j < V; j++)
            {
                s1[j] += q.at(j) * ((p.at(j) - m) * k);
                s2[j] += q.at(j);
            }
        }
    }

    column_totals<V>(at, s1, s2, shared, totals);
    float* out = partials + (i64)blockIdx.x * 2 * cols;
    for (int i = threadIdx.x; i < width && tile + i < cols; i += blockDim.x)
    {
        out[tile + i] = totals[at.slot<V>(i)];
        out[cols + tile + i] = totals[width + at.slot<V>(i)];
    }
}

__device__ __forceinline__ void parameters(int chunks, int cols, int columns, int blockRows, const float* partials,
    float* dgamma, bool addDgamma, float* dbeta, bool addDbeta)
{
    DYNAMIC_SHARED(float, shared);
    Columns at(columns, blockRows);
    float* totals = shared + totals_buffer(columns, blockRows);
    int first = blockIdx.x * columns, column = first + at.tx;
    float g[1] = {}, b[1] = {};
    for (int chunk = at.ty; chunk < chunks && column < cols; chunk += blockRows)
    {
        g[0] += partials[(i64)chunk * 2 * cols + column];
        b[0] += partials[((i64)chunk * 2 + 1) * cols + column];
    }

    column_totals<1>(at, g, b, shared, totals);
    for (int i = threadIdx.x; i < columns && first + i < cols; i += blockDim.x)
    {
        if (dgamma)
            put(dgamma + first + i, totals[i], addDgamma);
        if (dbeta)
            put(dbeta + first + i, totals[columns + i], addDbeta);
    }
}

static const int Wide = Widest<MDM_T>::N;

#define FORWARD(name, V, Warp)                                                                                              \
    extern "C" __global__ void layernorm_##name(int rows, int cols, float epsilon, const MDM_T* x,                          \
        const float* gamma, const float* beta, MDM_T* y, float* mean, float* rstd)                                          \
    {                                                                                                                       \
        forward<MDM_T, V, false, Warp>(rows, cols, epsilon, x, gamma, beta, y, mean, rstd);                                 \
    }                                                                                                                       \
    extern "C" __global__ void rmsnorm_##name(int rows, int cols, float epsilon, const MDM_T* x,                            \
        const float* gamma, MDM_T* y, float* rstd)                                                                          \
    {                                                                                                                       \
        forward<MDM_T, V, true, Warp>(rows, cols, epsilon, x, gamma, nullptr, y, nullptr, rstd);                            \
    }

#define INPUT(name, V, Warp)                                                                                                \
    extern "C" __global__ void layernorm_input_##name(int rows, int cols, const MDM_T* dy,                                  \
        const MDM_T* x, const float* gamma, const float* mean, const float* rstd, MDM_T* dx, int add)                       \
    {                                                                                                                       \
        input<MDM_T, V, false, Warp>(rows, cols, dy, x, gamma, mean, rstd, dx, add);                                        \
    }                                                                                                                       \
    extern "C" __global__ void rmsnorm_input_##name(int rows, int cols, const MDM_T* dy,                                    \
        const MDM_T* x, const float* gamma, const float* rstd, MDM_T* dx, int add)                                          \
    {                                                                                                                       \
        input<MDM_T, V, true, Warp>(rows, cols, dy, x, gamma, nullptr, rstd, dx, add);                                      \
    }

#define SUMS(name, V)                                                                                                       \
    extern "C" __global__ void layernorm_sums_##name(int rows, int cols, int columns, int blockRows, int chunkRows,         \
        const MDM_T* dy, const MDM_T* x, const float* mean, const float* rstd, float* partials)                             \
    {                                                                                                                       \
        sums<MDM_T, V, false>(rows, cols, columns, blockRows, chunkRows, dy, x, mean, rstd, partials);                      \
    }                                                                                                                       \
    extern "C" __global__ void rmsnorm_sums_##name(int rows, int cols, int columns, int blockRows, int chunkRows,           \
        const MDM_T* dy, const MDM_T* x, const float* rstd, float* partials)                                                \
    {                                                                                                                       \
        sums<MDM_T, V, true>(rows, cols, columns, blockRows, chunkRows, dy, x, nullptr, rstd, partials);                    \
    }

FORWARD(warp_wide, Wide, true)
FORWARD(warp_single, 1, true)
FORWARD(block_wide, Wide, false)
FORWARD(block_single, 1, false)
INPUT(warp_wide, Wide, true)
INPUT(warp_single, 1, true)
INPUT(block_wide, Wide, false)
INPUT(block_single, 1, false)
SUMS(wide, Wide)
SUMS(single, 1)

extern "C" __global__ void layernorm_parameters(int chunks, int cols, int columns, int blockRows, const float* partials,
    float* dgamma, int addDgamma, float* dbeta, int addDbeta)
{
    parameters(chunks, cols, columns, blockRows, partials, dgamma, addDgamma, dbeta, addDbeta);
}
