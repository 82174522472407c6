using System.Runtime.InteropServices;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>How a product is cut: tiles (those of a cluster count as one), and parts of the sum ("splits"). As
/// <c>HopperWork</c> of hopper.cuh.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct HopperWork(int TilesM, int TilesN, int Splits, int Steps, int StepsPerSplit)
{
    /// <summary>Pieces that clusters take.</summary>
    public long Pieces => (long)TilesM * TilesN * Splits;
}

/// <summary>A choice of tile and cut.</summary>
/// <param name="TileN">Columns of a tile: 64, 128 or 256.</param>
/// <param name="Cluster">Blocks that share B: 1, or 2 with tiles of 128 columns and more.</param>
/// <param name="Work">The cut.</param>
internal readonly record struct HopperPlan(int TileN, int Cluster, HopperWork Work)
{
    /// <summary>Rows of a tile, and depth of a step.</summary>
    public const int Rows = 128, Depth = 64;

    // Cycles of a multiprocessor, reckoned: the start and the epilogue of a piece, and the bytes of partial sums in a cycle.
    private const int PieceCycles = 1200, PieceCyclesPer64 = 500;
    private const double PartialBytesPerCycle = 12.0;
    private const int MostSplits = 64;

    /// <summary>For tests: takes the place of the choice, as far as it fits; the most splits up to the number given.</summary>
    public static (int TileN, int Cluster, int Splits)? Forced { get; set; }

    /// <summary>Every tile and cluster that there is.</summary>
    public static IReadOnlyList<(int TileN, int Cluster)> Tiles { get; } = [(256, 2), (256, 1), (128, 2), (128, 1), (64, 1)];

    /// <summary>The fastest cut of C[m, n] over <paramref name="steps"/> steps by an estimate.</summary>
    /// <param name="tilesM">Tiles of 128 rows.</param>
    /// <param name="blocksN">Blocks of 64 columns.</param>
    /// <param name="steps">Steps of depth 64; at least 1.</param>
    /// <param name="multiprocessors">Blocks that run at the same time.</param>
    /// <param name="mostSplits">Parts for whose sums there is room.</param>
    /// <param name="way">If of the maker Hopper: the tile, and more or fewer splits than are reckoned for it.</param>
    /// <param name="products">Products of so many columns beside each other.</param>
    public static HopperPlan For(int tilesM, int blocksN, int steps, int multiprocessors, int mostSplits, Way way = default,
        int products = 1)
    {
        HopperPlan best = default;
        double least = double.MaxValue;
        for (int i = 0; i < Tiles.Count; i++)
        {
            (int tileN, int cluster) = Tiles[i];
            if (way.Maker == Maker.Hopper && way.Tile != i)
                continue;
            if (Forced is { } forced && (tileN, cluster) != (forced.TileN, forced.Cluster))
                continue;
            int tilesN = products * ((blocksN + (tileN / 64) - 1) / (tileN / 64)), groupsM = (tilesM + cluster - 1) / cluster;
            int most = Math.Max(1, Math.Min(steps, Math.Min(mostSplits, Forced?.Splits ?? MostSplits)));
            for (int splits = 1; splits <= most; splits++)
            {
                int perSplit = (steps + splits - 1) / splits;
                if ((steps + perSplit - 1) / perSplit != splits)
                    continue; // fewer splits do the same
                var plan = new HopperPlan(tileN, cluster, new HopperWork(groupsM, tilesN, splits, steps, perSplit));
                double cycles = plan.Cycles(multiprocessors);
                if (cycles < least || Forced is not null)
                    (least, best) = (cycles, plan);
            }
        }

        return best.IsNone || way.Split == 0 ? best : best.Split(way.Split, Math.Min(steps, mostSplits));
    }

    /// <summary>Whether there is none: what was wanted cannot be had.</summary>
    public bool IsNone => TileN == 0;

    private HopperPlan Split(int split, int most)
    {
        int splits = split > 0 ? Work.Splits << split : Work.Splits >> -split;
        if (splits < 1 || splits > most)
            return default;
        int perSplit = (Work.Steps + splits - 1) / splits, parts = (Work.Steps + perSplit - 1) / perSplit;
        return parts == Work.Splits ? default : this with { Work = Work with { Splits = parts, StepsPerSplit = perSplit } };
    }

    private double Cycles(int multiprocessors)
    {
        int clusters = Math.Max(1, multiprocessors / Cluster);
        double waves = Math.Ceiling((double)Work.Pieces / clusters);
        double cycles = waves * (((double)Work.StepsPerSplit * StepCycles) + PieceCycles + (PieceCyclesPer64 * (TileN / 64)));
        if (Work.Splits == 1)
            return cycles;
        double bytes = 2.0 * Work.Pieces * Cluster * Rows * TileN * sizeof(float);
        return cycles + PieceCycles + (bytes / multiprocessors / PartialBytesPerCycle);
    }

    // 128 x N x 64 multiply-adds at 2,048 a cycle, and what the second-level cache takes for the operands.
    private int StepCycles => (TileN, Cluster) switch
    {
        (256, 2) => 1250,
        (256, _) => 1420,
        (128, 2) => 720,
        (128, _) => 850,
        _ => 650,
    };
}
