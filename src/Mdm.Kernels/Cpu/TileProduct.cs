using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

/// <summary>Matrix products of operands that lie in the caches, as attention needs them for its tiles. Rows are worked on in
/// groups of <see cref="RowGroup"/> and columns in whole vectors, so operands and results must have room for that; what is
/// computed beyond the true size means nothing and is never read.</summary>
internal static unsafe class TileProduct
{
    /// <summary>Rows of A and C must be readable and writable up to a multiple of this.</summary>
    public const int RowGroup = 12;

    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    /// <summary>Columns of a panel of B.</summary>
    public static int PanelWidth<V>()
        where V : unmanaged, ISimd<V> => 2 * V.Width;

    /// <summary>C[m,n] = A[m,k] · B[k,n] (+ C). Element (i,l) of A is a[i·rowStride + l·depthStride]. B lies in panels of
    /// <see cref="PanelWidth"/> columns, panelStride apart, whose rows are ldb apart; n is a multiple of V.Width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<V>(
        int m, int n, int k, float* a, int rowStride, int depthStride, float* b, int ldb, int panelStride, float* c, int ldc,
        bool add)
        where V : unmanaged, ISimd<V>
    {
        int j = 0;
        for (; j + 2 * V.Width <= n; j += 2 * V.Width, b += panelStride)
            for (int i = 0; i < m; i += 6)
                Wide<V>(k, a + (nint)i * rowStride, rowStride, depthStride, b, ldb, c + (nint)i * ldc + j, ldc, add);
        for (int i = 0; i < m && j < n; i += 12)
            Narrow<V>(k, a + (nint)i * rowStride, rowStride, depthStride, b, ldb, c + (nint)i * ldc + j, ldc, add);
    }

    /// <summary>6 rows by 2 vectors.</summary>
    [MethodImpl(Inline)]
    private static void Wide<V>(
        int k, float* a, nint rowStride, nint depthStride, float* b, nint ldb, float* c, nint ldc, bool add)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Set(0f), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
        V c30 = c00, c31 = c00, c40 = c00, c41 = c00, c50 = c00, c51 = c00;
        float* low = a + 3 * rowStride;
        for (int i = 0; i < k; i++, a += depthStride, low += depthStride, b += ldb)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Width);
            V a0 = V.Set(a[0]);
            c00 = V.Fma(a0, b0, c00);
            c01 = V.Fma(a0, b1, c01);
            V a1 = V.Set(a[rowStride]);
            c10 = V.Fma(a1, b0, c10);
            c11 = V.Fma(a1, b1, c11);
            V a2 = V.Set(a[2 * rowStride]);
            c20 = V.Fma(a2, b0, c20);
            c21 = V.Fma(a2, b1, c21);
            V a3 = V.Set(low[0]);
            c30 = V.Fma(a3, b0, c30);
            c31 = V.Fma(a3, b1, c31);
            V a4 = V.Set(low[rowStride]);
            c40 = V.Fma(a4, b0, c40);
            c41 = V.Fma(a4, b1, c41);
            V a5 = V.Set(low[2 * rowStride]);
            c50 = V.Fma(a5, b0, c50);
            c51 = V.Fma(a5, b1, c51);
        }

        Put2(c, c00, c01, add);
        Put2(c + ldc, c10, c11, add);
        Put2(c + 2 * ldc, c20, c21, add);
        Put2(c + 3 * ldc, c30, c31, add);
        Put2(c + 4 * ldc, c40, c41, add);
        Put2(c + 5 * ldc, c50, c51, add);
    }

    /// <summary>12 rows by 1 vector.</summary>
    [MethodImpl(Inline)]
    private static void Narrow<V>(
        int k, float* a, nint rowStride, nint depthStride, float* b, nint ldb, float* c, nint ldc, bool add)
        where V : unmanaged, ISimd<V>
    {
        V c0 = V.Set(0f), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0, c8 = c0, c9 = c0, c10 = c0, c11 = c0;
        float* second = a + 3 * rowStride, third = a + 6 * rowStride, fourth = a + 9 * rowStride;
        for (int i = 0; i < k; i++, b += ldb)
        {
            V b0 = V.Load(b);
            c0 = V.Fma(V.Set(a[0]), b0, c0);
            c1 = V.Fma(V.Set(a[rowStride]), b0, c1);
            c2 = V.Fma(V.Set(a[2 * rowStride]), b0, c2);
            c3 = V.Fma(V.Set(second[0]), b0, c3);
            c4 = V.Fma(V.Set(second[rowStride]), b0, c4);
            c5 = V.Fma(V.Set(second[2 * rowStride]), b0, c5);
            c6 = V.Fma(V.Set(third[0]), b0, c6);
            c7 = V.Fma(V.Set(third[rowStride]), b0, c7);
            c8 = V.Fma(V.Set(third[2 * rowStride]), b0, c8);
            c9 = V.Fma(V.Set(fourth[0]), b0, c9);
            c10 = V.Fma(V.Set(fourth[rowStride]), b0, c10);
            c11 = V.Fma(V.Set(fourth[2 * rowStride]), b0, c11);
            a += depthStride;
            second += depthStride;
            third += depthStride;
            fourth += depthStride;
        }

        Put(c, c0, add);
        Put(c + ldc, c1, add);
        Put(c + 2 * ldc, c2, add);
        Put(c + 3 * ldc, c3, add);
        Put(c + 4 * ldc, c4, add);
        Put(c + 5 * ldc, c5, add);
        Put(c + 6 * ldc, c6, add);
        Put(c + 7 * ldc, c7, add);
        Put(c + 8 * ldc, c8, add);
        Put(c + 9 * ldc, c9, add);
        Put(c + 10 * ldc, c10, add);
        Put(c + 11 * ldc, c11, add);
    }

    [MethodImpl(Inline)]
    private static void Put2<V>(float* c, V v0, V v1, bool add)
        where V : unmanaged, ISimd<V>
    {
        Put(c, v0, add);
        Put(c + V.Width, v1, add);
    }

    [MethodImpl(Inline)]
    private static void Put<V>(float* c, V v, bool add)
        where V : unmanaged, ISimd<V> => V.Store(c, add ? V.Load(c) + v : v);
}
