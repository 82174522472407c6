using Mdm.Kernels;

namespace Mdm.Model.Shapes;

/// <summary>What kinds of scenes a generator draws, as shares between 0 and 1.</summary>
public sealed record ShapeOptions
{
    /// <summary>Share of the combinations that training never shows (see <see cref="HeldOutCombinations"/>), 0 to 0.5.</summary>
    public double HoldOut { get; init; } = 0.1;

    /// <summary>Share of the scenes with two shapes.</summary>
    public double Pairs { get; init; } = 0.5;

    /// <summary>Share of the shapes whose size is said.</summary>
    public double SaidSizes { get; init; } = 0.8;

    /// <summary>Share of the scenes whose background is said.</summary>
    public double SaidBackgrounds { get; init; } = 0.3;

    /// <summary>Whether captions say the same thing in several ways; false keeps to the plain form.</summary>
    public bool VariedCaptions { get; init; } = true;

    /// <summary>How far places, extents and shades vary, as a share of what the words allow: 0 draws every caption always alike,
    /// which is learnt soonest.</summary>
    public double Jitter { get; init; } = 1;

    /// <summary>The kinds that occur.</summary>
    public IReadOnlyList<ShapeKind> Kinds { get; init; } = Enum.GetValues<ShapeKind>();

    /// <exception cref="MdmException">A share is out of its range, or there is no kind.</exception>
    public void Check()
    {
        if (Kinds.Count == 0)
            throw new MdmException("shapes: no kind is given; name at least one");
        Check("hold-out share", HoldOut, HeldOutCombinations.MostShare);
        Check("share of two-shape scenes", Pairs, 1);
        Check("share of said sizes", SaidSizes, 1);
        Check("share of said backgrounds", SaidBackgrounds, 1);
        Check("jitter", Jitter, 1);
    }

    private static void Check(string name, double value, double most)
    {
        if (!(value >= 0 && value <= most))
            throw new MdmException($"shapes: the {name} is {value}; it must be between 0 and {most}");
    }
}
