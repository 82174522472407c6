using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

/// <summary>What the forward and backward passes of attention do with one head's tiles: copies into the layouts that
/// <see cref="TileProduct"/> reads, and the softmax of a tile's rows.</summary>
internal static unsafe class AttentionTiles
{
    /// <summary>Queries of a tile; a multiple of <see cref="TileProduct.RowGroup"/>.</summary>
    public const int Queries = 48;

    /// <summary>Keys of a tile; a multiple of every panel width and of <see cref="TileProduct.RowGroup"/>.</summary>
    public const int Keys = 192;

    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private const MethodImplOptions Hot = MethodImplOptions.AggressiveOptimization;

    public static int RoundUp(int n, int multiple) => (n + multiple - 1) / multiple * multiple;

    /// <summary>Columns that a head's rows take in scratch: whole vectors.</summary>
    public static int PaddedWidth<V>(int headWidth)
        where V : unmanaged, ISimd<V> => RoundUp(headWidth, HalfVectors<V>(headWidth) ? 8 : V.Width);

    /// <summary>C = A · B (+ C) with a head's columns: B and C have rows of width, the <see cref="PaddedWidth"/>.</summary>
    [MethodImpl(Inline)]
    public static void MultiplyRows<V>(
        int m, int width, int k, float* a, int rowStride, int depthStride, float* b, float* c)
        where V : unmanaged, ISimd<V>
    {
        if (HalfVectors<V>(width))
            TileProduct.Multiply<F256>(m, width, k, a, rowStride, depthStride, b, width, 16, c, width, true);
        else
            TileProduct.Multiply<V>(m, width, k, a, rowStride, depthStride, b, width, 2 * V.Width, c, width, true);
    }

    /// <summary>S = A · Bᵀ of a tile, B in the panels of PackPanels.</summary>
    [MethodImpl(Inline)]
    public static void Scores<V>(int m, int keys, int depth, float* a, int rowStride, float* panels, float* scores)
        where V : unmanaged, ISimd<V>
    {
        int w = TileProduct.PanelWidth<V>();
        TileProduct.Multiply<V>(m, keys, depth, a, rowStride, 1, panels, w, w * depth, scores, Keys, false);
    }

    /// <summary>Rows [rows, depth] transposed into panels [rows/w][depth][w], w = 2 vectors; zeros beyond the last row.</summary>
    [MethodImpl(Hot)]
    public static void PackPanels<V>(int rows, int depth, float* from, int stride, float* panels)
        where V : unmanaged, ISimd<V>
    {
        int w = 2 * V.Width;
        for (int r0 = 0; r0 < rows; r0 += w, panels += w * depth)
            for (int r = 0; r < w; r++)
            {
                float* to = panels + r, row = from + (long)(r0 + r) * stride;
                if (r0 + r < rows)
                    for (int d = 0; d < depth; d++)
                        to[d * w] = row[d];
                else
                    for (int d = 0; d < depth; d++)
                        to[d * w] = 0;
            }
    }

    /// <summary>to[r,d] = scale · from[r,d], rows padded with zeros to width.</summary>
    [MethodImpl(Hot)]
    public static void PackRows<V>(int rows, int depth, int width, float scale, float* from, int stride, float* to)
        where V : unmanaged, ISimd<V>
    {
        for (int r = 0; r < rows; r++, from += stride, to += width)
        {
            int d = 0;
            for (; d + V.Width <= depth; d += V.Width)
                V.Store(to + d, V.Load(from + d) * V.Set(scale));
            for (; d < depth; d++)
                to[d] = from[d] * scale;
            for (; d < width; d++)
                to[d] = 0;
        }
    }

    /// <summary>0 for keys that count, -∞ for those left out and the padding up to whole panels. False if none counts.</summary>
    public static bool FillExclusion(int keys, int paddedKeys, float* mask, float* exclusion)
    {
        bool any = false;
        for (int j = 0; j < paddedKeys; j++)
        {
            bool counts = j < keys && (mask == null || mask[j] != 0);
            exclusion[j] = counts ? 0 : float.NegativeInfinity;
            any |= counts;
        }

        return any;
    }

    /// <summary>scores[r,c] += bias[r,j+c], bias being rows of length stride; nothing without a bias.</summary>
    [MethodImpl(Hot)]
    public static void AddBias<V>(int rows, int keys, float* bias, int stride, int j, float* scores)
        where V : unmanaged, ISimd<V>
    {
        for (int r = 0; r < rows && bias != null; r++)
        {
            float* to = scores + r * Keys, from = bias + (long)r * stride + j;
            int c = 0;
            for (; c + V.Width <= keys; c += V.Width)
                V.Store(to + c, V.Load(to + c) + V.Load(from + c));
            for (; c < keys; c++)
                to[c] += from[c];
        }
    }

    /// <summary>max_j s[j] + exclusion[j]; n is a multiple of 2 vectors.</summary>
    [MethodImpl(Inline)]
    public static float RowMax<V>(float* s, float* exclusion, int n)
        where V : unmanaged, ISimd<V>
    {
        V m0 = V.Set(float.NegativeInfinity), m1 = m0;
        for (int j = 0; j < n; j += 2 * V.Width)
        {
            m0 = V.Max(m0, V.Load(s + j) + V.Load(exclusion + j));
            m1 = V.Max(m1, V.Load(s + j + V.Width) + V.Load(exclusion + j + V.Width));
        }

        return V.Max(V.Max(m0, m1));
    }

    /// <summary>s[j] = e^(s[j] + exclusion[j] - shift); returns their sum.</summary>
    [MethodImpl(Inline)]
    public static float RowExp<V>(float* s, float* exclusion, int n, float shift)
        where V : unmanaged, ISimd<V>
    {
        V sum0 = V.Set(0f), sum1 = sum0, m = V.Set(shift);
        for (int j = 0; j < n; j += 2 * V.Width)
        {
            V p0 = SimdMath.Exp(V.Load(s + j) + V.Load(exclusion + j) - m);
            V p1 = SimdMath.Exp(V.Load(s + j + V.Width) + V.Load(exclusion + j + V.Width) - m);
            V.Store(s + j, p0);
            V.Store(s + j + V.Width, p1);
            sum0 += p0;
            sum1 += p1;
        }

        return V.Sum(sum0 + sum1);
    }

    /// <summary>row *= factor.</summary>
    [MethodImpl(Inline)]
    public static void Scale<V>(float* row, int n, float factor)
        where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i + V.Width <= n; i += V.Width)
            V.Store(row + i, V.Load(row + i) * V.Set(factor));
        for (; i < n; i++)
            row[i] *= factor;
    }

    /// <summary>Heads up to 8 wide use vectors of 8 where those of 16 would be half empty.</summary>
    [MethodImpl(Inline)]
    private static bool HalfVectors<V>(int headWidth)
        where V : unmanaged, ISimd<V> => V.Width == 16 && headWidth <= 8;
}
