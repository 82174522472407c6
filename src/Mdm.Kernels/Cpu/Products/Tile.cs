using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>A stretch of the sum over k for one tile: Count steps along up to six rows of A and along B. A product is one
/// segment; a convolution has one per tap, a weight gradient one per image row. One cache line.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Segment
{
    public float* B;
    public nint Count;
    public float* A0;
    public float* A1;
    public float* A2;
    public float* A3;
    public float* A4;
    public float* A5;

    /// <summary>Rows A, A+step, A+2·step, ...; rows from <paramref name="rows"/> on repeat the last (computed, not
    /// stored).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetRows(float* a, nint step, int rows)
    {
        A0 = a;
        A1 = a + (rows > 1 ? step : 0);
        A2 = rows > 2 ? a + 2 * step : A1;
        A3 = rows > 3 ? a + 3 * step : A2;
        A4 = rows > 4 ? a + 4 * step : A3;
        A5 = rows > 5 ? a + 5 * step : A4;
    }
}

/// <summary>One tile of a result, up to six rows by one panel of columns, and the sum that makes it:
/// C[i,j] = Σ_segments Σ_k A_i[k·AStep]·B[k·BStep + j] (+ C[i,j] if Add) (+ bias[j]) (+ residual[i,j]).</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Tile
{
    /// <summary>Rows of the largest tile.</summary>
    public const int MaxRows = 6;

    public Segment* Segments;
    public nint SegmentCount;
    public nint AStep;
    public nint BStep;
    public float* C0;
    public float* C1;
    public float* C2;
    public float* C3;
    public float* C4;
    public float* C5;

    /// <summary>For this tile's first column, or null.</summary>
    public float* Bias;

    /// <summary>Residual minus C, in floats: the residual has C's layout.</summary>
    public nint ResidualOffset;
    public bool HasResidual;
    public bool Add;

    /// <summary>Rows and columns that exist; what is computed beyond them is dropped.</summary>
    public int Rows;
    public int Columns;

    /// <summary>Room for a whole tile where something beyond a plain store is asked for.</summary>
    public float* Spill;

    public readonly bool HasEpilogue => Bias != null || HasResidual || Add;

    public readonly bool AddsOnly => Bias == null && !HasResidual;

    public readonly bool BiasOnly => Bias != null && !HasResidual && !Add;

    /// <summary>Rows C, C+step, ...</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetRows(float* c, nint step, int rows)
    {
        Rows = rows;
        C0 = c;
        C1 = c + step;
        C2 = c + 2 * step;
        C3 = c + 3 * step;
        C4 = c + 4 * step;
        C5 = c + 5 * step;
    }
}
