namespace Mdm.Model.Shapes;

/// <summary>The combinations that training never shows.
/// For two shapes a combination is the unordered pair of their (colour, kind): where {red circle, blue square} is held out,
/// no training picture holds both, in whatever relation, sizes, order of words and background. For one shape it is
/// (size, colour, kind), an unsaid size being one of the three. Each (colour, kind) still occurs in other company.
/// Which ones are held out depends on the share alone, not on a seed, and a larger share holds out those of a smaller one
/// and more, so that results of different runs are about the same prompts.</summary>
public sealed class HeldOutCombinations
{
    /// <summary>Above this too little would be left to learn from.</summary>
    public const double MostShare = 0.5;

    private static readonly int Kinds = Enum.GetValues<ShapeKind>().Length;
    private static readonly int Objects = Enum.GetValues<ShapeColour>().Length * Kinds;
    private static readonly int Singles = Objects * Enum.GetValues<ShapeSize>().Length;

    private readonly int[] _pairs;
    private readonly int[] _singles;
    private readonly HashSet<int> _held;

    /// <summary>Holds out this share (0 to <see cref="MostShare"/>) of the pairs and of the single shapes, rounded up.</summary>
    public HeldOutCombinations(double share)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(share);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(share, MostShare);
        var pairs = from a in Enumerable.Range(0, Objects) from b in Enumerable.Range(a + 1, Objects - a - 1) select Pair(a, b);
        _pairs = First(pairs, share);
        _singles = First(Enumerable.Range(0, Singles), share);
        _held = [.. _pairs, .. _singles];
    }

    /// <summary>Number of pairs held out, of 276.</summary>
    public int PairCount => _pairs.Length;

    /// <summary>Number of single shapes held out, of 72.</summary>
    public int SingleCount => _singles.Length;

    /// <summary>Whether the scene shows a combination that is held out.</summary>
    public bool Contains(SceneDescription scene)
    {
        if (scene.Second == null)
            return _held.Contains(Single(scene.First));
        int a = Object(scene.First), b = Object(scene.Second);
        return _held.Contains(Pair(Math.Min(a, b), Math.Max(a, b)));
    }

    /// <summary>The held-out single shape of this number, 0 ... <see cref="SingleCount"/>-1.</summary>
    internal ShapeWords SingleAt(int number)
    {
        int key = _singles[number];
        return Words(key % Objects) with { Size = (ShapeSize)(key / Objects) };
    }

    /// <summary>The held-out pair of this number, 0 ... <see cref="PairCount"/>-1, sizes unsaid.</summary>
    internal (ShapeWords A, ShapeWords B) PairAt(int number)
    {
        int key = _pairs[number] - Singles;
        return (Words(key / Objects), Words(key % Objects));
    }

    private static int Object(ShapeWords shape) => ((int)shape.Colour * Kinds) + (int)shape.Kind;

    private static ShapeWords Words(int number) =>
        new(ShapeSize.Unsaid, (ShapeColour)(number / Kinds), (ShapeKind)(number % Kinds));

    private static int Single(ShapeWords shape) => ((int)shape.Size * Objects) + Object(shape);

    private static int Pair(int a, int b) => Singles + (a * Objects) + b;

    private static int[] First(IEnumerable<int> keys, double share)
    {
        int[] ordered = keys.OrderBy(key => SceneRandom.Mix((ulong)key)).ToArray();
        return ordered[..(int)Math.Ceiling(ordered.Length * share)];
    }
}
