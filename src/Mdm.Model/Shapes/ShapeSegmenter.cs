namespace Mdm.Model.Shapes;

/// <summary>Finds the connected patches of one colour. A pixel at an edge is background + a (colour - background), so the
/// direction in which a pixel differs from the background tells its colour whatever the blur, and the length tells a:
/// a pixel belongs to a shape where a is above one half.</summary>
internal sealed class ShapeSegmenter
{
    /// <summary>Smaller patches (share of the image) are marks, not shapes; the smallest shape drawn covers 0.024.</summary>
    private const double LeastArea = 0.007;

    private const int None = -1;

    private readonly PixelField _field;
    private readonly int[] _labels;
    private readonly int[] _owners;

    public ShapeSegmenter(PixelField field)
    {
        _field = field;
        _labels = new int[field.Width * field.Height];
        _owners = new int[_labels.Length];
        Label();
        Patches = Connect();
    }

    /// <summary>The pixels of each patch large enough for a shape, the largest first.</summary>
    public IReadOnlyList<int[]> Patches { get; }

    /// <summary>The number of the patch that a pixel belongs to, or -1.</summary>
    public int Owner(int pixel) => _owners[pixel];

    /// <summary>Whether a pixel or one of its eight neighbours belongs to the patch (or, with <paramref name="other"/>, to
    /// any patch but it).</summary>
    public bool Touches(int pixel, int patch, bool other)
    {
        int x = pixel % _field.Width, y = pixel / _field.Width;
        for (int v = Math.Max(0, y - 1); v <= Math.Min(_field.Height - 1, y + 1); v++)
            for (int u = Math.Max(0, x - 1); u <= Math.Min(_field.Width - 1, x + 1); u++)
            {
                int owner = _owners[(v * _field.Width) + u];
                if (other ? owner != None && owner != patch : owner == patch)
                    return true;
            }

        return false;
    }

    private void Label()
    {
        Rgb[] palette = Enum.GetValues<ShapeColour>().Select(ShapeWorld.Fill).ToArray();
        double[] lengths = palette.Select(colour => ShapeWorld.Distance(_field.R, _field.G, _field.B, colour)).ToArray();
        for (int pixel = 0; pixel < _labels.Length; pixel++)
        {
            _labels[pixel] = None;
            (double r, double g, double b) = _field.Difference(pixel);
            double length = Math.Sqrt((r * r) + (g * g) + (b * b));
            if (length < PixelField.Contrast)
                continue;
            double best = 0;
            for (int i = 0; i < palette.Length; i++)
            {
                if (lengths[i] < 2 * PixelField.Contrast)
                    continue;
                double dot = (r * (palette[i].R - _field.R)) + (g * (palette[i].G - _field.G)) + (b * (palette[i].B - _field.B));
                double cosine = dot / (length * lengths[i]);
                if (cosine <= best)
                    continue;
                best = cosine;
                _labels[pixel] = dot > 0.5 * lengths[i] * lengths[i] ? i : None;
            }
        }
    }

    private List<int[]> Connect()
    {
        Array.Fill(_owners, None);
        var patches = new List<int[]>();
        var seen = new bool[_labels.Length];
        for (int start = 0; start < _labels.Length; start++)
        {
            if (_labels[start] == None || seen[start])
                continue;
            int[] patch = Grow(start, seen);
            if (patch.Length >= LeastArea * _field.Side * _field.Side)
                patches.Add(patch);
        }

        patches.Sort((a, b) => b.Length.CompareTo(a.Length));
        for (int i = 0; i < patches.Count; i++)
            foreach (int pixel in patches[i])
                _owners[pixel] = i;
        return patches;
    }

    private int[] Grow(int start, bool[] seen)
    {
        var patch = new List<int> { start };
        seen[start] = true;
        for (int i = 0; i < patch.Count; i++)
        {
            int x = patch[i] % _field.Width;
            Visit(patch[i] - 1, x > 0);
            Visit(patch[i] + 1, x < _field.Width - 1);
            Visit(patch[i] - _field.Width, patch[i] >= _field.Width);
            Visit(patch[i] + _field.Width, patch[i] < _labels.Length - _field.Width);
        }

        return [.. patch];

        void Visit(int pixel, bool inside)
        {
            if (!inside || seen[pixel] || _labels[pixel] != _labels[start])
                return;
            seen[pixel] = true;
            patch.Add(pixel);
        }
    }
}
