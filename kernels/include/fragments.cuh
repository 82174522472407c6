// What the warps of a block do with a stage: fragments from shared memory to registers, products, and
// the sums back to shared memory.
// A block's tile is divided among warps of WarpM x WarpN; warp w has row w / (BN/WarpN) and column w % (BN/WarpN) of them.
#pragma once
#include "output.cuh"

// Tensor cores. A step is 32 bytes of K: 16 bfloat16 (m16n8k16) or 8 TF32 (m16n8k8). An accumulator of 16x8 gives thread
// 4g + t rows g and g + 8, columns 2t and 2t + 1.
template <Math M, typename T, typename TileA, typename TileB, int WarpM, int WarpN>
struct MmaWarp
{
    static constexpr int threads = TileA::size / WarpM * (TileB::size / WarpN) * 32;
    static constexpr int steps = step_bytes / 32;
    static constexpr int rows = WarpM / 16, columns = WarpN / 8;
    static_assert(WarpM % 16 == 0 && WarpN % 32 == 0, "a warp's tile is a multiple of 16 x 32");

    int lane, row0, column0;
    float sum[rows][columns][4];
    u32 a[2][rows][4], b[2][columns][2];

    __device__ __forceinline__ MmaWarp()
    {
        int warp = threadIdx.x / 32;
        lane = threadIdx.x % 32;
        row0 = warp / (TileB::size / WarpN) * WarpM;
        column0 = warp % (TileB::size / WarpN) * WarpN;
#pragma unroll
        for (int i = 0; i < rows; i++)
#pragma unroll
            for (int j = 0; j < columns; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    sum[i][j][e] = 0.0f;
    }

    // Four 8x8 blocks (16 bytes wide) of a 16 x 32-byte piece of A, or of two neighbouring pieces of B. The second block in
    // order is 8 further along M for A, along K for B.
    template <typename Tile, bool IsA>
    __device__ __forceinline__ void blocks(u32 (&r)[4], const char* tile, int first, int step) const
    {
        int second = lane / 8 % 2, third = lane / 16;
        int along = (IsA ? second : third) * 8, deep = IsA ? third : second;
        if (Tile::k_major)
            ldmatrix_x4(r, tile + Tile::offset(first + along + lane % 8, 2 * step + deep));
        else if (M == Math::Bf16)
            ldmatrix_x4_transposed(r, tile + Tile::offset(16 * step + 8 * deep + lane % 8, (first + along) / 8));
        else
        {
#pragma unroll
            for (int block = 0; block < 4; block++)
            {
                int n = first + (IsA ? block % 2 : block / 2) * 8 + lane / 4;
                int k = 8 * step + (IsA ? block / 2 : block % 2) * 4 + lane % 4;
                r[block] = *reinterpret_cast<const u32*>(tile + Tile::offset(k, n / 4) + n % 4 * 4);
            }
        }

        if (M == Math::Tf32)
        {
#pragma unroll
            for (int i = 0; i < 4; i++)
                r[i] = to_tf32(__uint_as_float(r[i]));
        }
    }

    __device__ __forceinline__ void load(int buffer, const char* tile_a, const char* tile_b, int step)
    {
#pragma unroll
        for (int i = 0; i < rows; i++)
            blocks<TileA, true>(a[buffer][i], tile_a, row0 + 16 * i, step);
#pragma unroll
        for (int j = 0; j < columns; j += 2)
        {
            u32 r[4];
            blocks<TileB, false>(r, tile_b, column0 + 8 * j, step);
            b[buffer][j][0] = r[0];
            b[buffer][j][1] = r[1];
            b[buffer][j + 1][0] = r[2];
            b[buffer][j + 1][1] = r[3];
        }
    }

    __device__ __forceinline__ void multiply(int buffer)
    {
#pragma unroll
        for (int i = 0; i < rows; i++)
        {
#pragma unroll
            for (int j = 0; j < columns; j++)
            {
                if (M == Math::Bf16)
                    mma_bf16(sum[i][j], a[buffer][i], b[buffer][j]);
                else
                    mma_tf32(sum[i][j], a[buffer][i], b[buffer][j]);
            }
        }
    }

    // Sums of the rows of A, as products with a matrix of ones. The warps that share rows of A divide them: this one has
    // fragments own (warp's column) to own (warp's column + 1) - 1.
    struct RowSum
    {
        static constexpr int warps = TileB::size / WarpN, own = (rows + warps - 1) / warps;

        float sum[own][4] = {};

        __device__ __forceinline__ void add(const MmaWarp& warp, int buffer)
        {
            const u32 one = M == Math::Bf16 ? 0x3f803f80u : 0x3f800000u, ones[2] = {one, one};
            int column = warp.column0 / WarpN;
#pragma unroll
            for (int i = 0; i < rows; i++)
            {
                if (i / own != column)
                    continue;
                if (M == Math::Bf16)
                    mma_bf16(sum[i % own], warp.a[buffer][i], ones);
                else
                    mma_tf32(sum[i % own], warp.a[buffer][i], ones);
            }
        }

        // sums: those of all rows of A, m of them. first: the block's first row.
        __device__ __forceinline__ void store(const MmaWarp& warp, float* sums, int first, int m) const
        {
            if (warp.lane % 4 != 0)
                return;
#pragma unroll
            for (int i = 0; i < 2 * own; i++)
            {
                int fragment = warp.column0 / WarpN * own + i / 2, row = first + warp.row0 + 16 * fragment + i % 2 * 8 + warp.lane / 4;
                if (fragment < rows && row < m)
                    sums[row] = sum[i / 2][i % 2 * 2];
            }
        }
    };

    // Puts the sums into rows of `pitch` floats.
    __device__ __forceinline__ void store(float* sums, int pitch) const
    {
        sums += (row0 + lane / 4) * pitch + column0 + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < rows; i++)
#pragma unroll
            for (int j = 0; j < columns; j++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    *reinterpret_cast<Vec<float, 2>*>(sums + (16 * i + 8 * half) * pitch + 8 * j) =
                        Vec<float, 2>{{sum[i][j][2 * half], sum[i][j][2 * half + 1]}};
    }
};

// Float multiply-adds. A warp is 4 x 8 threads; thread (y, x) owns rows 4y + i + 16r and columns 4x + j + 32c. A step is two
// elements of K.
template <typename TileA, typename TileB, int WarpM, int WarpN>
struct SimtWarp
{
    static constexpr int threads = TileA::size / WarpM * (TileB::size / WarpN) * 32;
    static constexpr int steps = step_bytes / 8;
    static constexpr int rows = WarpM / 4, columns = WarpN / 8;
    static_assert(WarpM % 16 == 0 && WarpN % 32 == 0, "a warp's tile is a multiple of 16 x 32");

    int row0, column0;
    float sum[rows][columns];
    float a[2][2][rows], b[2][2][columns];

    __device__ __forceinline__ SimtWarp()
    {
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        row0 = warp / (TileB::size / WarpN) * WarpM + lane / 8 * 4;
        column0 = warp % (TileB::size / WarpN) * WarpN + lane % 8 * 4;
#pragma unroll
        for (int i = 0; i < rows; i++)
#pragma unroll
            for (int j = 0; j < columns; j++)
                sum[i][j] = 0.0f;
    }

    // x[k][i]: element k of row (or column) first + i % 4 + spacing (i / 4).
    template <typename Tile, int Count>
    __device__ __forceinline__ void values(float (&x)[2][Count], const char* tile, int first, int spacing, int step) const
    {
        if (Tile::k_major)
        {
#pragma unroll
            for (int i = 0; i < Count; i++)
            {
                const char* at = tile + Tile::offset(first + i % 4 + spacing * (i / 4), step / 2) + step % 2 * 8;
                Vec<float, 2> v = *reinterpret_cast<const Vec<float, 2>*>(at);
                x[0][i] = v.v[0];
                x[1][i] = v.v[1];
            }
        }
        else
        {
#pragma unroll
            for (int k = 0; k < 2; k++)
            {
#pragma unroll
                for (int i = 0; i < Count; i += 4)
                {
                    const char* at = tile + Tile::offset(2 * step + k, (first + spacing * (i / 4)) / 4);
                    Vec<float, 4> v = *reinterpret_cast<const Vec<float, 4>*>(at);
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        x[k][i + e] = v.v[e];
                }
            }
        }
    }

    __device__ __forceinline__ void load(int buffer, const char* tile_a, const char* tile_b, int step)
    {
        values<TileA>(a[buffer], tile_a, row0, 16, step);
        values<TileB>(b[buffer], tile_b, column0, 32, step);
    }

    __device__ __forceinline__ void multiply(int buffer)
    {
#pragma unroll
        for (int k = 0; k < 2; k++)
#pragma unroll
            for (int i = 0; i < rows; i++)
#pragma unroll
                for (int j = 0; j < columns; j++)
                    sum[i][j] = fmaf(a[buffer][k][i], b[buffer][k][j], sum[i][j]);
    }

    // Sums of the rows of A. All threads that share rows have them; the first one stores.
    struct RowSum
    {
        float sum[rows] = {};

        __device__ __forceinline__ void add(const SimtWarp& warp, int buffer)
        {
#pragma unroll
            for (int i = 0; i < rows; i++)
                sum[i] += warp.a[buffer][0][i] + warp.a[buffer][1][i];
        }

        __device__ __forceinline__ void store(const SimtWarp& warp, float* sums, int first, int m) const
        {
            if (warp.column0 != 0)
                return;
#pragma unroll
            for (int i = 0; i < rows; i++)
            {
                int row = first + warp.row0 + i % 4 + 16 * (i / 4);
                if (row < m)
                    sums[row] = sum[i];
            }
        }
    };

    // Puts the sums into rows of `pitch` floats.
    __device__ __forceinline__ void store(float* sums, int pitch) const
    {
        sums += row0 * pitch + column0;
#pragma unroll
        for (int i = 0; i < rows; i++)
#pragma unroll
            for (int j = 0; j < columns; j += 4)
                *reinterpret_cast<Vec<float, 4>*>(sums + (i % 4 + 16 * (i / 4)) * pitch + 32 * (j / 4)) =
                    Vec<float, 4>{{sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]}};
    }
};

template <Math M, typename T, typename TileA, typename TileB, int WarpM, int WarpN>
struct WarpOf
{
    typedef MmaWarp<M, T, TileA, TileB, WarpM, WarpN> type;
};

template <typename T, typename TileA, typename TileB, int WarpM, int WarpN>
struct WarpOf<Math::Simt, T, TileA, TileB, WarpM, WarpN>
{
    typedef SimtWarp<TileA, TileB, WarpM, WarpN> type;
};
