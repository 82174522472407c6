using System.Numerics;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>Which tile computes a product, and in how many parts its K is divided.</summary>
internal readonly record struct ProductPlan(ProductTile Tile, int Parts)
{
    private const double SplitMicroseconds = 3;
    private const double BlockMicroseconds = 1.5;
    private const double BytesPerMicrosecond = 2e6;
    private const long LargestScratch = 256 << 20;
    private const int SharedOfSystem = 1024; // bytes of each block

    /// <summary>For tests: takes the place of the choice where it fits the product.</summary>
    public static ProductPlan? Forced { get; set; }

    /// <summary>Whether there is none: what was wanted cannot be had.</summary>
    public bool IsNone => Tile is null;

    /// <summary>The plan with the least predicted time.</summary>
    /// <param name="math">How products are formed.</param>
    /// <param name="aligned">Whether both operands can be read in chunks of 16 bytes.</param>
    /// <param name="m">Rows of the result.</param>
    /// <param name="n">Columns of it.</param>
    /// <param name="k">Terms of each sum.</param>
    /// <param name="products">Products of these sizes in one launch.</param>
    /// <param name="divisible">Whether K may be divided.</param>
    /// <param name="device">What it runs on.</param>
    /// <param name="way">If of the maker Portable: the tile, and more or fewer parts than are reckoned for it.</param>
    public static ProductPlan Choose(ProductMath math, bool aligned, int m, int n, int k, int products, bool divisible,
        CudaProperties device, Way way = default)
    {
        if (Forced is { } forced && forced.Tile.Math == math && (aligned || !forced.Tile.Aligned))
            return forced with { Parts = divisible ? forced.Parts : 1 };
        ProductPlan best = default;
        double least = double.PositiveInfinity;
        for (int i = 0; i < ProductTile.All.Count; i++)
        {
            ProductTile tile = ProductTile.All[i];
            if (way.Maker == Maker.Portable && way.Tile != i)
                continue;
            if (tile.Math != math || tile.Aligned != aligned || tile.SharedBytes > device.SharedPerBlock)
                continue;
            int steps = (k + tile.Step - 1) / tile.Step;
            // Parts of at least four steps: every number up to 16, then steps of an eighth.
            for (int parts = 1; ; parts += Math.Max(1, (1 << BitOperations.Log2((uint)parts)) >> 3))
            {
                if (parts > 1 && (!divisible || steps / parts < 4 || 4.0 * products * parts * m * n > LargestScratch))
                    break;
                double time = Time(tile, parts, m, n, steps, products, device);
                if (time < least)
                    (best, least) = (new ProductPlan(tile, parts), time);
            }
        }

        return best.IsNone || way.Split == 0 ? best : best.Split(way.Split, m, n, k, products, divisible);
    }

    private ProductPlan Split(int split, int m, int n, int k, int products, bool divisible)
    {
        int parts = split > 0 ? Parts << split : Parts >> -split, steps = (k + Tile.Step - 1) / Tile.Step;
        return divisible && parts >= 1 && parts <= steps && 4.0 * products * parts * m * n <= LargestScratch
            ? this with { Parts = parts }
            : default;
    }

    /// <summary>Predicted microseconds: rounds of blocks over the multiprocessors, and what the parts cost to write and sum.</summary>
    private static double Time(ProductTile tile, int parts, int m, int n, int steps, int products, CudaProperties device)
    {
        long blocks = (long)products * parts * ((m + tile.M - 1) / tile.M) * ((n + tile.N - 1) / tile.N);
        long rounds = (blocks + device.Multiprocessors - 1) / device.Multiprocessors;
        // One block on a multiprocessor that is made for several does not hide its waiting.
        int fitting = device.SharedPerMultiprocessor / (tile.SharedBytes + SharedOfSystem);
        double alone = Math.Min(rounds, fitting) < tile.BlocksPerMultiprocessor ? 0.7 : 1;
        double step = tile.M * tile.N * (double)tile.Step / (Rate(tile.Math) * tile.Efficiency * alone);
        double time = rounds * (step * ((steps + parts - 1) / parts) + BlockMicroseconds);
        return parts == 1 ? time : time + SplitMicroseconds + 8.0 * products * parts * m * n / BytesPerMicrosecond;
    }

    /// <summary>Multiply-adds of a multiprocessor in a microsecond, on an H100, at the best that mma.sync is known to
    /// reach.</summary>
    private static double Rate(ProductMath math) => math switch
    {
        ProductMath.Bf16 => 2.3e6,
        ProductMath.Tf32 => 1.1e6,
        _ => 0.2e6,
    };
}
