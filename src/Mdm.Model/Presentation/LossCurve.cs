using System.Globalization;
using System.Text;

namespace Mdm.Model.Presentation;

/// <summary>Draws a loss over steps as an SVG picture.</summary>
public static class LossCurve
{
    private const int Width = 720;
    private const int Height = 360;
    private const int Left = 70;
    private const int Bottom = 40;
    private const int Top = 20;
    private const int Right = 20;

    /// <summary>A logarithmic vertical axis; points that are not positive numbers are left out.</summary>
    /// <param name="points">Step and loss, in order.</param>
    public static string Svg(IReadOnlyList<(long Step, double Loss)> points)
    {
        (long Step, double Loss)[] drawn = points.Where(p => double.IsFinite(p.Loss) && p.Loss > 0).ToArray();
        var svg = new StringBuilder();
        svg.Append(Invariant($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n"));
        svg.Append(Invariant($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>\n"));
        if (drawn.Length == 0)
            return svg.Append("<text x=\"20\" y=\"40\">no steps yet</text>\n</svg>\n").ToString();

        long first = drawn[0].Step, last = Math.Max(first + 1, drawn[^1].Step);
        double low = Math.Log10(drawn.Min(p => p.Loss)), high = Math.Log10(drawn.Max(p => p.Loss));
        if (high - low < 0.1)
            (low, high) = (low - 0.05, high + 0.05);
        double X(double step) => Left + (step - first) / (last - first) * (Width - Left - Right);
        double Y(double log) => Top + (high - log) / (high - low) * (Height - Top - Bottom);

        const int ticks = 5;
        for (int i = 0; i <= ticks; i++)
        {
            double log = low + (high - low) * i / ticks, step = first + (last - first) * (double)i / ticks;
            svg.Append(Invariant($"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(log):F1}\" y2=\"{Y(log):F1}\" stroke=\"#ddd\"/>"));
            svg.Append(Invariant($"<text x=\"{Left - 6}\" y=\"{Y(log) + 4:F1}\" text-anchor=\"end\">{Math.Pow(10, log):G3}</text>"));
            svg.Append(Invariant($"<text x=\"{X(step):F1}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{step:F0}</text>\n"));
        }

        Line(drawn, "#9ab8d8", 1);
        Line(Smoothed(drawn), "#1f4e8c", 2);
        svg.Append(Invariant($"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 6}\" text-anchor=\"middle\">step (loss: light, its running mean: dark)</text>\n"));
        return svg.Append("</svg>\n").ToString();

        void Line(IEnumerable<(long Step, double Loss)> line, string colour, int width)
        {
            string places = string.Join(' ', line.Select(p => Invariant($"{X(p.Step):F1},{Y(Math.Log10(p.Loss)):F1}")));
            svg.Append($"<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" points=\"{places}\"/>\n");
        }
    }

    private static IEnumerable<(long Step, double Loss)> Smoothed((long Step, double Loss)[] points)
    {
        double weight = 2.0 / (1 + Math.Clamp(points.Length / 15.0, 1, 100)), mean = points[0].Loss;
        foreach ((long step, double loss) in points)
            yield return (step, mean += weight * (loss - mean));
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
