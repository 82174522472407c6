// Tiles of the operands of a product in shared memory, and copies to them.
//
// A product C[M,N] = A[M,K] B[K,N] goes through K in steps of 128 bytes (64 bfloat16, 32 floats). A stage holds one step of
// both operands, in pieces (chunks) of 16 bytes:
//   K-major  (K contiguous in memory):       one row of 128 bytes for each row of A or column of B;
//   MN-major (M or N contiguous in memory):  one row of Size elements for each k.
// Chunk c of row r lies at chunk c ^ f(r) of its row, f < 8, so a chunk never leaves its 128 bytes. Shared memory serves
// 128 bytes (8 chunks) at a time from 32 banks, so eight chunks are read without conflict if their places differ modulo 8.
// Copies write eight neighbouring chunks of a row: always a permutation. Reads choose f:
//   ByRow    f = r mod 8. ldmatrix reads one logical chunk of 8 consecutive rows; f takes 8 values over them.
//   ByFour   f = (r ^ r/4) mod 8. Threads of the float kernel read one chunk of rows 4t+j, t = 0..7: bits 2 to 4 of r vary,
//            and f is a bijection of them (and of bits 0 to 2).
//   ByPair   f = 2 (r mod 4). TF32 fragments from an MN-major tile: 4 rows k, 8 consecutive elements (2 chunks) of each;
//            every row gets a pair of chunks of its own.
#pragma once
#include "types.cuh"

// How products are formed.
enum class Math
{
    Simt, // float, fused multiply-add
    Tf32, // float rounded to TF32, tensor cores
    Bf16, // bfloat16, tensor cores
};

constexpr int step_bytes = 128;

template <typename T>
constexpr int chunk_elements = 16 / (int)sizeof(T);

template <typename T>
constexpr int step_elements = step_bytes / (int)sizeof(T);

// One operand's part of a stage. Size: rows of A or columns of B.
template <Math M, typename T, int Size, bool KMajor>
struct Tile
{
    static constexpr bool k_major = KMajor;
    static constexpr int size = Size;
    static constexpr int bytes = Size * step_bytes;
    static constexpr int row_bytes = KMajor ? step_bytes : Size * (int)sizeof(T);
    static constexpr int rows = KMajor ? Size : step_elements<T>;
    static constexpr int row_chunks = row_bytes / 16;

    __device__ static __forceinline__ int swizzle(int row)
    {
        if (M == Math::Simt)
            return KMajor ? (row ^ (row >> 2)) & 7 : row & 7;
        return M == Math::Tf32 && !KMajor ? (row & 3) * 2 : row & 7;
    }

    __device__ static __forceinline__ int offset(int row, int chunk)
    {
        return row * row_bytes + (chunk ^ swizzle(row)) * 16;
    }
};

// The chunks of a tile that one of Threads threads copies: always the same chunk of rows row, row + step, ...
template <typename Tile, int Threads>
struct ThreadChunks
{
    static constexpr int step = Threads / Tile::row_chunks;
    static constexpr int count = Tile::rows / step;
    static_assert(Threads % Tile::row_chunks == 0 && Tile::rows % step == 0, "threads do not share the tile evenly");

    int row, chunk;

    __device__ __forceinline__ ThreadChunks() : row(threadIdx.x / Tile::row_chunks), chunk(threadIdx.x % Tile::row_chunks) {}

    __device__ __forceinline__ char* at(char* tile, int i) const { return tile + Tile::offset(row + i * step, chunk); }
};

// Starts the copy of a chunk of which the first `valid` elements exist; zeros take the place of the others, which
// are not read. Aligned: the source's address is a multiple of 16, and the copy is asynchronous.
template <typename T, bool Aligned>
__device__ __forceinline__ void copy_chunk(char* shared, const T* source, int valid)
{
    if (Aligned)
        cp_async_16_partial(shared, source, valid * (int)sizeof(T));
    else
    {
        Vec<T, chunk_elements<T>> x;
#pragma unroll
        for (int e = 0; e < chunk_elements<T>; e++)
            x.v[e] = e < valid ? source[e] : from_float<T>(0.0f);
        *reinterpret_cast<Vec<T, chunk_elements<T>>*>(shared) = x;
    }
}

__device__ __forceinline__ int clamp_chunk(int left, int elements) { return left < 0 ? 0 : left < elements ? left : elements; }

// n / divisor for 0 <= n < 2^31, by a multiplication: multiplier = ceil(2^shift / divisor), shift = 31 + ceil(log2 divisor).
struct FastDivide
{
    u32 divisor, multiplier, shift;

    __device__ __forceinline__ int quotient(int n) const { return (int)(((u64)(u32)n * multiplier) >> shift); }
    __device__ __forceinline__ int remainder(int n, int quotient) const { return n - quotient * (int)divisor; }
};

// Which tile of C a block computes. Blocks that run at the same time form groups of 8 tiles of M by some of N, so that
// they share operands in the second-level cache.
struct TilePlace
{
    int m, n;

    __device__ __forceinline__ TilePlace(int block, int tiles_m, int tiles_n)
    {
        const int group_rows = 8;
        int group = block / (group_rows * tiles_n), within = block - group * group_rows * tiles_n;
        int rows = tiles_m - group * group_rows;
        rows = rows < group_rows ? rows : group_rows;
        m = group * group_rows + within % rows;
        n = within / rows;
    }
};
