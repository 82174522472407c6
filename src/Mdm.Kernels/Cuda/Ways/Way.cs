using System.Globalization;
using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Cuda.Ways;

/// <summary>Whose kernel computes a call.</summary>
internal enum Maker
{
    /// <summary>The program's own, chosen by reckoning.</summary>
    Reckoned,

    /// <summary>The portable kernels (matmul.cu, conv.cu).</summary>
    Portable,

    /// <summary>Those for Hopper's matrix core.</summary>
    Hopper,

    /// <summary>cuBLASLt or cuDNN.</summary>
    Library,
}

/// <summary>One way to compute a product or a convolution.</summary>
/// <param name="Maker">Whose kernel.</param>
/// <param name="Tile">Its place in <see cref="ProductTile.All"/> or <see cref="HopperPlan.Tiles"/>, or among what the library
/// proposes.</param>
/// <param name="Split">The sum is divided into 2^Split as many parts as are reckoned for the tile.</param>
internal readonly record struct Way(Maker Maker, int Tile = 0, int Split = 0)
{
    /// <summary>What the program does where nothing was measured.</summary>
    public static Way Reckoned => default;

    /// <summary>How many proposals of a library are tried.</summary>
    public const int Proposals = 4;

    /// <summary>What the library proposes first.</summary>
    public static Way Library => new(Maker.Library);

    /// <summary>All ways that a call may go, the reckoned one first. Some may turn out to be none for it.</summary>
    /// <param name="math">How its products are formed.</param>
    public static IEnumerable<Way> All(ProductMath math)
    {
        yield return Reckoned;
        for (int i = 0; i < Proposals; i++)
            yield return new Way(Maker.Library, i);
        foreach (int split in (int[])[0, -1, 1])
        {
            if (math == ProductMath.Bf16)
            {
                for (int i = 0; i < HopperPlan.Tiles.Count; i++)
                    yield return new Way(Maker.Hopper, i, split);
            }

            for (int i = 0; i < ProductTile.All.Count; i++)
            {
                if (ProductTile.All[i].Math == math)
                    yield return new Way(Maker.Portable, i, split);
            }
        }
    }

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    public static bool TryParse(string text, out Way way)
    {
        way = default;
        string[] words = text.Split(' ');
        if (words.Length != 3 || !Enum.TryParse(words[0], out Maker maker) || !Enum.IsDefined(maker)
            || !int.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out int tile)
            || !int.TryParse(words[2], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int split))
            return false;
        way = new Way(maker, tile, split);
        return way.ToString() == text;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Maker} {Tile} {Split}");
}
