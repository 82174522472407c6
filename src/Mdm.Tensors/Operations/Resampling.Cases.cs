using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class ResamplingCases
{
    public static IEnumerable<OperationCase> All() => [.. Upsample(), .. Pool(), .. Resize()];

    private static IEnumerable<OperationCase> Upsample()
    {
        foreach (Shape shape in new Shape[] { new(1, 1, 1, 1), new(2, 3, 5, 7), new(1, 4, 2, 33), new(3, 1, 6, 2) })
            yield return OperationCase.Of("UpsampleNearest", $"{shape}", [Variable("x", shape)], t => Op.UpsampleNearest(t[0]),
                t => Image(shape, 2 * shape[1], 2 * shape[2], (b, h, w, c) => t[0][At(shape, b, h / 2, w / 2, c)]));
        yield return OperationCase.Refused("UpsampleNearest", "not an image", [Variable("x", new(4, 4, 3))],
            t => Op.UpsampleNearest(t[0]),
            "upsampling: the input has the shape [4, 4, 3], expected [batch, height, width, channels]");
    }

    private static IEnumerable<OperationCase> Pool()
    {
        (Shape, int)[] blocks =
            [(new(1, 2, 2, 1), 2), (new(2, 6, 4, 5), 2), (new(1, 8, 4, 33), 4), (new(2, 3, 3, 2), 3), (new(2, 3, 5, 3), 1)];
        foreach ((Shape shape, int f) in blocks)
            yield return OperationCase.Of("AveragePool", $"{f}x{f} of {shape}", [Variable("x", shape)],
                t => Op.AveragePool(t[0], f),
                t => Image(shape, shape[1] / f, shape[2] / f, (b, h, w, c) => Enumerable.Range(0, f * f)
                    .Average(i => t[0][At(shape, b, h * f + i / f, w * f + i % f, c)])));
        CaseInput odd = Variable("x", new(1, 5, 4, 3));
        yield return OperationCase.Refused("AveragePool", "height not divisible", [odd],
            t => Op.AveragePool(t[0], 2), "an image of 4x5 cannot be divided into blocks of 2x2");
        yield return OperationCase.Refused("AveragePool", "factor 0", [odd],
            t => Op.AveragePool(t[0], 0), "an image of 4x5 cannot be divided into blocks of 0x0");
        yield return OperationCase.Refused("AveragePool", "not an image", [Variable("x", new(4, 4))],
            t => Op.AveragePool(t[0], 2), "expected [batch, height, width, channels]");
    }

    private static IEnumerable<OperationCase> Resize()
    {
        (Shape Shape, int Height, int Width)[] sizes =
        [
            (new(1, 1, 1, 2), 3, 2), (new(2, 4, 4, 3), 8, 8), (new(1, 5, 7, 3), 11, 4), (new(1, 8, 6, 5), 3, 3),
            (new(2, 3, 3, 17), 3, 3),
            (new(1, 2, 9, 1), 1, 1),
        ];
        foreach ((Shape shape, int height, int width) in sizes)
        {
            CaseInput x = Constant("x", shape);
            yield return OperationCase.Of("Resize", $"bilinear {shape} to {height}x{width}", [x],
                t => Op.Resize(t[0], height, width),
                t => Image(shape, height, width, (b, h, w, c) => Filtered(shape, t[0], b, h, w, c, height, width, Triangle)));
            yield return OperationCase.Of("Resize", $"bicubic {shape} to {height}x{width}", [x],
                t => Op.Resize(t[0], height, width, ResizeFilter.Bicubic),
                t => Image(shape, height, width, (b, h, w, c) => Filtered(shape, t[0], b, h, w, c, height, width, Cubic)));
        }

        yield return OperationCase.Refused("Resize", "to nothing", [Constant("x", new(1, 4, 4, 3))],
            t => Op.Resize(t[0], 0, 4), "resizing: an image of 4x4 to 4x0");
        yield return OperationCase.Refused("Resize", "not an image", [Constant("x", new(4, 4))],
            t => Op.Resize(t[0], 2, 2), "resizing: the input has the shape [4, 4]");
    }

    private static double[] Image(Shape source, int height, int width, Func<int, int, int, int, double> pixel) =>
        [.. from b in Enumerable.Range(0, source[0])
            from h in Enumerable.Range(0, height)
            from w in Enumerable.Range(0, width)
            from c in Enumerable.Range(0, source[3])
            select pixel(b, h, w, c)];

    private static int At(Shape s, int b, int h, int w, int c) => ((b * s[1] + h) * s[2] + w) * s[3] + c;

    // A sum over the 4 pixels around the sampled point, weighted by their distance, with indices clamped to the image.
    private static double Filtered(Shape s, double[] x, int b, int h, int w, int c, int height, int width,
        Func<double, double> filter)
    {
        double v = (h + 0.5) * s[1] / height - 0.5, u = (w + 0.5) * s[2] / width - 0.5, sum = 0;
        for (int i = (int)Math.Floor(v) - 1; i <= Math.Floor(v) + 2; i++)
            for (int j = (int)Math.Floor(u) - 1; j <= Math.Floor(u) + 2; j++)
                sum += filter(v - i) * filter(u - j) * x[At(s, b, Math.Clamp(i, 0, s[1] - 1), Math.Clamp(j, 0, s[2] - 1), c)];
        return sum;
    }

    private static double Triangle(double d) => Math.Max(0, 1 - Math.Abs(d));

    /// <summary>Keys' cubic with a = -0.75.</summary>
    private static double Cubic(double d)
    {
        const double a = -0.75;
        d = Math.Abs(d);
        return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? a * (((d - 5) * d + 8) * d - 4) : 0;
    }
}
