namespace Mdm.Model.Shapes;

/// <summary>Draws scenes at any resolution. A pixel is the exact mean of background and shape by covered area where the
/// pixel is wholly inside or outside, and of 8 x 8 samples of it where an edge passes.</summary>
public static class ShapeRenderer
{
    private const int Samples = 8;

    /// <summary>The scene as RGB bytes [size, size, 3], rows from the top.</summary>
    public static byte[] Draw(ShapeScene scene, int size)
    {
        var rgb = new byte[size * size * 3];
        Draw(scene, size, rgb);
        return rgb;
    }

    /// <summary>As <see cref="Draw(ShapeScene, int)"/>, into memory of the caller's.</summary>
    public static void Draw(ShapeScene scene, int size, Span<byte> rgb)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        ArgumentOutOfRangeException.ThrowIfNotEqual(rgb.Length, size * size * 3);
        for (int i = 0; i < rgb.Length; i += 3)
            Put(rgb, i, scene.Background, 1);
        foreach (PlacedShape shape in scene.Shapes)
            Draw(shape, size, rgb);
    }

    private static void Draw(PlacedShape shape, int size, Span<byte> rgb)
    {
        double extent = shape.Extent * size, half = extent / 2;
        var outline = new ShapeOutline(shape.Words.Kind, shape.X * size, shape.Y * size, extent, extent);
        int left = Math.Max(0, (int)Math.Floor(outline.X - half)), right = Math.Min(size, (int)Math.Ceiling(outline.X + half));
        int top = Math.Max(0, (int)Math.Floor(outline.Y - half)), bottom = Math.Min(size, (int)Math.Ceiling(outline.Y + half));
        for (int y = top; y < bottom; y++)
            for (int x = left; x < right; x++)
                Put(rgb, ((y * size) + x) * 3, shape.Fill, Coverage(outline, x, y));
    }

    private static double Coverage(in ShapeOutline outline, int x, int y)
    {
        double distance = outline.Distance(x + 0.5, y + 0.5);
        if (Math.Abs(distance) >= Math.Sqrt(0.5))
            return distance < 0 ? 1 : 0;
        int inside = 0;
        for (int j = 0; j < Samples; j++)
            for (int i = 0; i < Samples; i++)
                if (outline.Distance(x + ((i + 0.5) / Samples), y + ((j + 0.5) / Samples)) < 0)
                    inside++;
        return inside / (double)(Samples * Samples);
    }

    private static void Put(Span<byte> rgb, int at, Rgb colour, double share)
    {
        rgb[at] = Blend(rgb[at], colour.R, share);
        rgb[at + 1] = Blend(rgb[at + 1], colour.G, share);
        rgb[at + 2] = Blend(rgb[at + 2], colour.B, share);
    }

    private static byte Blend(byte under, byte over, double share) => (byte)(under + ((over - under) * share) + 0.5);
}
