// 3x3 convolutions with padding 1 and stride 1, bfloat16 with float32 sums, as implicit products on Hopper's matrix core
// (include/hopper.cuh describes blocks, shared memory and barriers). Images [B,H,W,C], weights [O,3,3,I]; nothing is gathered.
//
//   forward  y[p,o]     = sum over taps (r,s) and i of x[p + (r-1, s-1), i] w[o,r,s,i]          M = pixels, N = O, K = 9 I
//   data     dx[p,i]    = sum over taps (r,s) and o of dy[p + (1-r, 1-s), o] w[o,r,s,i]         M = pixels, N = I, K = 9 O
//   weight   dw[o,r,s,i] = sum over pixels p of dy[p,o] x[p + (r-1, s-1), i]                    M = O, N = 9 I, K = pixels
// and then the epilogue of include/output.cuh; the weights' gradient gives that of the bias too, the sums of dy.
//
// Pixels come in boxes of bw x bh x bn (columns, rows, images; powers of two): 128 of them are the rows of a tile, 64 a step of
// K of the weights' gradient. For each tap the tensor copy unit brings the same box, moved by the tap; what lies outside the
// image arrives as zeros, and that is the padding. Boxes may overhang an image: such rows of a tile are not stored, and such
// pixels of dy are zeros. Channels are copied 64 at a time; those that do not exist are zeros.
// N of the weights' gradient is cut in blocks of 64 channels of one tap, numbered tap ceil(I/64) + i/64, so that a tile of 256
// can hold several taps of a narrow layer.
// Tensor maps, innermost first: images {C, W, H, B}, boxes of 64, bw, bh, bn; weights {I, 9, O}, boxes of 64, 1,
// TILE_N / CLUSTER (forward) or 64, 1, 64 (data). Steps of K: forward and data take the 9 taps of 64 channels, then the next.
// C and the addresses are multiples of 16 bytes where a map is made of them.
//
// Grid, block, registers and shared memory as in hopper_matmul.cu.
//
// Versions (not measured yet; predicted share of an H100's dense bfloat16 peak, 256 channels at 64x64, batch 32):
//   forward, data  128x256x64, clusters of 2   70 %   36 steps a tile; 1,024 tiles are 7.8 waves of 132 blocks (97 %)
//   weight         128x256x64, clusters of 2   65 %   9 pairs of tiles in 7 parts of 293 steps: 126 of 132 multiprocessors, and
//                                                     16 MB of partial sums to write and to add
#include "hopper_store.cuh"

// The pixels of a tile or a step.
struct HopperBoxes
{
    int width, height, batch;       // of the image
    int across, down;               // boxes beside and below each other
    int log_width, log_height;      // of a box

    // First column, row and image of a box.
    __device__ __forceinline__ void corner(int box, int images_log, int& x, int& y, int& b) const
    {
        int row = box / across;
        b = row / down;
        x = (box - row * across) << log_width;
        y = (row - b * down) << log_height;
        b <<= images_log;
    }

    // The number of pixel i of a box, or -1.
    __device__ __forceinline__ i64 pixel(int x, int y, int b, int i) const
    {
        x += i & ((1 << log_width) - 1);
        y += i >> log_width & ((1 << log_height) - 1);
        b += i >> (log_width + log_height);
        return x < width && y < height && b < batch ? ((i64)b * height + y) * width + x : -1;
    }
};

constexpr int log_rows = 7, log_depth = 6; // of HopperRows and HopperDepth

struct PixelRows
{
    const HopperBoxes& boxes;
    int x, y, b;

    __device__ __forceinline__ i64 operator()(int row) const { return boxes.pixel(x, y, b, row); }
};

// Forward (Transposed = 0): A moves with the tap, B is K-major. Data: A moves against it, B is N-major.
template <int N, int Transposed>
struct ConvLoad
{
    const TensorMap &image, &weights;
    const HopperBoxes& boxes;

    __device__ __forceinline__ void prefetch() const
    {
        tensor_prefetch(&image);
        tensor_prefetch(&weights);
    }

    __device__ __forceinline__ void operator()(const HopperTile& tile, int step, u8* a, u8* b, u64* barrier) const
    {
        int chunk = step / 9, tap = step - 9 * chunk, r = tap / 3 - 1, s = tap % 3 - 1;
        int x, y, image_number, channel = chunk * HopperDepth, n = tile.n * N;
        boxes.corner(tile.m, log_rows - boxes.log_width - boxes.log_height, x, y, image_number);
        tensor_load_4d(a, &image, barrier, channel, Transposed ? x - s : x + s, Transposed ? y - r : y + r, image_number);
        HopperShare<N> share;
        if (Transposed)
            for (int i = share.first; i < share.last; i += 64)
                load_weights(b, barrier, i, n + i, tap, channel);
        else
            load_weights(b, barrier, share.first, channel, tap, n + share.first);
    }

    __device__ __forceinline__ void load_weights(u8* b, u64* barrier, int line, int x, int tap, int z) const
    {
        if (CLUSTER == 1)
            tensor_load_3d(b + line * HopperLine, &weights, barrier, x, tap, z);
        else
            tensor_multicast_3d(b + line * HopperLine, &weights, barrier, HopperShare<N>::blocks, x, tap, z);
    }
};

template <int N>
struct ConvStore
{
    const Output& output;
    const HopperBoxes& boxes;
    int channels;

    __device__ __forceinline__ void operator()(const float (&d)[N / 2], const HopperTile& tile, int consumer) const
    {
        int x, y, b;
        boxes.corner(tile.m, log_rows - boxes.log_width - boxes.log_height, x, y, b);
        hopper_store<N>(d, output, tile.split, boxes.batch * boxes.height * boxes.width, consumer, PixelRows{boxes, x, y, b},
            FirstColumns{tile.n * N, channels});
    }
};

// Neither GELU nor its gradient follows a convolution.
#define HOPPER_CONV(name, Transposed)                                                                                     \
    HOPPER_KERNEL name(const __grid_constant__ TensorMap image, const __grid_constant__ TensorMap weights,                \
        const __grid_constant__ HopperWork work, const __grid_constant__ HopperBoxes boxes,                               \
        const __grid_constant__ Output output, int channels)                                                              \
    {                                                                                                                     \
        Output o = output;                                                                                                \
        o.z = nullptr;                                                                                                    \
        o.gate = nullptr;                                                                                                 \
        hopper_product<TILE_N, 0, Transposed>(                                                                            \
            work, ConvLoad<TILE_N, Transposed>{image, weights, boxes}, ConvStore<TILE_N>{o, boxes, channels},             \
            HopperNoRows{});                                                                                              \
    }

HOPPER_CONV(hopper_conv_forward, 0)
HOPPER_CONV(hopper_conv_data, 1)

template <int N>
struct ConvWeightLoad
{
    const TensorMap &dy_map, &x_map;
    const HopperBoxes& boxes;
    int in_blocks; // of 64 input channels

    __device__ __forceinline__ void prefetch() const
    {
        tensor_prefetch(&dy_map);
        tensor_prefetch(&x_map);
    }

    __device__ __forceinline__ void operator()(const HopperTile& tile, int step, u8* a, u8* b, u64* barrier) const
    {
        int x, y, image;
        boxes.corner(step, log_depth - boxes.log_width - boxes.log_height, x, y, image);
        for (int i = 0; i < HopperRows; i += 64)
            tensor_load_4d(a + i * HopperLine, &dy_map, barrier, tile.m * HopperRows + i, x, y, image);
        HopperShare<N> share;
        for (int i = share.first; i < share.last; i += 64)
        {
            int block = (tile.n * N + i) / 64, tap = block / in_blocks; // tap 9 and more: not stored
            int channel = (block - tap * in_blocks) * 64, tx = x + tap % 3 - 1, ty = y + tap / 3 - 1;
            if (CLUSTER == 1)
                tensor_load_4d(b + i * HopperLine, &x_map, barrier, channel, tx, ty, image);
            else
                tensor_multicast_4d(b + i * HopperLine, &x_map, barrier, HopperShare<N>::blocks, channel, tx, ty, image);
        }
    }
};

struct TapColumns
{
    int first, in_channels, in_blocks; // first: number of a block of 64

    __device__ __forceinline__ int operator()(int group, int& column) const
    {
        int block = first + group / 2, tap = block / in_blocks;
        int channel = (block - tap * in_blocks) * 64 + group % 2 * 32;
        column = tap * in_channels + channel;
        return tap < 9 ? in_channels - channel : 0;
    }
};

template <int N>
struct ConvWeightStore
{
    const Output& output;
    int out_channels, in_channels, in_blocks;

    __device__ __forceinline__ void operator()(const float (&d)[N / 2], const HopperTile& tile, int consumer) const
    {
        hopper_store<N>(d, output, tile.split, out_channels, consumer, FirstRows{tile.m * HopperRows, out_channels},
            TapColumns{tile.n * (N / 64), in_channels, in_blocks});
    }
};

HOPPER_KERNEL hopper_conv_weight(const __grid_constant__ TensorMap dy, const __grid_constant__ TensorMap x,
    const __grid_constant__ HopperWork work, const __grid_constant__ HopperBoxes boxes,
    const __grid_constant__ Output output, int out_channels, int in_channels)
{
    int in_blocks = (in_channels + 63) / 64;
    Output o = output;
    o.z = nullptr;
    o.gate = nullptr;
    hopper_product<TILE_N, 1, 1>(work, ConvWeightLoad<TILE_N>{dy, x, boxes, in_blocks},
        ConvWeightStore<TILE_N>{o, out_channels, in_channels, in_blocks},
        HopperRowSums{output.rows, out_channels, work.tiles_n});
}
