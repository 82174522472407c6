using Mdm.Kernels;

namespace Mdm.Model.Shapes;

/// <summary>A scene and one of its captions.</summary>
public sealed record ShapeSample(ShapeScene Scene, string Caption);

/// <summary>Random scenes. Scene number i depends on the seed, the options and i alone, so threads may draw in any
/// order.</summary>
public sealed class ShapeGenerator
{
    private const ulong Training = 0, HeldOutStream = 1;

    /// <summary>Centres of two shapes along their axis; two large ones leave 0.08 between them and 0.02 to the border.</summary>
    private const double Near = 0.25, Far = 0.75;

    /// <summary>How far a centre may be from its place: of one shape, of two along and across their axis.</summary>
    private const double SingleJitter = 0.06, AlongJitter = 0.02, AcrossJitter = 0.04;

    /// <summary>Colours vary by so many levels about the word's own.</summary>
    private const double FillJitter = 6, GreyJitter = 3;

    private const int MostAttempts = 10000;

    private readonly ulong _seed;

    /// <exception cref="MdmException">An option is out of its range.</exception>
    public ShapeGenerator(ulong seed, ShapeOptions? options = null)
    {
        _seed = seed;
        Options = options ?? new ShapeOptions();
        Options.Check();
        HeldOut = new HeldOutCombinations(Options.HoldOut);
    }

    public ShapeOptions Options { get; }

    /// <summary>The combinations that <see cref="Sample"/> never shows.</summary>
    public HeldOutCombinations HeldOut { get; }

    /// <summary>Training scene number <paramref name="index"/>; never a held-out combination.</summary>
    public ShapeSample Sample(long index)
    {
        var random = new SceneRandom(_seed, Training, (ulong)index);
        SceneDescription scene;
        do
            scene = Describe(ref random);
        while (HeldOut.Contains(scene));
        return Finish(scene, ref random);
    }

    /// <summary>Scene number <paramref name="index"/> of those with a held-out combination, all of which are equally
    /// frequent; its caption is in the plain form.</summary>
    /// <exception cref="MdmException">Nothing is held out.</exception>
    public ShapeSample HeldOutSample(long index)
    {
        if (HeldOut.PairCount == 0)
            throw new MdmException("shapes: the hold-out share is 0, so there are no held-out captions; give a share above 0");
        var random = new SceneRandom(_seed, HeldOutStream, (ulong)index);
        SceneDescription scene = DescribeHeldOut(ref random);
        return Finish(scene, ref random) with { Caption = CaptionWriter.Write(scene) };
    }

    /// <summary>Training images (RGB bytes [size, size, 3]) with their captions, without end.</summary>
    public IEnumerable<(byte[] Rgb, string Caption)> Images(int size, long first = 0)
    {
        for (long index = first; ; index++)
        {
            ShapeSample sample = Sample(index);
            yield return (ShapeRenderer.Draw(sample.Scene, size), sample.Caption);
        }
    }

    /// <summary>So many different captions of held-out combinations, the first ones of <see cref="HeldOutSample"/>.</summary>
    /// <exception cref="MdmException">Nothing is held out, or there are not so many.</exception>
    public IReadOnlyList<string> HeldOutPrompts(int count)
    {
        var prompts = new List<string>(count);
        var seen = new HashSet<string>();
        for (long index = 0; prompts.Count < count; index++)
        {
            if (index > 100L * (count + 100))
                throw new MdmException($"shapes: {count} held-out captions wanted, only {prompts.Count} found; hold out more");
            string caption = HeldOutSample(index).Caption;
            if (seen.Add(caption))
                prompts.Add(caption);
        }

        return prompts;
    }

    /// <summary>Puts a description on the canvas, with the jitter that the words allow.</summary>
    /// <param name="scene">What to draw.</param>
    /// <param name="seed">Chooses places, extents and shades.</param>
    /// <param name="jitter">As <see cref="ShapeOptions.Jitter"/>.</param>
    public static ShapeScene Place(SceneDescription scene, ulong seed, double jitter = 1)
    {
        var random = new SceneRandom(seed, Training, 0);
        return Place(scene, jitter, ref random);
    }

    private ShapeSample Finish(SceneDescription scene, ref SceneRandom random)
    {
        ShapeScene placed = Place(scene, Options.Jitter, ref random);
        int variant = Options.VariedCaptions ? random.Below(CaptionWriter.Variants) : 0;
        return new ShapeSample(placed, CaptionWriter.Write(scene, variant));
    }

    private SceneDescription Describe(ref SceneRandom random)
    {
        ShapeWords first = RandomShape(ref random);
        if (!random.Chance(Options.Pairs))
            return new SceneDescription(first, null, null, RandomBackground(ref random));
        ShapeWords second;
        do
            second = RandomShape(ref random);
        while (second.Colour == first.Colour && second.Kind == first.Kind);
        return new SceneDescription(first, Any<ShapeRelation>(ref random), second, RandomBackground(ref random));
    }

    private SceneDescription DescribeHeldOut(ref SceneRandom random)
    {
        for (int attempt = 0; attempt < MostAttempts; attempt++)
        {
            SceneDescription scene = AnyHeldOut(ref random);
            if (scene.Shapes.All(shape => Options.Kinds.Contains(shape.Kind)))
                return scene;
        }

        throw new MdmException($"shapes: no held-out combination consists of {string.Join(", ", Options.Kinds)}; allow more kinds");
    }

    private SceneDescription AnyHeldOut(ref SceneRandom random)
    {
        if (!random.Chance(Options.Pairs))
        {
            ShapeWords single = HeldOut.SingleAt(random.Below(HeldOut.SingleCount));
            return new SceneDescription(single, null, null, RandomBackground(ref random));
        }

        (ShapeWords a, ShapeWords b) = HeldOut.PairAt(random.Below(HeldOut.PairCount));
        if (random.Chance(0.5))
            (a, b) = (b, a);
        a = a with { Size = RandomSize(ref random) };
        b = b with { Size = RandomSize(ref random) };
        return new SceneDescription(a, Any<ShapeRelation>(ref random), b, RandomBackground(ref random));
    }

    private ShapeWords RandomShape(ref SceneRandom random) =>
        new(RandomSize(ref random), Any<ShapeColour>(ref random), Options.Kinds[random.Below(Options.Kinds.Count)]);

    private ShapeSize RandomSize(ref SceneRandom random)
    {
        if (!random.Chance(Options.SaidSizes))
            return ShapeSize.Unsaid;
        return random.Chance(0.5) ? ShapeSize.Small : ShapeSize.Large;
    }

    private ShapeBackground RandomBackground(ref SceneRandom random) =>
        random.Chance(Options.SaidBackgrounds) ? (ShapeBackground)(1 + random.Below(3)) : ShapeBackground.Unsaid;

    private static T Any<T>(ref SceneRandom random)
        where T : struct, Enum
    {
        T[] values = Enum.GetValues<T>();
        return values[random.Below(values.Length)];
    }

    private static ShapeScene Place(SceneDescription scene, double jitter, ref SceneRandom random)
    {
        byte level = Level(ShapeWorld.Grey(scene.Background) + random.About(jitter * GreyJitter));
        var background = new Rgb(level, level, level);
        if (scene.Second == null)
        {
            double x = 0.5 + random.About(jitter * SingleJitter), y = 0.5 + random.About(jitter * SingleJitter);
            return new ShapeScene(scene, [Place(scene.First, x, y, jitter, ref random)], background);
        }

        ShapeRelation relation = scene.Relation!.Value;
        double along = random.About(jitter * AlongJitter);
        bool firstIsNear = relation is ShapeRelation.Above or ShapeRelation.LeftOf;
        bool vertical = relation is ShapeRelation.Above or ShapeRelation.Below;
        PlacedShape first = PlaceOnAxis(scene.First, (firstIsNear ? Near : Far) + along, vertical, jitter, ref random);
        PlacedShape second = PlaceOnAxis(scene.Second, (firstIsNear ? Far : Near) + along, vertical, jitter, ref random);
        return new ShapeScene(scene, [first, second], background);
    }

    private static PlacedShape PlaceOnAxis(ShapeWords words, double along, bool vertical, double jitter, ref SceneRandom random)
    {
        double across = 0.5 + random.About(jitter * AcrossJitter);
        return vertical ? Place(words, across, along, jitter, ref random) : Place(words, along, across, jitter, ref random);
    }

    private static PlacedShape Place(ShapeWords words, double x, double y, double jitter, ref SceneRandom random)
    {
        (double least, double most) = ShapeWorld.Extents(words.Size);
        double extent = (least + most) / 2 + random.About(jitter * (most - least) / 2);
        Rgb fill = ShapeWorld.Fill(words.Colour);
        byte r = Level(fill.R + random.About(jitter * FillJitter));
        byte g = Level(fill.G + random.About(jitter * FillJitter));
        byte b = Level(fill.B + random.About(jitter * FillJitter));
        return new PlacedShape(words, x, y, extent, new Rgb(r, g, b));
    }

    private static byte Level(double value) => (byte)Math.Clamp(value + 0.5, 0, 255);
}
