namespace Mdm.Model.Shapes;

/// <summary>Where and how large one patch is when it is taken for a given kind of shape.</summary>
/// <param name="Outline">The edge that fits best, in pixels.</param>
/// <param name="Residual">Sum of squared differences between coverage measured and coverage drawn, as a share of the sum of
/// squared coverage: 0 for a perfect shape.</param>
internal readonly record struct ShapeFit(ShapeOutline Outline, double Residual);

/// <summary>Fits outlines to the coverage of one patch. What is compared with the image is the outline drawn and blurred, the
/// blur being fitted too: it rounds corners as the blur of an image does, so that a blurred diamond is no circle.</summary>
internal sealed class ShapeFitter
{
    /// <summary>Steps of the search, in pixels (and a tenth of it for the blur); a step that no longer helps is halved.</summary>
    private const double FirstStep = 1, LastStep = 0.1, BlurStep = 0.1;

    /// <summary>Weight of each neighbour in the blur [k, 1-2k, k]; at most the mean of three.</summary>
    private const double FirstBlur = 0.1, MostBlur = 1 / 3.0;

    private readonly int _left;
    private readonly int _top;
    private readonly int _width;
    private readonly int _height;
    private readonly int _passes;
    private readonly double[] _coverage;
    private readonly bool[] _counted;
    private readonly double[] _drawn;
    private readonly double[] _scratch;
    private double _area;
    private double _norm;
    private double _meanX;
    private double _meanY;

    /// <summary>Measures the coverage around a patch. Pixels at or next to other patches do not count.</summary>
    /// <param name="colour">Difference of the patch's core colour from the background.</param>
    public ShapeFitter(PixelField field, ShapeSegmenter segments, int patch, (double R, double G, double B) colour)
    {
        int margin = Math.Max(3, field.Side * 3 / 32);
        int[] pixels = segments.Patches[patch];
        _left = Math.Max(0, pixels.Min(p => p % field.Width) - margin);
        _top = Math.Max(0, (pixels.Min() / field.Width) - margin);
        _width = Math.Min(field.Width - 1, pixels.Max(p => p % field.Width) + margin) - _left + 1;
        _height = Math.Min(field.Height - 1, (pixels.Max() / field.Width) + margin) - _top + 1;
        _passes = Math.Max(1, field.Side / PixelField.LeastSide);
        _coverage = new double[_width * _height];
        _counted = new bool[_coverage.Length];
        _drawn = new double[_coverage.Length];
        _scratch = new double[_coverage.Length];
        MeasureCoverage(field, segments, patch, colour);
    }

    /// <summary>The best outline of a kind: from area and centroid, improved one coordinate at a time.</summary>
    public ShapeFit Fit(ShapeKind kind)
    {
        double extent = Math.Sqrt(_area / ShapeOutline.BoxShare(kind));
        double y = kind == ShapeKind.Triangle ? _meanY - (extent / 6) : _meanY;
        double[] at = [_meanX, y, extent, extent, FirstBlur];
        double best = Residual(kind, at);
        for (double step = FirstStep; step >= LastStep;)
        {
            double before = best;
            for (int i = 0; i < at.Length; i++)
                best = Improve(kind, at, i, i == 4 ? step * BlurStep : step, best);
            if (best >= before * 0.99)
                step /= 2;
        }

        return new ShapeFit(new ShapeOutline(kind, at[0], at[1], at[2], at[3]), best);
    }

    private void MeasureCoverage(
        PixelField field, ShapeSegmenter segments, int patch, (double R, double G, double B) colour)
    {
        double length = (colour.R * colour.R) + (colour.G * colour.G) + (colour.B * colour.B);
        for (int i = 0; i < _coverage.Length; i++)
        {
            int x = _left + (i % _width), y = _top + (i / _width), pixel = (y * field.Width) + x;
            bool own = segments.Touches(pixel, patch, other: false);
            _counted[i] = own || !segments.Touches(pixel, patch, other: true);
            if (!_counted[i])
                continue;
            (double r, double g, double b) = field.Difference(pixel);
            _coverage[i] = ((r * colour.R) + (g * colour.G) + (b * colour.B)) / length;
            _norm += _coverage[i] * _coverage[i];
            double weight = own ? Math.Clamp(_coverage[i], 0, 1) : 0;
            _area += weight;
            _meanX += weight * (x + 0.5);
            _meanY += weight * (y + 0.5);
        }

        _meanX /= _area;
        _meanY /= _area;
    }

    /// <summary>Moves one coordinate up or down by a step if that helps; the residual after it.</summary>
    private double Improve(ShapeKind kind, double[] at, int coordinate, double step, double best)
    {
        double old = at[coordinate];
        foreach (double change in (ReadOnlySpan<double>)[step, -step])
        {
            at[coordinate] = old + change;
            bool allowed = at[2] >= 2 && at[3] >= 2 && at[4] >= 0 && at[4] <= MostBlur;
            double residual = allowed ? Residual(kind, at) : double.PositiveInfinity;
            if (residual < best)
                return residual;
        }

        at[coordinate] = old;
        return best;
    }

    private double Residual(ShapeKind kind, double[] at)
    {
        var outline = new ShapeOutline(kind, at[0], at[1], at[2], at[3]);
        for (int y = 0, i = 0; y < _height; y++)
            for (int x = 0; x < _width; x++, i++)
                _drawn[i] = Math.Clamp(0.5 - outline.Distance(_left + x + 0.5, _top + y + 0.5), 0, 1);
        for (int pass = 0; pass < _passes; pass++)
        {
            Blur(_drawn, _scratch, _height, _width, _width, 1, at[4]);
            Blur(_scratch, _drawn, _width, _height, 1, _width, at[4]);
        }

        double sum = 0;
        for (int i = 0; i < _coverage.Length; i++)
            if (_counted[i])
                sum += (_coverage[i] - _drawn[i]) * (_coverage[i] - _drawn[i]);
        return sum / _norm;
    }

    /// <summary>Blurs each of so many lines of a length. Ends of the window, which lie on background, are taken over.</summary>
    private static void Blur(double[] from, double[] to, int lines, int length, int nextLine, int next, double k)
    {
        double own = 1 - (2 * k);
        for (int line = 0; line < lines; line++)
        {
            int first = line * nextLine, last = first + ((length - 1) * next);
            to[first] = from[first];
            to[last] = from[last];
            for (int i = first + next; i < last; i += next)
                to[i] = (own * from[i]) + (k * (from[i - next] + from[i + next]));
        }
    }
}
