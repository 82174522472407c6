// 3x3 convolutions with padding 1, bfloat16 with float32 sums, as implicit products on Hopper's matrix core
// (include/hopper.cuh describes blocks, shared memory and barriers). Images [B,H,W,C], weights [O,3,3,I]; nothing is gathered.
//
//   forward  y[p,o]     = sum over taps t and i of x[p + t, i] w[o,t,i]        M = pixels, N = O, K = taps I
//   data     dx[p,i]    = sum over taps t and o of dy[p + t, o] w[o,t,i]       M = pixels, N = I, K = taps O
//   weight   dw[o,t,i]  = sum over pixels p of dy[p,o] x[p + t, i]             M = O, N = taps I, K = pixels
// and then the epilogue of include/output.cuh; the weights' gradient gives that of the bias too, the sums of dy.
//
// Pixels p come in boxes of bw x bh x bn (columns, rows, images; powers of two): 128 of them are the rows of a tile, 64 a step of
// K of the weights' gradient. For each tap the tensor copy unit brings the same box, moved by the tap; what lies outside the
// image arrives as zeros, and that is the padding. Boxes may overhang an image: such rows of a tile are not stored, and such
// pixels of dy are zeros. Channels are copied 64 at a time; those that do not exist are zeros.
//
// Every second pixel of an image is an image for the copy unit, with twice the strides: one with pixels 2p + d, d = -1, 0, 1, 2,
// is read through four maps, one for each parity of row and column. With the sums of conv_weights.cu where an image is doubled:
//   stride 2   forward: 9 taps of x's parities. Data: four launches, one for each parity of dx, of 1, 2, 2 and 4 taps.
//   doubled    forward: four products of 4 taps, one for each parity of y, beside each other in N. Data: 16 taps of dy's
//              parities. Weight: 16 taps, of which four see the same parity of dy; conv_weights.cu makes dw of their gradients.
// N of the weights' gradient is cut in blocks of 64 channels of one tap, numbered tap ceil(I/64) + i/64, so that a tile of 256
// can hold several taps of a narrow layer (four taps are a multiple of 256).
// Tensor maps, innermost first: images {C, W, H, B}, boxes of 64, bw, bh, bn; weights {I, taps, O}, boxes of 64, 1,
// TILE_N / CLUSTER (forward) or 64, 1, 64 (data). Steps of K: forward and data take the taps of 64 channels, then the next.
// C and the addresses are multiples of 16 bytes where a map is made of them.
//
// Grid, block, registers and shared memory as in hopper_matmul.cu.
//
// Versions (not measured yet; predicted share of an H100's dense bfloat16 peak, 256 channels at 64x64, batch 32):
//   forward, data  128x256x64, clusters of 2   70 %   36 steps a tile; 1,024 tiles are 7.8 waves of 132 blocks (97 %)
//   weight         128x256x64, clusters of 2   65 %   9 pairs of tiles in 7 parts of 293 steps: 126 of 132 multiprocessors, and
//                                                     16 MB of partial sums to write and to add
//   stride 2, doubled   as above, if the copy unit reads lines of 128 bytes at twice the distance as fast as neighbouring ones
#include "hopper_store.cuh"

// An image, or every second pixel of one: map 2 (parity of the row) + parity of the column. All four are the same otherwise.
struct HopperImages
{
    TensorMap map[4];

    __device__ __forceinline__ void prefetch() const
    {
        for (int i = 0; i < 4; ++i)
            tensor_prefetch(&map[i]);
    }
};

// Which map, and how far from the product's pixel. other: the tap's place in the weights; in their gradient, dy's map.
struct HopperTap
{
    signed char map, y, x, other;
};

struct HopperTaps
{
    int count; // of one product
    HopperTap tap[16];
};

// Where pixel (y, x) of a product goes: pixel (step y + own_y, step x + own_x). With four products, each has its own parity.
struct HopperPixels
{
    int height, width; // of the image that is written
    int step, own_y, own_x;
    int products; // beside each other in N: 1 or 4
};

// The pixels of a tile or a step.
struct HopperBoxes
{
    int width, height, batch;       // of the product's pixels
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

    // Moves from a box's corner to its pixel i; false: there is none.
    __device__ __forceinline__ bool find(int i, int& x, int& y, int& b) const
    {
        x += i & ((1 << log_width) - 1);
        y += i >> log_width & ((1 << log_height) - 1);
        b += i >> (log_width + log_height);
        return x < width && y < height && b < batch;
    }
};

constexpr int log_rows = 7, log_depth = 6; // of HopperRows and HopperDepth

struct PixelRows
{
    const HopperBoxes& boxes;
    const HopperPixels& out;
    int x, y, b, own_y, own_x;

    __device__ __forceinline__ i64 operator()(int row) const
    {
        int px = x, py = y, image = b;
        if (!boxes.find(row, px, py, image))
            return -1;
        return ((i64)image * out.height + out.step * py + own_y) * out.width + out.step * px + own_x;
    }
};

// A tile's columns among those of the products that lie beside each other.
struct ProductColumns
{
    int product, n;

    __device__ __forceinline__ ProductColumns(const HopperTile& tile, int tiles_n, int products)
    {
        int each = tiles_n / products;
        product = tile.n / each;
        n = tile.n - product * each;
    }
};

// Forward (Transposed = 0): B is K-major. Data: B is N-major.
template <int N, int Transposed>
struct ConvLoad
{
    const HopperImages& images;
    const TensorMap& weights;
    const HopperBoxes& boxes;
    const HopperTaps& taps;
    int tiles_n, products;

    __device__ __forceinline__ void prefetch() const
    {
        images.prefetch();
        tensor_prefetch(&weights);
    }

    __device__ __forceinline__ void operator()(const HopperTile& tile, int step, u8* a, u8* b, u64* barrier) const
    {
        ProductColumns columns(tile, tiles_n, products);
        int chunk = step / taps.count, channel = chunk * HopperDepth, n = columns.n * N, x, y, image;
        HopperTap tap = taps.tap[columns.product * taps.count + step - taps.count * chunk];
        boxes.corner(tile.m, log_rows - boxes.log_width - boxes.log_height, x, y, image);
        tensor_load_4d(a, &images.map[tap.map], barrier, channel, x + tap.x, y + tap.y, image);
        HopperShare<N> share;
        if (Transposed)
            for (int i = share.first; i < share.last; i += 64)
                load_weights(b, barrier, i, n + i, tap.other, channel);
        else
            load_weights(b, barrier, share.first, channel, tap.other, n + share.first);
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
    const HopperPixels& out;
    int channels, tiles_n;

    __device__ __forceinline__ void operator()(const float (&d)[N / 2], const HopperTile& tile, int consumer) const
    {
        ProductColumns columns(tile, tiles_n, out.products);
        PixelRows rows{boxes, out, 0, 0, 0, out.own_y + columns.product / 2, out.own_x + columns.product % 2};
        boxes.corner(tile.m, log_rows - boxes.log_width - boxes.log_height, rows.x, rows.y, rows.b);
        hopper_store<N>(d, output, tile.split, boxes.batch * out.height * out.width, consumer, rows,
            FirstColumns{columns.n * N, channels});
    }
};

// Neither GELU nor its gradient follows a convolution.
#define HOPPER_CONV(name, Transposed)                                                                                    \
    HOPPER_KERNEL name(const __grid_constant__ HopperImages images, const __grid_constant__ TensorMap weights,           \
        const __grid_constant__ HopperWork work, const __grid_constant__ HopperBoxes boxes,                              \
        const __grid_constant__ HopperTaps taps, const __grid_constant__ HopperPixels out,                               \
        const __grid_constant__ Output output, int channels)                                                             \
    {                                                                                                                    \
        Output o = output;                                                                                               \
        o.z = nullptr;                                                                                                   \
        o.gate = nullptr;                                                                                                \
        hopper_product<TILE_N, 0, Transposed>(work,                                                                      \
            ConvLoad<TILE_N, Transposed>{images, weights, boxes, taps, work.tiles_n, out.products},                      \
            ConvStore<TILE_N>{o, boxes, out, channels, work.tiles_n}, HopperNoRows{});                                   \
    }

HOPPER_CONV(hopper_conv_forward, 0)
HOPPER_CONV(hopper_conv_data, 1)

template <int N>
struct ConvWeightLoad
{
    const HopperImages &dys, &xs;
    const HopperBoxes& boxes;
    const HopperTaps& taps;
    int in_blocks; // of 64 input channels

    __device__ __forceinline__ void prefetch() const
    {
        dys.prefetch();
        xs.prefetch();
    }

    // The tap of block n / 64. Blocks beyond the last one are not stored.
    __device__ __forceinline__ HopperTap tap(int block) const { return taps.tap[min(block / in_blocks, taps.count - 1)]; }

    __device__ __forceinline__ void operator()(const HopperTile& tile, int step, u8* a, u8* b, u64* barrier) const
    {
        int x, y, image, first = tile.n * (N / 64);
        boxes.corner(step, log_depth - boxes.log_width - boxes.log_height, x, y, image);
        const TensorMap* dy = &dys.map[tap(first).other];
        for (int i = 0; i < HopperRows; i += 64)
            tensor_load_4d(a + i * HopperLine, dy, barrier, tile.m * HopperRows + i, x, y, image);
        HopperShare<N> share;
        for (int i = share.first; i < share.last; i += 64)
        {
            int block = first + i / 64, channel = block % in_blocks * 64;
            HopperTap t = tap(block);
            if (CLUSTER == 1)
                tensor_load_4d(b + i * HopperLine, &xs.map[t.map], barrier, channel, x + t.x, y + t.y, image);
            else
                tensor_multicast_4d(
                    b + i * HopperLine, &xs.map[t.map], barrier, HopperShare<N>::blocks, channel, x + t.x, y + t.y, image);
        }
    }
};

struct TapColumns
{
    int first, in_channels, in_blocks, taps; // first: number of a block of 64

    __device__ __forceinline__ int operator()(int group, int& column) const
    {
        int block = first + group / 2, tap = block / in_blocks;
        int channel = (block - tap * in_blocks) * 64 + group % 2 * 32;
        column = tap * in_channels + channel;
        return tap < taps ? in_channels - channel : 0;
    }
};

template <int N>
struct ConvWeightStore
{
    const Output& output;
    int out_channels, in_channels, in_blocks, taps;

    __device__ __forceinline__ void operator()(const float (&d)[N / 2], const HopperTile& tile, int consumer) const
    {
        hopper_store<N>(d, output, tile.split, out_channels, consumer, FirstRows{tile.m * HopperRows, out_channels},
            TapColumns{tile.n * (N / 64), in_channels, in_blocks, taps});
    }
};

// dy_parities: 4 if the taps see four parities of dy, as many one after the other; else 1.
HOPPER_KERNEL hopper_conv_weight(const __grid_constant__ HopperImages dys, const __grid_constant__ HopperImages xs,
    const __grid_constant__ HopperWork work, const __grid_constant__ HopperBoxes boxes, const __grid_constant__ HopperTaps taps,
    const __grid_constant__ Output output, int out_channels, int in_channels, int dy_parities)
{
    int in_blocks = (in_channels + 63) / 64;
    Output o = output;
    o.z = nullptr;
    o.gate = nullptr;
    hopper_product<TILE_N, 1, 1>(work, ConvWeightLoad<TILE_N>{dys, xs, boxes, taps, in_blocks},
        ConvWeightStore<TILE_N>{o, out_channels, in_channels, in_blocks, taps.count},
        HopperRowSums{output.rows, out_channels, work.tiles_n / dy_parities});
}
