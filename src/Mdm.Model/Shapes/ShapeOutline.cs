namespace Mdm.Model.Shapes;

/// <summary>The edge of a shape whose box has the centre (X, Y) and the given width and height, in pixels.</summary>
internal readonly record struct ShapeOutline(ShapeKind Kind, double X, double Y, double Width, double Height)
{
    /// <summary>Share of its box that a shape of this kind covers.</summary>
    public static double BoxShare(ShapeKind kind) => kind switch
    {
        ShapeKind.Circle => Math.PI / 4,
        ShapeKind.Square => 1,
        _ => 0.5,
    };

    /// <summary>How far a point is outside the edge (pixels; negative inside). Beyond the corners of a polygon it is the
    /// distance to the nearer edge's line, and for an ellipse it is right to first order: both have the right sign.</summary>
    public double Distance(double px, double py)
    {
        double x = Math.Abs(px - X), y = py - Y, a = Width / 2, b = Height / 2;
        switch (Kind)
        {
            case ShapeKind.Circle:
                double u = x / a, v = y / b, radius = Math.Sqrt((u * u) + (v * v));
                double slope = Math.Sqrt((u * u / (a * a)) + (v * v / (b * b)));
                return slope > 1e-9 ? (radius - 1) * radius / slope : -Math.Min(a, b);
            case ShapeKind.Square:
                return Math.Max(x - a, Math.Abs(y) - b);
            case ShapeKind.Diamond:
                return ((b * x) + (a * Math.Abs(y)) - (a * b)) / Math.Sqrt((a * a) + (b * b));
            default:
                double side = ((Height * x) - (a * (y + b))) / Math.Sqrt((Height * Height) + (a * a));
                return Math.Max(side, y - b);
        }
    }
}
