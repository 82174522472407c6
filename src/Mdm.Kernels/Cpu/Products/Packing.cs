using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>Copies operands into the order in which the tile kernels read them.</summary>
internal static unsafe class Packing
{
    /// <summary>to[k·width + j] = from[k·step + j] for j &lt; columns, 0 up to width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(float* from, nint step, int count, int columns, float* to, int width)
    {
        for (int k = 0; k < count; k++, from += step, to += width)
        {
            int j = 0;
            if (Vector512.IsHardwareAccelerated)
            {
                for (; j <= columns - 16; j += 16)
                    Vector512.Load(from + j).Store(to + j);
            }

            for (; j <= columns - 4; j += 4)
                Vector128.Load(from + j).Store(to + j);
            for (; j < columns; j++)
                to[j] = from[j];
            for (; j < width; j++)
                to[j] = 0;
        }
    }

    /// <summary>to[k·width + j] = from[j·step + k] for j &lt; columns, 0 up to width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transposed(float* from, nint step, int count, int columns, float* to, int width)
    {
        int j = 0;
        if (CpuFeatures.Level != CpuLevel.Plain)
            for (; j <= columns - 8; j += 8)
                Eight(from + j * step, step, count, to + j, width);
        for (; Sse.IsSupported && j <= columns - 4; j += 4)
        {
            float* f0 = from + j * step, f1 = f0 + step, f2 = f1 + step, f3 = f2 + step;
            int k = 0;
            for (; k <= count - 4; k += 4)
            {
                Vector128<float> a = Vector128.Load(f0 + k), b = Vector128.Load(f1 + k);
                Vector128<float> c = Vector128.Load(f2 + k), d = Vector128.Load(f3 + k);
                Vector128<float> ab = Sse.UnpackLow(a, b), cd = Sse.UnpackLow(c, d);
                float* o = to + (nint)k * width + j;
                Sse.MoveLowToHigh(ab, cd).Store(o);
                Sse.MoveHighToLow(cd, ab).Store(o + width);
                ab = Sse.UnpackHigh(a, b);
                cd = Sse.UnpackHigh(c, d);
                Sse.MoveLowToHigh(ab, cd).Store(o + 2 * width);
                Sse.MoveHighToLow(cd, ab).Store(o + 3 * width);
            }

            for (; k < count; k++)
            {
                float* o = to + (nint)k * width + j;
                o[0] = f0[k];
                o[1] = f1[k];
                o[2] = f2[k];
                o[3] = f3[k];
            }
        }

        for (; j < columns; j++)
            for (int k = 0; k < count; k++)
                to[(nint)k * width + j] = from[j * step + k];
        for (; j < width; j++)
            for (int k = 0; k < count; k++)
                to[(nint)k * width + j] = 0;
    }

    /// <summary>Eight columns of <see cref="Transposed"/>, in squares of eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Eight(float* from, nint step, int count, float* to, int width)
    {
        float* f4 = from + 4 * step;
        int k = 0;
        for (; k <= count - 8; k += 8, from += 8, f4 += 8, to += 8 * (nint)width)
        {
            Vector256<float> a = Vector256.Load(from), b = Vector256.Load(from + step);
            Vector256<float> c = Vector256.Load(from + 2 * step), d = Vector256.Load(from + 3 * step);
            Vector256<float> e = Vector256.Load(f4), f = Vector256.Load(f4 + step);
            Vector256<float> g = Vector256.Load(f4 + 2 * step), h = Vector256.Load(f4 + 3 * step);
            Quarter(Avx.UnpackLow(a, b), Avx.UnpackLow(c, d), Avx.UnpackLow(e, f), Avx.UnpackLow(g, h), to, width);
            Quarter(Avx.UnpackHigh(a, b), Avx.UnpackHigh(c, d), Avx.UnpackHigh(e, f), Avx.UnpackHigh(g, h),
                to + 2 * (nint)width, width);
        }

        for (; k < count; k++, from++, f4++, to += width)
        {
            for (int j = 0; j < 4; j++)
            {
                to[j] = from[j * step];
                to[j + 4] = f4[j * step];
            }
        }
    }

    /// <summary>From pairs of rows, rows 0, 1, 4 and 5 (or 2, 3, 6 and 7) of a transposed square of eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quarter(
        Vector256<float> ab, Vector256<float> cd, Vector256<float> ef, Vector256<float> gh, float* to, nint width)
    {
        Vector256<float> low = Avx.Shuffle(ab, cd, 0x44), high = Avx.Shuffle(ef, gh, 0x44);
        Avx.Permute2x128(low, high, 0x20).Store(to);
        Avx.Permute2x128(low, high, 0x31).Store(to + 4 * width);
        (low, high) = (Avx.Shuffle(ab, cd, 0xEE), Avx.Shuffle(ef, gh, 0xEE));
        Avx.Permute2x128(low, high, 0x20).Store(to + width);
        Avx.Permute2x128(low, high, 0x31).Store(to + 5 * width);
    }

    /// <summary>Tiles of six rows of a transposed matrix, one after the other: tile t has to[(t·count + k)·6 + r] =
    /// from[k·step + 6t + r] for 6t + r &lt; rows; what lies beyond is left as it is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Tiles(float* from, nint step, int count, int rows, float* to)
    {
        int whole = rows / Tile.MaxRows, rest = rows % Tile.MaxRows;
        nint tile = (nint)count * Tile.MaxRows;
        for (int k = 0; k < count; k++, from += step, to += Tile.MaxRows)
        {
            float* f = from, t = to;
            for (int i = 0; i < whole; i++, f += Tile.MaxRows, t += tile)
            {
                Vector128.Load(f).Store(t);
                *(long*)(t + 4) = *(long*)(f + 4);
            }

            for (int r = 0; r < rest; r++)
                t[r] = f[r];
        }
    }

    /// <summary>to[i] += from[i].</summary>
    public static void Add(float* from, long count, float* to)
    {
        for (long i = 0; i < count; i++)
            to[i] += from[i];
    }
}
