using System.Globalization;
using Mdm.Model.Diffusion;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Presentation;

/// <summary>Draws ln(γ/(1-γ)) of every resolution over the times that a sampler visits.</summary>
public static class LogSnrPlot
{
    private const int Width = 480, Height = 300, Left = 40, Right = 12, Top = 22, Bottom = 26, Tick = 5;
    private const int Low = -20, High = 20;
    private const byte Paper = 255, Grid = 220, Ink = 40;

    private static readonly (byte Red, byte Green, byte Blue)[] s_colours =
        [(31, 78, 140), (200, 80, 30), (40, 140, 60), (150, 60, 150), (90, 90, 90)];

    /// <summary>A line for every resolution, the highest first, with a dot at every time; values beyond ±20 are at the edge.</summary>
    /// <param name="levels">Resolutions, highest first.</param>
    /// <param name="times">Falling; the last one, where there is no noise left, is not drawn if it is 0.</param>
    public static Image Draw(IReadOnlyList<DiffusionLevel> levels, IReadOnlyList<int> times)
    {
        var image = new Image(Width, Height);
        image.Rgb.AsSpan().Fill(Paper);
        int steps = Math.Max(1, times.Count - 1);
        for (int value = Low; value <= High; value += Tick)
        {
            int y = Row(value);
            for (int x = Left; x < Width - Right; x++)
                Set(image, x, y, (Grid, Grid, Grid));
            string number = value.ToString(CultureInfo.InvariantCulture);
            PixelFont.Draw(image, Left - 4 - number.Length * PixelFont.Advance, y - PixelFont.Height / 2, number, Ink);
        }

        PixelFont.Draw(image, Left, 6, "log SNR", Ink);
        PixelFont.Draw(image, Left, Height - Bottom + 8, $"t {times[0]}", Ink);
        string last = $"t {times[^1]}, {steps} steps";
        PixelFont.Draw(image, Width - Right - last.Length * PixelFont.Advance, Height - Bottom + 8, last, Ink);
        for (int k = 0; k < levels.Count; k++)
            DrawLevel(image, levels[k].Schedule, times, s_colours[k % s_colours.Length]);
        return image;
    }

    private static void DrawLevel(Image image, NoiseSchedule schedule, IReadOnlyList<int> times, (byte, byte, byte) colour)
    {
        (int X, int Y)? before = null;
        for (int i = 0; i < times.Count && times[i] > 0; i++)
        {
            (int X, int Y) point = (Left + (Width - Left - Right - 1) * i / Math.Max(1, times.Count - 1),
                Row(schedule.LogSnr(times[i])));
            (int X, int Y) from = before ?? point;
            int length = Math.Max(1, Math.Max(Math.Abs(point.X - from.X), Math.Abs(point.Y - from.Y)));
            for (int j = 0; j <= length; j++)
                Set(image, from.X + (point.X - from.X) * j / length, from.Y + (point.Y - from.Y) * j / length, colour);
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++)
                    Set(image, point.X + dx, point.Y + dy, colour);
            before = point;
        }
    }

    private static int Row(double value) =>
        (int)Math.Round(Top + (High - Math.Clamp(value, Low, High)) / (High - Low) * (Height - Top - Bottom));

    private static void Set(Image image, int x, int y, (byte Red, byte Green, byte Blue) colour)
    {
        if (x < 0 || y < 0 || x >= image.Width || y >= image.Height)
            return;
        Span<byte> pixel = image.Rgb.AsSpan(3 * (y * image.Width + x), 3);
        (pixel[0], pixel[1], pixel[2]) = colour;
    }
}
