namespace Mdm.Model.Shapes;

/// <summary>What a shape is. Each fills its square box [extent x extent] edge to edge.</summary>
public enum ShapeKind
{
    Circle,
    Square,

    /// <summary>Isosceles, the point up, as high as it is wide.</summary>
    Triangle,

    /// <summary>A square standing on a corner.</summary>
    Diamond,
}

/// <summary>The six colours, about 60 degrees of hue apart.</summary>
public enum ShapeColour
{
    Red,
    Yellow,
    Green,
    Cyan,
    Blue,
    Purple,
}

/// <summary>What a caption says of a shape's size. A shape of unsaid size is drawn between small and large; any size
/// satisfies a caption that says none.</summary>
public enum ShapeSize
{
    Unsaid,
    Small,
    Large,
}

/// <summary>Where the first shape is, seen from the second.</summary>
public enum ShapeRelation
{
    Above,
    Below,
    LeftOf,
    RightOf,
}

/// <summary>The one colour behind the shapes. Where a caption says nothing, dark grey is drawn and anything is right.</summary>
public enum ShapeBackground
{
    Unsaid,
    Black,
    Grey,
    White,
}

/// <summary>A colour of 8 bits a channel.</summary>
public readonly record struct Rgb(byte R, byte G, byte B)
{
    public override string ToString() => $"({R},{G},{B})";
}

/// <summary>One shape as words: "large red circle".</summary>
public sealed record ShapeWords(ShapeSize Size, ShapeColour Colour, ShapeKind Kind)
{
    public override string ToString() => CaptionWriter.Words(this);
}

/// <summary>All that a caption says: one shape, or two and their relation, and perhaps the background.</summary>
/// <param name="First">The shape named first.</param>
/// <param name="Relation">Where the first is, seen from the second; null exactly where there is no second.</param>
/// <param name="Second">The shape named second, or null.</param>
/// <param name="Background">The background's colour.</param>
public sealed record SceneDescription(
    ShapeWords First, ShapeRelation? Relation, ShapeWords? Second, ShapeBackground Background)
{
    /// <summary>The shapes in the order in which they are named.</summary>
    public IReadOnlyList<ShapeWords> Shapes => Second == null ? [First] : [First, Second];

    public override string ToString() => CaptionWriter.Write(this);
}

/// <summary>A shape with its place. Lengths are shares of the image's side, x to the right and y down.</summary>
/// <param name="Words">What it is.</param>
/// <param name="X">Centre of its box.</param>
/// <param name="Y">Centre of its box.</param>
/// <param name="Extent">Side of its box.</param>
/// <param name="Fill">The colour it is drawn in.</param>
public sealed record PlacedShape(ShapeWords Words, double X, double Y, double Extent, Rgb Fill);

/// <summary>A picture before it has a resolution.</summary>
public sealed record ShapeScene(SceneDescription Description, IReadOnlyList<PlacedShape> Shapes, Rgb Background);

/// <summary>The numbers behind the words.</summary>
public static class ShapeWorld
{
    /// <summary>Extents (share of the image's side) below this are small, the others large.</summary>
    public const double SizeBoundary = 0.32;

    private static readonly Rgb[] Fills =
        [new(230, 30, 30), new(245, 225, 30), new(30, 180, 50), new(20, 210, 225), new(40, 70, 240), new(200, 40, 200)];

    private static readonly byte[] Greys = [64, 0, 144, 255];

    /// <summary>The colour in the middle of what a word means.</summary>
    public static Rgb Fill(ShapeColour colour) => Fills[(int)colour];

    /// <summary>The level of grey that a background is drawn in.</summary>
    public static byte Grey(ShapeBackground background) => Greys[(int)background];

    /// <summary>The range from which the extent of a shape of this size is drawn.</summary>
    public static (double Least, double Most) Extents(ShapeSize size) => size switch
    {
        ShapeSize.Small => (0.22, 0.26),
        ShapeSize.Large => (0.38, 0.42),
        _ => (0.30, 0.34),
    };

    /// <summary>Distance (0 to 441) of two colours in RGB.</summary>
    public static double Distance(double r, double g, double b, Rgb to)
    {
        double x = r - to.R, y = g - to.G, z = b - to.B;
        return Math.Sqrt((x * x) + (y * y) + (z * z));
    }
}
