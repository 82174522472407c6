using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>What a tile starts from and where a partial one ends: the part of a tile's work that is not its sum.</summary>
internal static unsafe class TileEdges
{
    /// <summary>Fills the spill (rows of <paramref name="width"/>) with C, bias and residual, as the tile asks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Start(Tile* t, int width, int rows)
    {
        int columns = t->Columns;
        float* line = t->Spill;
        for (int i = 0; i < rows; i++, line += width)
        {
            if (i >= t->Rows)
            {
                new Span<float>(line, width).Clear();
                continue;
            }

            float* c = (&t->C0)[i];
            float* residual = c + t->ResidualOffset;
            int j = 0;

            // As wide as the tile will read it: a load of what several stores wrote has to wait for all of them to leave.
            for (; Vector512.IsHardwareAccelerated && j <= columns - 16; j += 16)
            {
                Vector512<float> sum = t->Bias != null ? Vector512.Load(t->Bias + j) : Vector512<float>.Zero;
                if (t->HasResidual)
                    sum += Vector512.Load(residual + j);
                if (t->Add)
                    sum += Vector512.Load(c + j);
                sum.Store(line + j);
            }

            for (; Vector256.IsHardwareAccelerated && j <= columns - 8; j += 8)
            {
                Vector256<float> sum = t->Bias != null ? Vector256.Load(t->Bias + j) : Vector256<float>.Zero;
                if (t->HasResidual)
                    sum += Vector256.Load(residual + j);
                if (t->Add)
                    sum += Vector256.Load(c + j);
                sum.Store(line + j);
            }

            for (; j <= columns - 4; j += 4)
            {
                Vector128<float> sum = t->Bias != null ? Vector128.Load(t->Bias + j) : Vector128<float>.Zero;
                if (t->HasResidual)
                    sum += Vector128.Load(residual + j);
                if (t->Add)
                    sum += Vector128.Load(c + j);
                sum.Store(line + j);
            }

            for (; j < columns; j++)
                line[j] = (t->Bias != null ? t->Bias[j] : 0) + (t->HasResidual ? residual[j] : 0) + (t->Add ? c[j] : 0);
            for (; j < width; j++)
                line[j] = 0;
        }
    }

    /// <summary>Copies the part of the spill that exists to C.</summary>
    public static void Finish(Tile* t, int width)
    {
        for (int i = 0; i < t->Rows; i++)
            new ReadOnlySpan<float>(t->Spill + i * width, t->Columns).CopyTo(new Span<float>((&t->C0)[i], t->Columns));
    }
}
