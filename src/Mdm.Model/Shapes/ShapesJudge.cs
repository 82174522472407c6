using Mdm.Kernels;

namespace Mdm.Model.Shapes;

/// <summary>What captions speak of. Every image is judged by the number of shapes, their colours and kinds; by the others
/// where its caption says something about them.</summary>
public enum ShapeAttribute
{
    Number,
    Colour,
    Kind,
    Size,
    Relation,
    Background,
}

/// <summary>Whether an image is as the caption says in one respect.</summary>
/// <param name="Attribute">In which respect.</param>
/// <param name="Correct">Whether it is.</param>
/// <param name="Of">The shape as the caption names it, or "" where the whole image is meant.</param>
/// <param name="Wanted">What the caption says.</param>
/// <param name="Found">What the image shows.</param>
public sealed record AttributeVerdict(ShapeAttribute Attribute, bool Correct, string Of, string Wanted, string Found)
{
    public override string ToString()
    {
        string of = Of.Length == 0 ? "" : $" of the {Of}";
        return $"{CaptionWriter.Word(Attribute)}{of}: wanted {Wanted}, found {Found}";
    }
}

/// <summary>Whether an image shows what its caption says, and why (not).</summary>
public sealed record ShapeVerdict(SceneMeasurement Measurement, IReadOnlyList<AttributeVerdict> Attributes)
{
    /// <summary>All of it is right.</summary>
    public bool Correct => Attributes.All(attribute => attribute.Correct);

    /// <summary>What is wrong, each like "colour of the red circle: wanted red, found blue".</summary>
    public IEnumerable<string> Reasons =>
        Attributes.Where(attribute => !attribute.Correct).Select(attribute => attribute.ToString());
}

/// <summary>Judges images of shapes against captions by measuring pixels (see docs/shapes.md).</summary>
public static class ShapesJudge
{
    /// <summary>Extents of shapes that are no speck and do not fill the image.</summary>
    private const double LeastExtent = 0.15, MostExtent = 0.6;

    /// <summary>Centres must be so far apart (share of the side) for a relation to hold.</summary>
    private const double LeastOffset = 0.1;

    /// <summary>Judges an image.</summary>
    /// <param name="rgb">Bytes [height, width, 3].</param>
    /// <param name="width">At least 32.</param>
    /// <param name="height">At least 32.</param>
    /// <param name="caption">A caption of the grammar.</param>
    /// <exception cref="MdmException">The caption is not understood, or the image is too small.</exception>
    public static ShapeVerdict Judge(ReadOnlySpan<byte> rgb, int width, int height, string caption) =>
        Judge(SceneMeasurement.Measure(rgb, width, height), CaptionParser.Parse(caption));

    /// <summary>Judges what was measured. Found shapes are given to named ones so that most attributes are right.</summary>
    public static ShapeVerdict Judge(SceneMeasurement found, SceneDescription wanted)
    {
        AttributeVerdict number = Number(found, wanted);
        List<AttributeVerdict> best = Assignments(found.Shapes, wanted.Shapes.Count)
            .Select(shapes => Judge(shapes, wanted))
            .MinBy(verdicts => verdicts.Count(verdict => !verdict.Correct))!;
        List<AttributeVerdict> all = [number, .. best];
        if (wanted.Background != ShapeBackground.Unsaid)
            all.Add(Background(found, wanted.Background));
        return new ShapeVerdict(found, all);
    }

    private static AttributeVerdict Number(SceneMeasurement found, SceneDescription wanted)
    {
        int count = found.Shapes.Count;
        string text = count.ToString();
        if (!found.Even)
            text += " on an uneven background";
        else if (found.Marks > SceneMeasurement.MostMarks)
            text += $" and other marks on {found.Marks:P1} of the image";
        bool clean = found.Even && found.Marks <= SceneMeasurement.MostMarks;
        int expected = wanted.Shapes.Count;
        return new AttributeVerdict(ShapeAttribute.Number, clean && count == expected, "", expected.ToString(), text);
    }

    private static AttributeVerdict Background(SceneMeasurement found, ShapeBackground wanted)
    {
        string name = found.Background switch
        {
            null => $"no named one {found.BackgroundFill}",
            ShapeBackground.Unsaid => "dark grey",
            ShapeBackground named => CaptionWriter.Word(named),
        };
        return new AttributeVerdict(ShapeAttribute.Background, found.Background == wanted, "", CaptionWriter.Word(wanted), name);
    }

    /// <summary>Every way to give found shapes to one or two named ones; null stands for none.</summary>
    private static IEnumerable<MeasuredShape?[]> Assignments(IReadOnlyList<MeasuredShape> found, int wanted)
    {
        IEnumerable<MeasuredShape?> choices = found.Append(null);
        if (wanted == 1)
            return choices.Select(shape => new[] { shape });
        return from first in choices
               from second in choices
               where first == null || !ReferenceEquals(first, second)
               select new[] { first, second };
    }

    private static List<AttributeVerdict> Judge(MeasuredShape?[] found, SceneDescription wanted)
    {
        var verdicts = new List<AttributeVerdict>();
        for (int i = 0; i < found.Length; i++)
            Judge(found[i], wanted.Shapes[i], verdicts);
        if (wanted.Relation != null)
            verdicts.Add(Relation(found[0], found[1], wanted.Relation.Value));
        return verdicts;
    }

    private static void Judge(MeasuredShape? found, ShapeWords wanted, List<AttributeVerdict> verdicts)
    {
        string of = CaptionWriter.Words(wanted);
        string colour = found == null ? "nothing"
            : found.Colour is ShapeColour c ? CaptionWriter.Word(c) : $"no named one {found.Fill}";
        verdicts.Add(new(ShapeAttribute.Colour, found?.Colour == wanted.Colour, of, CaptionWriter.Word(wanted.Colour), colour));
        string kind = found == null ? "nothing" : found.Kind is ShapeKind k ? CaptionWriter.Word(k) : "no clear shape";
        verdicts.Add(new(ShapeAttribute.Kind, found?.Kind == wanted.Kind, of, CaptionWriter.Word(wanted.Kind), kind));
        ShapeSize? size = found == null ? null : Size(found.Extent);
        bool right = size != null && (wanted.Size == ShapeSize.Unsaid || size == wanted.Size);
        if (wanted.Size == ShapeSize.Unsaid && (right || found == null))
            return;
        string said = wanted.Size == ShapeSize.Unsaid ? "small or large" : CaptionWriter.Word(wanted.Size);
        string extent = found == null ? "nothing" : $"{found.Extent:P0} of the side";
        verdicts.Add(new(ShapeAttribute.Size, right, of, said, extent));
    }

    private static ShapeSize? Size(double extent)
    {
        if (extent is < LeastExtent or > MostExtent)
            return null;
        return extent < ShapeWorld.SizeBoundary ? ShapeSize.Small : ShapeSize.Large;
    }

    private static AttributeVerdict Relation(MeasuredShape? first, MeasuredShape? second, ShapeRelation wanted)
    {
        ShapeRelation? relation = null;
        if (first != null && second != null)
        {
            double x = second.X - first.X, y = second.Y - first.Y;
            if (Math.Max(Math.Abs(x), Math.Abs(y)) < LeastOffset)
                relation = null;
            else if (Math.Abs(y) >= Math.Abs(x))
                relation = y > 0 ? ShapeRelation.Above : ShapeRelation.Below;
            else
                relation = x > 0 ? ShapeRelation.LeftOf : ShapeRelation.RightOf;
        }

        string found = relation is ShapeRelation r ? CaptionWriter.Words(r) : "none";
        return new AttributeVerdict(ShapeAttribute.Relation, relation == wanted, "", CaptionWriter.Words(wanted), found);
    }
}
