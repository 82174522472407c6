using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>How a product is cut: tiles, and parts of the sum ("splits"). As <c>HopperWork</c> of hopper.cuh.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct HopperWork(int TilesM, int TilesN, int Splits, int Steps, int StepsPerSplit)
{
    /// <summary>Pieces that blocks take.</summary>
    public long Pieces => (long)TilesM * TilesN * Splits;
}

/// <summary>A choice of tile and cut.</summary>
/// <param name="TileN">Columns of a tile: 64, 128 or 256.</param>
/// <param name="Work">The cut.</param>
internal readonly record struct HopperPlan(int TileN, HopperWork Work)
{
    /// <summary>Rows of a tile, and depth of a step.</summary>
    public const int Rows = 128, Depth = 64;

    // Cycles of a multiprocessor, reckoned: a step of 128 x N x 64 at 2,048 multiply-adds a cycle (wider tiles read less shared
    // memory a product), the start and the epilogue of a piece, and the bytes that partial sums move in that time.
    private const int StepOf64 = 330, StepOf128 = 560, StepOf256 = 1024;
    private const int PieceCycles = 1200, PieceCyclesPer64 = 500;
    private const double PartialBytesPerCycle = 12.0;
    private const int MostSplits = 64;

    /// <summary>For tests: a width of tiles and a number of splits that take the place of the choice.</summary>
    public static (int TileN, int Splits)? Forced { get; set; }

    /// <summary>The fastest cut of C[m, n] over <paramref name="steps"/> steps by an estimate.</summary>
    /// <param name="tilesM">Tiles of 128 rows.</param>
    /// <param name="blocksN">Blocks of 64 columns.</param>
    /// <param name="steps">Steps of depth 64; at least 1.</param>
    /// <param name="multiprocessors">Blocks that run at the same time.</param>
    /// <param name="mostSplits">Parts for whose sums there is room.</param>
    public static HopperPlan For(int tilesM, int blocksN, int steps, int multiprocessors, int mostSplits)
    {
        HopperPlan best = default;
        double least = double.MaxValue;
        for (int tileN = 256; tileN >= 64; tileN /= 2)
        {
            if (Forced is { } forced && forced.TileN != tileN)
                continue;
            int tilesN = (blocksN + tileN / 64 - 1) / (tileN / 64);
            int cyclesPerStep = tileN == 256 ? StepOf256 : tileN == 128 ? StepOf128 : StepOf64;
            for (int splits = 1; splits == 1 || splits <= Math.Min(steps, Math.Min(mostSplits, MostSplits)); splits++)
            {
                int perSplit = (steps + splits - 1) / splits;
                if ((steps + perSplit - 1) / perSplit != splits)
                    continue; // fewer splits do the same
                if (Forced is { } wanted && splits > wanted.Splits)
                    break;
                var work = new HopperWork(tilesM, tilesN, splits, steps, perSplit);
                long waves = (work.Pieces + multiprocessors - 1) / multiprocessors;
                double cycles = waves * ((double)perSplit * cyclesPerStep + PieceCycles + PieceCyclesPer64 * (tileN / 64));
                if (splits > 1)
                    cycles += (2.0 * work.Pieces * Rows * tileN * sizeof(float) / multiprocessors / PartialBytesPerCycle) + PieceCycles;
                if (cycles < least || Forced is not null) // the most that are wanted
                    (least, best) = (cycles, new HopperPlan(tileN, work));
            }
        }

        return best;
    }
}
