// Operands of 3x3 convolutions that are gathered from images and weights; no patch is ever stored. Images are [B,H,W,C].
#pragma once
#include "tile.cuh"

// Which pixels a product reads, and which weights. Row m of the product is an output pixel (b, p, q); tap (r, s) of it reads
// the input pixel (stride p + y + r, stride q + x + s), zero outside of the image; k = (r rows_of_taps + s) channels + c.
// Upsampling and strides of 2 need up to four of these, one for each parity of the output pixel.
struct ConvTaps
{
    FastDivide by_image, by_row; // divisors P Q and Q
    int columns, inverse; // taps of a row; ceil(32 / columns), to divide numbers of taps (up to 16) by it
    int taps;
    int m, k;                    // sizes of the product
    int steps, steps_per_part;   // of K
    int y, x;
    int out_y, out_x;            // parity of the output pixel
    int weight_row, weight_column; // distances of taps in the weights, in elements
    i64 weight;                  // the first tap's place there

    __device__ __forceinline__ int row_of(int tap) const { return tap * inverse >> 5; }
};

struct ConvImage
{
    FastDivide by_channels;
    int height, width, channels; // of the image that is read
    int stride;
};

// A[m, k] = x[b, stride p + y + r, stride q + x + s, c]: K-major.
template <typename Tile, typename T, int Threads, bool Aligned>
struct ConvPixels
{
    typedef ThreadChunks<Tile, Threads> Chunks;
    static constexpr int elements = Aligned ? 1 : chunk_elements<T>; // of a chunk, that are looked up one by one

    Chunks chunks;
    const T* image;
    const ConvImage& in;
    const ConvTaps& taps;
    int pixel[Chunks::count];           // of tap (0, 0); outside of the image perhaps
    u32 inside[(Chunks::count + 3) / 4]; // 8 bits for a row of A: bit r: tap row r is inside; bit 4 + s: tap column s is
    int k;                               // of the next chunk

    __device__ __forceinline__ ConvPixels(const void* x, const ConvImage& in_, const ConvTaps& taps_, int first, int first_step)
        : image((const T*)x), in(in_), taps(taps_)
    {
        k = first_step * step_elements<T> + chunks.chunk * chunk_elements<T>;
#pragma unroll
        for (int i = 0; i < (Chunks::count + 3) / 4; i++)
            inside[i] = 0;
#pragma unroll
        for (int i = 0; i < Chunks::count; i++)
        {
            int row = first + chunks.row + i * Chunks::step;
            int b = taps.by_image.quotient(row), rest = taps.by_image.remainder(row, b), p = taps.by_row.quotient(rest);
            int h = p * in.stride + taps.y, w = taps.by_row.remainder(rest, p) * in.stride + taps.x;
            pixel[i] = (b * in.height + h) * in.width + w;
            u32 bits = 0;
#pragma unroll
            for (int t = 0; t < 4; t++)
                bits |= ((u32)(h + t) < (u32)in.height ? 1u << t : 0) | ((u32)(w + t) < (u32)in.width ? 16u << t : 0);
            inside[i / 4] |= row < taps.m ? bits << (i % 4 * 8) : 0;
        }
    }

    __device__ __forceinline__ void load(char* tile)
    {
        int offset[elements], channel[elements];
        u32 needed[elements];
#pragma unroll
        for (int e = 0; e < elements; e++)
        {
            int tap = in.by_channels.quotient(k + e), r = taps.row_of(tap), s = tap - r * taps.columns;
            channel[e] = in.by_channels.remainder(k + e, tap);
            offset[e] = r * in.width + s;
            needed[e] = tap < taps.taps ? 1u << r | 16u << s : 256u; // 256 is never inside
        }

#pragma unroll
        for (int i = 0; i < Chunks::count; i++)
        {
            u32 bits = inside[i / 4] >> (i % 4 * 8) & 255u;
            if (Aligned)
            {
                bool valid = (bits & needed[0]) == needed[0];
                copy_chunk<T, true>(chunks.at(tile, i), image + (i64)(pixel[i] + offset[0]) * in.channels + channel[0],
                    valid ? chunk_elements<T> : 0);
            }
            else
            {
                Vec<T, chunk_elements<T>> v;
#pragma unroll
                for (int e = 0; e < elements; e++)
                    v.v[e] = (bits & needed[e]) == needed[e]
                        ? image[(i64)(pixel[i] + offset[e]) * in.channels + channel[e]] : from_float<T>(0.0f);
                *reinterpret_cast<Vec<T, chunk_elements<T>>*>(chunks.at(tile, i)) = v;
            }
        }

        k += step_elements<T>;
    }
};

// B[k, n] = w[weight + r weight_row + s weight_column + o row + n] for k = (r columns + s) channels + o, o a channel of the
// image that is read (dy): MN-major. A thread walks through its rows k; divisions only where the tap changes.
template <typename Tile, typename T, int Threads, bool Aligned>
struct ConvWeightRows
{
    ThreadChunks<Tile, Threads> chunks;
    const T* weights; // of the thread's column
    const T* source;  // of the next row
    const ConvImage& in;
    const ConvTaps& taps;
    int row; // distance of channels
    int valid;
    int tap, channel; // of the next row

    __device__ __forceinline__ ConvWeightRows(
        const void* w, const ConvImage& in_, const ConvTaps& taps_, int row_, int n, int first, int first_step)
        : in(in_), taps(taps_), row(row_)
    {
        int column = first + chunks.chunk * chunk_elements<T>, k = first_step * step_elements<T> + chunks.row;
        valid = clamp_chunk(n - column, chunk_elements<T>);
        weights = (const T*)w + taps.weight + column;
        tap = in.by_channels.quotient(k);
        channel = in.by_channels.remainder(k, tap);
        find();
    }

    __device__ __forceinline__ void find()
    {
        int r = taps.row_of(tap), s = tap - r * taps.columns;
        source = weights + (i64)channel * row + r * taps.weight_row + s * taps.weight_column;
    }

    __device__ __forceinline__ void load(char* tile)
    {
        // Not unrolled: the walk is long, and its registers would be held for every row.
#pragma unroll 1
        for (int i = 0; i < chunks.count; i++)
        {
            copy_chunk<T, Aligned>(chunks.at(tile, i), source, tap < taps.taps ? valid : 0);
            channel += chunks.step;
            source += (i64)chunks.step * row;
            if (channel >= in.channels)
            {
                int more = in.by_channels.quotient(channel);
                channel = in.by_channels.remainder(channel, more);
                tap += more;
                find();
            }
        }
    }
};

// B[k, n] = x[b, stride p + y + r, stride q + x + s, c] for k = (b, p, q), n = (columns r + s) channels + c: MN-major, for
// the gradient of the weights. A thread's columns never change; it walks through its pixels.
template <typename Tile, typename T, int Threads, bool Aligned>
struct ConvPatches
{
    static constexpr int elements = Aligned ? 1 : chunk_elements<T>;

    ThreadChunks<Tile, Threads> chunks;
    const T* image;
    const ConvImage& in;
    const ConvTaps& taps;
    int h[elements], w[elements], channel[elements]; // of the tap; channel -1: none
    int b, p, q, left;                               // the next pixel, and how many there are from it on
    int rows_of_image;

    __device__ __forceinline__ ConvPatches(const void* x, const ConvImage& in_, const ConvTaps& taps_, int first, int first_step)
        : image((const T*)x), in(in_), taps(taps_)
    {
        int k = first_step * step_elements<T> + chunks.row;
        b = taps.by_image.quotient(k);
        int rest = taps.by_image.remainder(k, b);
        p = taps.by_row.quotient(rest);
        q = taps.by_row.remainder(rest, p);
        left = taps.k - k;
        rows_of_image = (int)(taps.by_image.divisor / taps.by_row.divisor);
#pragma unroll
        for (int e = 0; e < elements; e++)
        {
            int n = first + chunks.chunk * chunk_elements<T> + e;
            int tap = in.by_channels.quotient(n), r = taps.row_of(tap), s = tap - r * taps.columns;
            h[e] = r + taps.y;
            w[e] = s + taps.x;
            channel[e] = tap < taps.taps ? in.by_channels.remainder(n, tap) : -1;
        }
    }

    // Element e's address at the next pixel, or null.
    __device__ __forceinline__ const T* at(int e) const
    {
        int row = p * in.stride + h[e], column = q * in.stride + w[e];
        bool inside = left > 0 && channel[e] >= 0 && (u32)row < (u32)in.height && (u32)column < (u32)in.width;
        i64 pixel = ((i64)b * in.height + row) * in.width + column;
        return inside ? image + pixel * in.channels + channel[e] : nullptr;
    }

    __device__ __forceinline__ void load(char* tile)
    {
#pragma unroll
        for (int i = 0; i < chunks.count; i++)
        {
            if (Aligned)
            {
                const T* from = at(0);
                copy_chunk<T, true>(chunks.at(tile, i), from != nullptr ? from : image, from != nullptr ? chunk_elements<T> : 0);
            }
            else
            {
                Vec<T, chunk_elements<T>> v;
#pragma unroll
                for (int e = 0; e < elements; e++)
                {
                    const T* from = at(e);
                    v.v[e] = from != nullptr ? *from : from_float<T>(0.0f);
                }

                *reinterpret_cast<Vec<T, chunk_elements<T>>*>(chunks.at(tile, i)) = v;
            }

            left -= chunks.step;
            q += chunks.step;
            if (q >= (int)taps.by_row.divisor)
            {
                int rows = taps.by_row.quotient(q);
                q = taps.by_row.remainder(q, rows);
                p += rows;
                for (; p >= rows_of_image; p -= rows_of_image)
                    b++;
            }
        }
    }
};

// A[o, k] = dy[b, 2h + out_y, 2w + out_x, o] for k = (b, h, w) of the stored image, which is doubled: MN-major. Along a row of
// it k grows by 1 and the pixel of dy by 2, from its end to the next row's begin by 2 W more: pixel 4 k - 2 w + 2 W out_y + out_x.
template <typename Tile, typename T, int Threads, bool Aligned>
struct DoubledPixels
{
    ThreadChunks<Tile, Threads> chunks;
    const T* source; // of the next row k
    const ConvTaps& taps;
    i64 size;
    int column; // w of the next row
    int valid;  // elements of the chunk
    int depth;  // rows k from the next one on

    __device__ __forceinline__ DoubledPixels(const void* dy, const ConvTaps& taps_, int first, int first_step)
        : taps(taps_), size(taps_.m)
    {
        int k = first_step * step_elements<T> + chunks.row, channel = first + chunks.chunk * chunk_elements<T>;
        column = taps.by_row.remainder(k, taps.by_row.quotient(k));
        i64 pixel = 4 * (i64)k - 2 * column + 2 * (i64)taps.by_row.divisor * taps.out_y + taps.out_x;
        source = (const T*)dy + pixel * size + channel;
        valid = clamp_chunk(taps.m - channel, chunk_elements<T>);
        depth = taps.k - k;
    }

    __device__ __forceinline__ void load(char* tile)
    {
#pragma unroll
        for (int i = 0; i < chunks.count; i++)
        {
            copy_chunk<T, Aligned>(chunks.at(tile, i), source, i * chunks.step < depth ? valid : 0);
            int next = column + chunks.step;
            next = taps.by_row.remainder(next, taps.by_row.quotient(next));
            source += (4 * chunks.step - 2 * (next - column)) * size;
            column = next;
        }

        depth -= step_elements<T>;
    }
};
