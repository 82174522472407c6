using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>What a tile starts from and where a partial one ends: the part of a tile's work that is not its sum.</summary>
internal static unsafe class TileEdges
{
    /// <summary>Fills the spill (rows of <paramref name="width"/>) with C, bias and residual, as the tile asks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Start(Tile* t, int width, int rows)
    {
        int columns = t->Columns;
        for (int i = 0; i < rows; i++)
        {
            var line = new Span<float>(t->Spill + i * width, width);
            if (i >= t->Rows)
            {
                line.Clear();
                continue;
            }

            float* c = (&t->C0)[i];
            if (t->Bias != null)
                Copy(t->Bias, line, columns);
            else if (t->HasResidual)
                Copy(c + t->ResidualOffset, line, columns);
            else
                Copy(c, line, columns);
            if (t->Bias != null && t->HasResidual)
                AddTo(line, c + t->ResidualOffset, columns);
            if (t->Add && (t->Bias != null || t->HasResidual))
                AddTo(line, c, columns);
        }
    }

    /// <summary>Copies the part of the spill that exists to C.</summary>
    public static void Finish(Tile* t, int width)
    {
        for (int i = 0; i < t->Rows; i++)
            new ReadOnlySpan<float>(t->Spill + i * width, t->Columns).CopyTo(new Span<float>((&t->C0)[i], t->Columns));
    }

    private static void Copy(float* source, Span<float> line, int columns)
    {
        new ReadOnlySpan<float>(source, columns).CopyTo(line);
        line[columns..].Clear();
    }

    private static void AddTo(Span<float> line, float* source, int columns)
    {
        for (int j = 0; j < columns; j++)
            line[j] += source[j];
    }
}
