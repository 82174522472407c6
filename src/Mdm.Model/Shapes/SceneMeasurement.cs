using Mdm.Kernels;

namespace Mdm.Model.Shapes;

/// <summary>A shape as it was found in an image. Lengths are shares of the image's shorter side.</summary>
/// <param name="Colour">The named colour, or null where it is too far from all.</param>
/// <param name="Fill">The mean colour of the core.</param>
/// <param name="Kind">The kind that fits, or null where none fits well.</param>
/// <param name="Residual">What remains of the best fit, 0 for a perfect shape.</param>
/// <param name="X">Centre of the box.</param>
/// <param name="Y">Centre of the box.</param>
/// <param name="Extent">Mean of the box's width and height.</param>
public sealed record MeasuredShape(
    ShapeColour? Colour, Rgb Fill, ShapeKind? Kind, double Residual, double X, double Y, double Extent);

/// <summary>What is in an image, by its pixels alone.</summary>
/// <param name="Background">Black, grey or white; Unsaid stands for dark grey, null for a tint or an uneven one.</param>
/// <param name="BackgroundFill">The median colour of the border.</param>
/// <param name="Even">Whether the background is one colour.</param>
/// <param name="Shapes">The shapes, the largest first.</param>
/// <param name="Marks">Share of the image that is neither background nor within a shape's outline.</param>
public sealed record SceneMeasurement(
    ShapeBackground? Background, Rgb BackgroundFill, bool Even, IReadOnlyList<MeasuredShape> Shapes, double Marks)
{
    /// <summary>The most marks that an image of clean shapes may have.</summary>
    public const double MostMarks = 0.02;

    /// <summary>A core farther than this from every named colour (RGB distance) has no name.</summary>
    private const double NamedColour = 75;

    /// <summary>A fit that leaves more than this is no clear kind, nor is one whose box is more stretched than this.</summary>
    private const double ClearKind = 0.075, Stretch = 1.3;

    /// <summary>A background of more chroma (greatest less least channel) is tinted.</summary>
    private const double Tint = 40;

    /// <summary>Share of the border that must have one colour.</summary>
    private const double EvenShare = 0.6;

    /// <summary>More patches than this are not looked at.</summary>
    private const int MostShapes = 6;

    /// <summary>Measures an image.</summary>
    /// <param name="rgb">Bytes [height, width, 3].</param>
    /// <param name="width">At least 32.</param>
    /// <param name="height">At least 32.</param>
    /// <exception cref="MdmException">The image is too small, or the bytes do not fit its size.</exception>
    public static SceneMeasurement Measure(ReadOnlySpan<byte> rgb, int width, int height)
    {
        var field = new PixelField(rgb, width, height);
        var segments = new ShapeSegmenter(field);
        var shapes = new List<MeasuredShape>();
        var outlines = new List<ShapeOutline>();
        for (int patch = 0; patch < Math.Min(segments.Patches.Count, MostShapes); patch++)
        {
            (MeasuredShape shape, ShapeOutline outline) = MeasurePatch(field, segments, patch);
            shapes.Add(shape);
            outlines.Add(outline);
        }

        bool even = field.EvenBorder >= EvenShare;
        var fill = ToRgb(field.R, field.G, field.B);
        return new SceneMeasurement(even ? Name(field) : null, fill, even, shapes, ShareOfMarks(field, outlines));
    }

    private static (MeasuredShape Shape, ShapeOutline Outline) MeasurePatch(PixelField field, ShapeSegmenter segments, int patch)
    {
        (double r, double g, double b) core = Core(field, segments, patch);
        var fitter = new ShapeFitter(field, segments, patch, core);
        ShapeFit best = Enum.GetValues<ShapeKind>().Select(fitter.Fit).MinBy(fit => fit.Residual);
        ShapeOutline outline = best.Outline;
        double stretch = Math.Max(outline.Width / outline.Height, outline.Height / outline.Width);
        double r0 = core.r + field.R, g0 = core.g + field.G, b0 = core.b + field.B;
        ShapeColour nearest = Enum.GetValues<ShapeColour>()
            .MinBy(colour => ShapeWorld.Distance(r0, g0, b0, ShapeWorld.Fill(colour)));
        bool named = ShapeWorld.Distance(r0, g0, b0, ShapeWorld.Fill(nearest)) <= NamedColour;
        double extent = (outline.Width + outline.Height) / 2 / field.Side;
        var shape = new MeasuredShape(named ? nearest : null, ToRgb(r0, g0, b0),
            best.Residual <= ClearKind && stretch <= Stretch ? outline.Kind : null, best.Residual,
            outline.X / field.Side, outline.Y / field.Side, extent);
        return (shape, outline);
    }

    /// <summary>The patch's mean difference from the background, over the pixels all of whose neighbours belong to it.</summary>
    private static (double R, double G, double B) Core(PixelField field, ShapeSegmenter segments, int patch)
    {
        int width = field.Width;
        bool Owned(int pixel) => pixel >= 0 && pixel < width * field.Height && segments.Owner(pixel) == patch;
        int[] all = segments.Patches[patch];
        int[] inner = all.Where(p => Owned(p - 1) && Owned(p + 1) && Owned(p - width) && Owned(p + width)).ToArray();
        int[] pixels = inner.Length > 0 ? inner : all;
        double r = 0, g = 0, b = 0;
        foreach (int pixel in pixels)
        {
            (double x, double y, double z) = field.Difference(pixel);
            (r, g, b) = (r + x, g + y, b + z);
        }

        return (r / pixels.Length, g / pixels.Length, b / pixels.Length);
    }

    private static double ShareOfMarks(PixelField field, List<ShapeOutline> outlines)
    {
        double edge = field.Side * 2 / 32.0;
        int marks = 0;
        for (int pixel = 0; pixel < field.Width * field.Height; pixel++)
        {
            (double r, double g, double b) = field.Difference(pixel);
            if ((r * r) + (g * g) + (b * b) < PixelField.Contrast * PixelField.Contrast)
                continue;
            double x = (pixel % field.Width) + 0.5, y = (pixel / field.Width) + 0.5;
            if (outlines.All(outline => outline.Distance(x, y) > edge))
                marks++;
        }

        return marks / (double)(field.Width * field.Height);
    }

    private static ShapeBackground? Name(PixelField field)
    {
        double most = Math.Max(field.R, Math.Max(field.G, field.B)), least = Math.Min(field.R, Math.Min(field.G, field.B));
        if (most - least > Tint)
            return null;
        double level = (field.R + field.G + field.B) / 3;
        return Enum.GetValues<ShapeBackground>().MinBy(background => Math.Abs(ShapeWorld.Grey(background) - level));
    }

    private static Rgb ToRgb(double r, double g, double b) => new(Level(r), Level(g), Level(b));

    private static byte Level(double value) => (byte)Math.Clamp(value + 0.5, 0, 255);
}
