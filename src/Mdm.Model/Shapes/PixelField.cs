using Mdm.Kernels;

namespace Mdm.Model.Shapes;

/// <summary>An image in floating point, reduced by a whole factor where it is larger than measuring needs, and the colour
/// behind its shapes.</summary>
internal sealed class PixelField
{
    /// <summary>The shortest side that can be judged; twice as large images and larger ones are reduced to near it, which takes
    /// noise out and costs nothing: the smallest shape is still 7 pixels wide.</summary>
    public const int LeastSide = 32;

    /// <summary>Colours nearer than this (in RGB, 0 to 441) count as equal to the background.</summary>
    public const double Contrast = 40;

    private readonly float[] _rgb;

    /// <param name="rgb">Bytes [height, width, 3].</param>
    /// <exception cref="MdmException">The image is too small, or the bytes do not fit its size.</exception>
    public PixelField(ReadOnlySpan<byte> rgb, int width, int height)
    {
        if (Math.Min(width, height) < LeastSide)
            throw new MdmException($"cannot judge an image of {width}x{height}: the smallest is {LeastSide}x{LeastSide}");
        if (rgb.Length != 3L * width * height)
            throw new MdmException($"an image of {width}x{height} has {rgb.Length} bytes; expected {3L * width * height}");
        int factor = Math.Min(width, height) / LeastSide;
        Width = width / factor;
        Height = height / factor;
        Side = Math.Min(Width, Height);
        _rgb = Reduce(rgb, width, factor, Width, Height);
        (R, G, B) = BorderMedian();
        EvenBorder = BorderShareNear(R, G, B);
    }

    public int Width { get; }

    public int Height { get; }

    /// <summary>The shorter side; lengths are shares of it.</summary>
    public int Side { get; }

    /// <summary>The background's red.</summary>
    public double R { get; }

    /// <summary>The background's green.</summary>
    public double G { get; }

    /// <summary>The background's blue.</summary>
    public double B { get; }

    /// <summary>Share of the border that has the background's colour.</summary>
    public double EvenBorder { get; }

    /// <summary>A pixel's difference from the background.</summary>
    public (double R, double G, double B) Difference(int pixel) =>
        (_rgb[3 * pixel] - R, _rgb[(3 * pixel) + 1] - G, _rgb[(3 * pixel) + 2] - B);

    private static float[] Reduce(ReadOnlySpan<byte> rgb, int stride, int factor, int width, int height)
    {
        var reduced = new float[width * height * 3];
        for (int y = 0; y < height * factor; y++)
            for (int x = 0; x < width * factor; x++)
                for (int c = 0; c < 3; c++)
                    reduced[((((y / factor) * width) + (x / factor)) * 3) + c] += rgb[(((y * stride) + x) * 3) + c];
        for (int i = 0; i < reduced.Length; i++)
            reduced[i] /= factor * factor;
        return reduced;
    }

    private IEnumerable<int> Border()
    {
        int ring = Math.Max(1, Side / 32);
        for (int y = 0; y < Height; y++)
            for (int x = 0; x < Width; x++)
                if (x < ring || y < ring || x >= Width - ring || y >= Height - ring)
                    yield return (y * Width) + x;
    }

    private (double R, double G, double B) BorderMedian()
    {
        int[] border = Border().ToArray();
        double Median(int channel)
        {
            float[] values = border.Select(pixel => _rgb[(3 * pixel) + channel]).Order().ToArray();
            return values[values.Length / 2];
        }

        return (Median(0), Median(1), Median(2));
    }

    private double BorderShareNear(double r, double g, double b)
    {
        int near = 0, all = 0;
        foreach (int pixel in Border())
        {
            all++;
            (double x, double y, double z) = (_rgb[3 * pixel] - r, _rgb[(3 * pixel) + 1] - g, _rgb[(3 * pixel) + 2] - b);
            if ((x * x) + (y * y) + (z * z) < Contrast * Contrast)
                near++;
        }

        return near / (double)all;
    }
}
