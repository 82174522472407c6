using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class FrameCases
{
    public static IEnumerable<OperationCase> All() => [.. Grids(), .. Pixels(), .. Repetition(), .. Rotary(), .. Convolution()];

    private static IEnumerable<OperationCase> Grids()
    {
        (int, int, int, int, int)[] sizes = [(1, 2, 3, 5, 3), (2, 3, 1, 2, 4), (3, 1, 2, 2, 7), (2, 2, 4, 4, 16)];
        foreach ((int b, int side, int h, int w, int c) in sizes)
        {
            var grid = new Shape(b, side * h, side * w, c);
            var frames = new Shape(b * side * side, h, w, c);
            // Where each element of the frames is in the grid.
            int[] at = [.. from f in Enumerable.Range(0, b * side * side) from y in Enumerable.Range(0, h)
                from i in Enumerable.Range(0, w * c)
                select (f / side * h + y) * side * w * c + f % side * w * c + i];
            yield return OperationCase.Of("GridToFrames", $"{grid}, {side} a side", [Variable("x", grid)],
                t => Op.GridToFrames(t[0], side), t => [.. at.Select(i => t[0][i])]);
            yield return OperationCase.Of("FramesToGrid", $"{frames}, {side} a side", [Variable("x", frames)],
                t => Op.FramesToGrid(t[0], side), t => Placed(at, t[0]));
        }

        CaseInput image = Variable("x", new(4, 4, 6, 3));
        yield return OperationCase.Refused("GridToFrames", "a side that does not divide", [image],
            t => Op.GridToFrames(t[0], 4), "an image of 6x4 cannot be cut into 4x4 frames");
        yield return OperationCase.Refused("FramesToGrid", "too few frames", [image],
            t => Op.FramesToGrid(t[0], 3), "4 frames do not make grids of 3x3");
    }

    private static IEnumerable<OperationCase> Pixels()
    {
        foreach ((int b, int frames, int h, int w, int c) in new[] { (1, 4, 2, 3, 5), (2, 3, 1, 1, 32), (3, 1, 2, 2, 8) })
        {
            var images = new Shape(b * frames, h, w, c);
            var pixels = new Shape(b * h * w, frames, c);
            int[] at = [.. from n in Enumerable.Range(0, b) from p in Enumerable.Range(0, h * w)
                from f in Enumerable.Range(0, frames) from k in Enumerable.Range(0, c)
                select ((n * frames + f) * h * w + p) * c + k];
            yield return OperationCase.Of("FramesToPixels", $"{images}, {frames} frames", [Variable("x", images)],
                t => Op.FramesToPixels(t[0], frames), t => [.. at.Select(i => t[0][i])]);
            yield return OperationCase.Of("PixelsToFrames", $"{pixels}, {h}x{w}", [Variable("x", pixels)],
                t => Op.PixelsToFrames(t[0], h, w), t => Placed(at, t[0]));
        }

        yield return OperationCase.Refused("FramesToPixels", "frames that do not divide", [Variable("x", new(4, 2, 2, 3))],
            t => Op.FramesToPixels(t[0], 3), "4 images are not sequences of 3 frames");
        yield return OperationCase.Refused("PixelsToFrames", "other pixels", [Variable("x", new(4, 2, 3))],
            t => Op.PixelsToFrames(t[0], 3, 1), "the shape [4, 2, 3] is not [batch x 3x1, frames, channels]");
    }

    private static IEnumerable<OperationCase> Repetition()
    {
        (Shape, int)[] shapes = [(new(2, 3), 4), (new(1, 2, 5), 3), (new(3, 16), 2), (new(2, 7), 1)];
        foreach ((Shape shape, int count) in shapes)
            yield return OperationCase.Of("RepeatSamples", $"{shape}, {count} times", [Variable("x", shape)],
                t => Op.RepeatSamples(t[0], count),
                t => [.. t[0].Chunk(t[0].Length / shape[0]).SelectMany(s => Enumerable.Repeat(s, count)).SelectMany(s => s)]);
        yield return OperationCase.Refused("RepeatSamples", "no times", [Variable("x", new(2, 3))],
            t => Op.RepeatSamples(t[0], 0), "found 0 times, expected 1 or more");
    }

    private static IEnumerable<OperationCase> Rotary()
    {
        foreach ((int b, int length, int heads, int width) in new[] { (1, 1, 1, 2), (2, 5, 1, 32), (1, 16, 3, 6), (3, 4, 2, 32) })
            yield return OperationCase.Of("RotaryPositions", $"{b}x{length}, {heads} heads of {width}",
                [Variable("qkv", new(b, length, 3 * heads * width))], t => Op.RotaryPositions(t[0], heads),
                t => Turned(t[0], length, heads, width));
        yield return OperationCase.Refused("RotaryPositions", "heads of odd width", [Variable("qkv", new(1, 2, 9))],
            t => Op.RotaryPositions(t[0], 1), "heads of 3 channels, expected an even number");
        yield return OperationCase.Refused("RotaryPositions", "other heads", [Variable("qkv", new(1, 2, 12))],
            t => Op.RotaryPositions(t[0], 3), "channels divisible by 3 heads");
    }

    private static IEnumerable<OperationCase> Convolution()
    {
        (int B, int T, int H, int W, int I, int O, int Stride, bool Up)[] shapes =
        [
            (1, 1, 1, 1, 1, 1, 1, false), (2, 4, 2, 3, 3, 5, 1, false), (1, 4, 3, 1, 16, 32, 2, false),
            (2, 5, 1, 2, 7, 4, 2, false), (2, 1, 2, 2, 3, 3, 2, false), (1, 2, 2, 2, 16, 16, 1, true),
            (2, 3, 1, 3, 5, 2, 1, true), (1, 1, 1, 1, 32, 32, 1, true),
        ];
        foreach ((int b, int t, int h, int w, int i, int o, int stride, bool up) in shapes)
            yield return OperationCase.Of("ConvFrames",
                $"{t} frames of {w}x{h}, {i} to {o}, batch {b}{(stride == 2 ? ", stride 2" : "")}{(up ? ", doubled" : "")}",
                [Variable("x", new(b * t, h, w, i)), Matrix("w", new(o, 1, 3, i)), Vector("b", new(o))],
                v => Op.ConvFrames(v[0], t, v[1], v[2], stride, up),
                v => Convolved(v[0], v[1], v[2], b, t, h * w, i, o, stride, up ? 2 : 1));
        CaseInput x = Variable("x", new(4, 2, 2, 3)), weight = Matrix("w", new(5, 1, 3, 3));
        yield return OperationCase.Refused("ConvFrames", "frames that do not divide", [x, weight],
            v => Op.ConvFrames(v[0], 3, v[1]), "4 images are not sequences of 3 frames");
        yield return OperationCase.Refused("ConvFrames", "weight for other channels", [x, Matrix("w", new(5, 1, 3, 4))],
            v => Op.ConvFrames(v[0], 2, v[1]), "images of 3 channels do not fit a weight of shape [5, 1, 3, 4]");
        yield return OperationCase.Refused("ConvFrames", "stride 2 of doubled frames", [x, weight],
            v => Op.ConvFrames(v[0], 2, v[1], null, 2, true), "stride 2 with upsampling is not supported");
    }

    private static double[] Placed(int[] at, double[] x)
    {
        double[] y = new double[x.Length];
        for (int i = 0; i < at.Length; i++)
            y[at[i]] = x[i];
        return y;
    }

    private static double[] Turned(double[] qkv, int length, int heads, int width)
    {
        int channels = heads * width;
        double[] y = [.. qkv];
        for (int row = 0; row < qkv.Length / (3 * channels); row++)
            for (int j = 0; j < 2 * channels; j += 2)
            {
                // As a complex number: z · e^{iφ}.
                double phase = row % length * Math.Pow(10000, -(j % width) / (double)width);
                var z = new System.Numerics.Complex(qkv[row * 3 * channels + j], qkv[row * 3 * channels + j + 1])
                    * System.Numerics.Complex.FromPolarCoordinates(1, phase);
                (y[row * 3 * channels + j], y[row * 3 * channels + j + 1]) = (z.Real, z.Imaginary);
            }

        return y;
    }

    private static double[] Convolved(
        double[] x, double[] w, double[] bias, int batch, int frames, int pixels, int inputs, int outputs, int stride, int repeat)
    {
        int seen = frames * repeat, made = (seen - 1) / stride + 1;
        double[] y = new double[batch * made * pixels * outputs];
        for (int at = 0; at < y.Length; at++)
        {
            int o = at % outputs, p = at / outputs % pixels, t = at / outputs / pixels % made, b = at / outputs / pixels / made;
            y[at] = bias[o];
            for (int r = 0; r < 3; r++)
            {
                int from = t * stride + r - 1;
                for (int i = 0; i < inputs && from >= 0 && from < seen; i++)
                    y[at] += x[((b * frames + from / repeat) * pixels + p) * inputs + i] * w[(o * 3 + r) * inputs + i];
            }
        }

        return y;
    }
}
