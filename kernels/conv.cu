// 3x3 convolutions with zero padding 1, channels last, as products whose operands are gathered (include/conv_operands.cuh):
//   conv_forward  y[(b,p,q), o]   = sum over (r,s,c)  x[b, stride p + y + r, stride q + x + s, c] w[o, r, s, c]
//   conv_data     dx[(b,h,w), c]  = sum over (r,s,o)  dy[b, stride h + y + r, stride w + x + s, o] w'[r, s, o, c]
//   conv_weight   dw[o, (r,s,c)]  = sum over (b,p,q)  dy[b, p, q, o] x[b, stride p + r - 1, stride q + s - 1, c]
//   conv_weight_doubled           = sum over (b,h,w)  dy[b, 2h + a, 2w + a', o] x[b, h + a - 1 + t, w + a' - 1 + t', c],
//                                   for each parity (a, a') the sums [o, (t,t',c)] of the four products with 2x2 taps
// followed by the epilogue of include/output.cuh; the weights' gradients give that of the bias too, the sums of dy. With stride 2
// the data gradient is four products, one for each parity of (h, w), with 1, 2, 2 and 4 taps; a convolution of a doubled image is
// four products of 2x2 taps with sums of the weights (conv_weights.cu), its data gradient one of 4x4 taps at stride 2: 4/9 of the
// operations of the plain way.
//
// Images are [B,H,W,C], w is [O,3,3,I]. Grid: x = tiles of the product (see TilePlace), z = parity * parts + part of K.
// Block: BM/WM · BN/WN warps. Shared memory: STAGES (BM + BN) 128 bytes. Chunks of 8 (bfloat16) or 4 channels are copied at
// once where the channels are a multiple of that (MDM_ALIGNED); channels 3 take the other way.
//
// Versions (not measured yet; predicted share of an H100's dense bfloat16 peak for 256 to 768 channels, batch 32):
//   forward 128x256   57 %   matmul.cu's figure less the look-up of addresses, 2 multiplications a chunk
//   data    128x256   55 %
//   weight  128x128   52 %   split over the pixels; partial sums add 2 |dw| parts / 3 TB/s
#include "conv_operands.cuh"
#include "product.cuh"

struct ConvArguments
{
    const void* a; // the image that is gathered; conv_weight: dy
    const void* b; // weights; conv_weight: x
    Output output;
    ConvImage image;
    ConvTaps taps[4];
    int n;
    int weight_row;       // conv_forward: distance of outputs, conv_data: of channels of dy, in w
    int tiles_m, tiles_n;
    int parts;            // of K
    int out_height, out_width, out_step; // where the product's rows go; step 0: row m
};

__device__ __forceinline__ RowMap row_map(const ConvArguments& p, const ConvTaps& taps)
{
    return RowMap{taps.by_image, taps.by_row, p.out_height, p.out_width, p.out_step, taps.out_y, taps.out_x};
}

// A product whose A is gathered from an image.
template <bool KMajorB>
struct GatheredProduct : BlockProduct<true, KMajorB>
{
    typedef BlockProduct<true, KMajorB> Product;

    template <typename SourceB>
    __device__ static __forceinline__ void run(const ConvArguments& p, const ConvTaps& taps, const TilePlace& place,
        const Part& part, SourceB& b, char* shared)
    {
        ConvPixels<typename Product::TileA, MDM_T, product_threads, MDM_ALIGNED> a(p.a, p.image, taps, place.m * BM, part.first);
        typename Product::Warp warp;
        Product::sum(warp, a, b, shared, part.count);
        Product::store(warp, shared, p.output, row_map(p, taps), place, taps.m, p.n, part.index);
    }
};

PRODUCT_KERNEL conv_forward(const __grid_constant__ ConvArguments p)
{
    typedef GatheredProduct<true> Product;
    DYNAMIC_SHARED(char, shared);
    const ConvTaps& taps = p.taps[blockIdx.z / p.parts];
    TilePlace place(blockIdx.x, p.tiles_m, p.tiles_n);
    Part part(blockIdx.z % p.parts, taps.steps, taps.steps_per_part);
    if (place.m * BM >= taps.m)
        return; // parities differ in size
    MatrixKMajor<Product::TileB, MDM_T, product_threads, MDM_ALIGNED> b(
        (const MDM_T*)p.b + taps.weight, p.weight_row, p.n, taps.k, place.n * BN, part.first);
    Product::run(p, taps, place, part, b, shared);
}

PRODUCT_KERNEL conv_data(const __grid_constant__ ConvArguments p)
{
    typedef GatheredProduct<false> Product;
    DYNAMIC_SHARED(char, shared);
    const ConvTaps& taps = p.taps[blockIdx.z / p.parts];
    TilePlace place(blockIdx.x, p.tiles_m, p.tiles_n);
    Part part(blockIdx.z % p.parts, taps.steps, taps.steps_per_part);
    if (place.m * BM >= taps.m)
        return;
    ConvWeightRows<Product::TileB, MDM_T, product_threads, MDM_ALIGNED> b(
        p.b, p.image, taps, p.weight_row, p.n, place.n * BN, part.first);
    Product::run(p, taps, place, part, b, shared);
}

PRODUCT_KERNEL conv_weight(const __grid_constant__ ConvArguments p)
{
    typedef WeightGradient Product;
    DYNAMIC_SHARED(char, shared);
    const ConvTaps& taps = p.taps[0];
    TilePlace place(blockIdx.x, p.tiles_m, p.tiles_n);
    Part part(blockIdx.z, taps.steps, taps.steps_per_part);
    MatrixMnMajor<Product::TileA, MDM_T, product_threads, MDM_ALIGNED> a(p.a, taps.m, taps.m, taps.k, place.m * BM, part.first);
    ConvPatches<Product::TileB, MDM_T, product_threads, MDM_ALIGNED> b(p.b, p.image, taps, place.n * BN, part.first);
    Product::run(a, b, shared, p.output, place, p.tiles_n, taps.m, p.n, part.index, part.count);
}

PRODUCT_KERNEL conv_weight_doubled(const __grid_constant__ ConvArguments p)
{
    typedef WeightGradient Product;
    DYNAMIC_SHARED(char, shared);
    const ConvTaps& taps = p.taps[blockIdx.z / p.parts];
    TilePlace place(blockIdx.x, p.tiles_m, p.tiles_n);
    Part part(blockIdx.z % p.parts, taps.steps, taps.steps_per_part);
    DoubledPixels<Product::TileA, MDM_T, product_threads, MDM_ALIGNED> a(p.a, taps, place.m * BM, part.first);
    ConvPatches<Product::TileB, MDM_T, product_threads, MDM_ALIGNED> b(p.b, p.image, taps, place.n * BN, part.first);
    Product::run(a, b, shared, p.output, place, p.tiles_n, taps.m, p.n, blockIdx.z, part.count);
}
