// Look-ups: rows of a table by ids, their gradient, and sinusoids of times.
//
//   gather_rows        y[r] = table[ids[r]], zeros for an id outside the table
//   scatter_add_rows   dtable[ids[r]] += dy[r]: the block of the first row with an id adds all of them in order
//   sinusoid           y[b] = [sin(t_b f_k), cos(t_b f_k)], f_k = exp(-k ln(10000)/d), k < d = width/2
//
// Layout: row-major; ids int32. Launch: see each kernel. Limits: gather, bytes / 3 TB/s; scatter, [4096,2048] bfloat16 into
// float32: 50 MB, 17 us, plus the reading of ids (each block, 16 KB from the cache).
//
//   version                                     measured
//   1  a block per row and 512 columns          not measured yet
#include "flat.cuh"

typedef MDM_T Element;

template <int N>
__device__ __forceinline__ void gather(i64 units, u32 cols, int table_rows, const int* ids, const Element* table, Element* y)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += threads)
    {
        u64 row;
        u32 col;
        divide((u64)i, cols / N, row, col);
        float v[N] = {};
        const int id = ids[row];
        if (id >= 0 && id < table_rows)
            load(table + (i64)id * cols + (i64)col * N, v);
        store_pack(y + i * N, v);
    }
}

// units = rows · cols / N. Grid-stride.
extern "C" __global__ __launch_bounds__(256) void gather_rows(
    i64 units, int cols, int table_rows, const int* ids, const Element* table, Element* y)
{
    gather<1>(units, (u32)cols, table_rows, ids, table, y);
}

// Rows and addresses are multiples of 16 bytes.
extern "C" __global__ __launch_bounds__(256) void gather_rows_wide(
    i64 units, int cols, int table_rows, const int* ids, const Element* table, Element* y)
{
    gather<Widest<Element>::N>(units, (u32)cols, table_rows, ids, table, y);
}

// Block (r, t): row r, columns 512 t and on, four per thread. 128 threads.
template <typename G>
__device__ __forceinline__ void scatter(int rows, int cols, int table_rows, const int* ids, const Element* dy, G* dtable)
{
    constexpr int THREADS = 128, COLUMNS = 4;
    SHARED(int, counts[THREADS / 32]);
    SHARED(int, same[THREADS]);
    const int row = blockIdx.x, id = ids[row], warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (id < 0 || id >= table_rows)
        return;
    int met = 0;
    for (int r = threadIdx.x; r < row; r += THREADS)
        met |= ids[r] == id;
    if (__syncthreads_or(met))
        return; // the block of an earlier row adds this one
    const int column = blockIdx.y * THREADS * COLUMNS + threadIdx.x;
    float sum[COLUMNS];
    for (int j = 0; j < COLUMNS; j++)
        sum[j] = column + j * THREADS < cols ? to_float(dtable[(i64)id * cols + column + j * THREADS]) : 0.0f;
    for (int chunk = row; chunk < rows; chunk += THREADS)
    {
        // The rows of the chunk that have this id, in order.
        const bool own = chunk + (int)threadIdx.x < rows && ids[chunk + threadIdx.x] == id;
        const u32 lanes = __ballot_sync(0xffffffffu, own);
        if (lane == 0)
            counts[warp] = __popc(lanes);
        __syncthreads(); // every thread has also done with the last chunk's list
        int before = __popc(lanes & ((1u << lane) - 1u)), all = 0;
        for (int w = 0; w < THREADS / 32; w++)
        {
            before += w < warp ? counts[w] : 0;
            all += counts[w];
        }
        if (own)
            same[before] = chunk + threadIdx.x;
        __syncthreads();
        for (int k = 0; k < all; k++)
            for (int j = 0; j < COLUMNS; j++)
                if (column + j * THREADS < cols)
                    sum[j] += to_float(dy[(i64)same[k] * cols + column + j * THREADS]);
    }
    for (int j = 0; j < COLUMNS; j++)
        if (column + j * THREADS < cols)
            dtable[(i64)id * cols + column + j * THREADS] = from_float<G>(sum[j]);
}

extern "C" __global__ __launch_bounds__(128) void scatter_add_rows(
    int rows, int cols, int table_rows, const int* ids, const Element* dy, float* dtable)
{
    scatter(rows, cols, table_rows, ids, dy, dtable);
}

// The gradient has the type of the table.
extern "C" __global__ __launch_bounds__(128) void scatter_add_rows_own(
    int rows, int cols, int table_rows, const int* ids, const Element* dy, Element* dtable)
{
    scatter(rows, cols, table_rows, ids, dy, dtable);
}

// One thread per (b, k). Frequency and angle are rounded to float32 before the sine, as the networks were trained.
extern "C" __global__ __launch_bounds__(256) void sinusoid(int batch, int width, float step, const float* t, Element* y)
{
    const int d = width / 2;
    const i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)batch * (d + width % 2))
        return;
    const int b = (int)(i / (d + width % 2)), k = (int)(i % (d + width % 2));
    Element* row = y + (i64)b * width;
    if (k == d) // an odd width ends with a zero
    {
        row[width - 1] = from_float<Element>(0.0f);
        return;
    }
    const float angle = t[b] * (float)exp((double)((float)k * step));
    row[k] = from_float<Element>(sinf(angle));
    row[d + k] = from_float<Element>(cosf(angle));
}
