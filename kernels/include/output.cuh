// What happens to a product before it is written:
//   v = A B (+ bias[n]);  z = v, v = gelu(v) if z is wanted;  v *= gelu'(gate);  v += residual;  v += c if accumulating;  c = v.
// With partial set, the plain sums of this part of K go there instead, and splitk.cu does the rest.
#pragma once
#include "tile.cuh"

// Beside a product, the sums of the rows of A: for a weight's gradient dY^T X that of the bias. The tiles of C that share rows
// of A (as many as C has tiles of N) share the steps of K among them.
struct RowSums
{
    float* partial; // [pieces, M], a piece for each tile of N and part of K; or null: no such sums
    float* sums;    // [M]
    int pieces;
    int accumulate; // add to sums

    // The end, when all pieces are there: row `row` of m.
    __device__ __forceinline__ void finish(int m, int row) const
    {
        float sum = accumulate ? sums[row] : 0.0f;
        for (int piece = 0; piece < pieces; piece++)
            sum += partial[(i64)piece * m + row];
        sums[row] = sum;
    }
};

// The steps of K of which a tile sums its rows of A.
struct RowShare
{
    int most, least; // steps that are left, this one included: most to least + 1

    // Share `index` of `count` steps that are divided among `tiles`.
    __device__ __forceinline__ RowShare(const RowSums& rows, int index, int tiles, int count)
        : most(rows.partial != nullptr ? (int)((i64)count * (index + 1) / tiles) : 0), least((int)((i64)count * index / tiles))
    {
    }

    __device__ __forceinline__ bool has(int left) const { return left <= most && left > least; }
};

struct Output
{
    void* c;              // [M,N], leading dimension ldc: T, or float
    const float* bias;    // [N] or null
    const void* residual; // as c, or null
    void* z;              // T, as c, or null
    const void* gate;     // T, as c, or null
    float* partial;       // [parts,M,columns], or null
    int ldc;
    int columns;    // of partial: N rounded up to a multiple of 8
    int accumulate; // add to c
    int is_float;   // c and residual are float
    int vector;     // every row starts at a multiple of 16 bytes
    RowSums rows;
};

// Where row m of the product goes: row m of c; or, for a product over every second pixel of an image, pixel
// (step p + y, step q + x) for m = (b, p, q).
struct RowMap
{
    FastDivide by_image, by_row; // divisors P Q and Q
    int height, width;           // of the image written
    int step, y, x;              // step 0: row m

    __device__ __forceinline__ i64 operator()(int m) const
    {
        if (step == 0)
            return m;
        int b = by_image.quotient(m), rest = by_image.remainder(m, b), p = by_row.quotient(rest);
        int q = by_row.remainder(rest, p);
        return ((i64)b * height + p * step + y) * width + q * step + x;
    }
};

__device__ __forceinline__ float gelu(float z) { return 0.5f * z * (1.0f + erff(z * 0.70710678118654752f)); }

// gelu'(z) = Phi(z) + z phi(z)
__device__ __forceinline__ float gelu_slope(float z)
{
    return 0.5f * (1.0f + erff(z * 0.70710678118654752f)) + z * 0.39894228040143268f * expf(-0.5f * z * z);
}

// v[i] = p[i] for i < count, else 0; 16 bytes at a time if vector (p is then a multiple of 16 bytes, and count is N).
template <typename T, int N>
__device__ __forceinline__ void read_values(const T* p, int count, bool vector, float (&v)[N])
{
    const int width = chunk_elements<T> < N ? chunk_elements<T> : N;
    if (vector)
    {
#pragma unroll
        for (int i = 0; i < N; i += width)
        {
            Vec<T, width> x = *reinterpret_cast<const Vec<T, width>*>(p + i);
#pragma unroll
            for (int e = 0; e < width; e++)
                v[i + e] = to_float(x.v[e]);
        }
    }
    else
    {
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] = i < count ? to_float(p[i]) : 0.0f;
    }
}

// p[i] = v[i] for i < count.
template <typename T, int N>
__device__ __forceinline__ void write_values(T* p, int count, bool vector, const float (&v)[N])
{
    const int width = chunk_elements<T> < N ? chunk_elements<T> : N;
    if (vector)
    {
#pragma unroll
        for (int i = 0; i < N; i += width)
        {
            Vec<T, width> x;
#pragma unroll
            for (int e = 0; e < width; e++)
                x.v[e] = from_float<T>(v[i + e]);
            *reinterpret_cast<Vec<T, width>*>(p + i) = x;
        }
    }
    else
    {
#pragma unroll
        for (int i = 0; i < N; i++)
            if (i < count)
                p[i] = from_float<T>(v[i]);
    }
}

// v += p[0..count), elements of type float or T.
template <typename T, int N>
__device__ __forceinline__ void add_values(const void* p, i64 at, bool is_float, int count, bool vector, float (&v)[N])
{
    float x[N];
    if (is_float)
        read_values((const float*)p + at, count, vector, x);
    else
        read_values((const T*)p + at, count, vector, x);
#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] += x[i];
}

// The epilogue of N neighbouring elements of a row: element `at` of c and those after it, column `column` of the product,
// count of which exist.
template <typename T, int N>
__device__ __forceinline__ void finish(const Output& o, i64 at, int column, int count, float (&v)[N])
{
    bool vector = o.vector && count == N;
    if (o.bias != nullptr)
    {
        // A bias lies among other parameters, at any multiple of 4 bytes.
        add_values<float>(o.bias, column, true, count, count == N && (u64)(o.bias + column) % 16 == 0, v);
    }

    if (o.z != nullptr)
    {
        write_values((T*)o.z + at, count, vector, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] = gelu(v[i]);
    }

    if (o.gate != nullptr)
    {
        float z[N];
        read_values((const T*)o.gate + at, count, vector, z);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] *= gelu_slope(z[i]);
    }

    if (o.residual != nullptr)
        add_values<T>(o.residual, at, o.is_float, count, vector, v);
    if (o.accumulate)
        add_values<T>(o.c, at, o.is_float, count, vector, v);
    if (o.is_float)
        write_values((float*)o.c + at, count, vector, v);
    else
        write_values((T*)o.c + at, count, vector, v);
}

// The sums of a block's tile in shared memory, as floats, on their way to the epilogue: there a thread has 16 bytes of a row
// of c. Rows are 8 floats longer than the tile: then the pairs that a half-warp's accumulators write (rows g to g + 3,
// columns 2t and 2t + 1) cover all 32 banks once.
template <int BlockM, int BlockN, int Threads>
struct StagedSums
{
    static constexpr int pitch = BlockN + 8;
    static constexpr int bytes = BlockM * pitch * (int)sizeof(float);

    // All threads, after a barrier. m0, n0: the tile's first row and column; m, n: sizes of the product.
    template <typename T>
    __device__ static __forceinline__ void store(
        const float* sums, const Output& o, const RowMap& map, int m0, int n0, int m, int n, int part)
    {
        const int width = chunk_elements<T>, row_chunks = BlockN / width;
        static_assert(Threads % row_chunks == 0, "a thread has one column of chunks");
        int chunk = threadIdx.x % row_chunks * width, column = n0 + chunk, count = n - column;
        if (count <= 0)
            return;
        count = count < width ? count : width;
#pragma unroll 1
        for (int row = threadIdx.x / row_chunks; row < BlockM && m0 + row < m; row += Threads / row_chunks)
        {
            float v[width];
            read_values(sums + row * pitch + chunk, width, true, v);
            if (o.partial != nullptr)
                write_values(o.partial + ((i64)part * m + m0 + row) * o.columns + column, width, true, v);
            else
                finish<T>(o, map(m0 + row) * o.ldc + column, column, count, v);
        }
    }
};
