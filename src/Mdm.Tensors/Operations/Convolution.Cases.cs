using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class ConvolutionCases
{
    public static IEnumerable<OperationCase> All()
    {
        ConvShape[] shapes =
        [
            new(1, 1, 1, 1, 1), new(1, 1, 1, 3, 5), new(2, 5, 7, 3, 4), new(1, 4, 4, 17, 33), new(3, 2, 9, 16, 16),
            new(1, 8, 8, 32, 3),
            new(1, 3, 3, 40, 70), new(1, 9, 6, 64, 32),
            new(2, 5, 7, 3, 4, Stride: 2), new(1, 1, 1, 2, 3, Stride: 2), new(1, 6, 4, 18, 5, Stride: 2),
            new(2, 2, 1, 3, 3, Stride: 2),
            new(1, 1, 1, 2, 3, Upsample: true), new(2, 3, 5, 4, 3, Upsample: true), new(1, 4, 2, 19, 17, Upsample: true),
            new(2, 5, 6, 16, 24, Stride: 2), new(1, 3, 5, 24, 8, Upsample: true),
        ];
        foreach (ConvShape s in shapes)
        {
            string name = $"{s.Height}x{s.Width}, {s.InChannels} to {s.OutChannels}, batch {s.Batch}"
                + (s.Stride == 2 ? ", stride 2" : "") + (s.Upsample ? ", doubled" : "");
            CaseInput x = Variable("x", new(s.Batch, s.Height, s.Width, s.InChannels));
            CaseInput w = Matrix("w", new(s.OutChannels, 3, 3, s.InChannels)), b = Vector("b", new(s.OutChannels));
            CaseInput residual = Variable("residual", new(s.Batch, s.OutHeight, s.OutWidth, s.OutChannels));
            yield return OperationCase.Of("Conv3x3", name, [x, w, b],
                t => Op.Conv3x3(t[0], t[1], t[2], s.Stride, s.Upsample), t => Reference(s, t[0], t[1], t[2], null));
            yield return OperationCase.Of("Conv3x3", $"{name}, residual without bias", [x, w, residual],
                t => Op.Conv3x3(t[0], t[1], null, s.Stride, s.Upsample, t[2]), t => Reference(s, t[0], t[1], null, t[2]));
        }

        var same = new ConvShape(2, 3, 4, 5, 5);
        CaseInput image = Variable("x", new(2, 3, 4, 5)), weight = Matrix("w", new(5, 3, 3, 5));
        yield return OperationCase.Of("Conv3x3", "its own input as residual", [image, weight],
            t => Op.Conv3x3(t[0], t[1], residual: t[0]), t => Reference(same, t[0], t[1], null, t[0]));

        yield return OperationCase.Refused("Conv3x3", "weight for other channels", [image, Variable("w", new(5, 3, 3, 4))],
            t => Op.Conv3x3(t[0], t[1]),
            "an image of shape [2, 3, 4, 5] [batch, height, width, channels] does not fit a weight of shape [5, 3, 3, 4]");
        yield return OperationCase.Refused("Conv3x3", "5x5 weight", [image, Variable("w", new(5, 5, 5, 5))],
            t => Op.Conv3x3(t[0], t[1]), "does not fit a weight of shape [5, 5, 5, 5]");
        yield return OperationCase.Refused("Conv3x3", "not an image", [Variable("x", new(12, 5)), weight],
            t => Op.Conv3x3(t[0], t[1]), "an image of shape [12, 5]");
        yield return OperationCase.Refused("Conv3x3", "stride 3", [image, weight],
            t => Op.Conv3x3(t[0], t[1], stride: 3), "stride 3 is not supported, expected 1 or 2");
        yield return OperationCase.Refused("Conv3x3", "stride 2 of a doubled image", [image, weight],
            t => Op.Conv3x3(t[0], t[1], stride: 2, upsample: true), "stride 2 with upsampling is not supported");
        yield return OperationCase.Refused("Conv3x3", "bias of another width", [image, weight, Variable("b", new(4))],
            t => Op.Conv3x3(t[0], t[1], t[2]), "3x3 convolution: the bias has the shape [4], expected [5]");
        yield return OperationCase.Refused("Conv3x3", "residual of another shape", [image, weight],
            t => Op.Conv3x3(t[0], t[1], stride: 2, residual: t[0]), "the shapes [2, 2, 2, 5] and [2, 3, 4, 5] should be equal");
    }

    private static double[] Reference(ConvShape s, double[] x, double[] w, double[]? bias, double[]? residual)
    {
        double[] y = new double[s.Batch * s.OutHeight * s.OutWidth * s.OutChannels];
        int at = 0;
        for (int b = 0; b < s.Batch; b++)
            for (int p = 0; p < s.OutHeight; p++)
                for (int q = 0; q < s.OutWidth; q++)
                    for (int o = 0; o < s.OutChannels; o++, at++)
                        y[at] = (bias?[o] ?? 0) + (residual?[at] ?? 0) + Pixel(s, x, w, b, p, q, o);
        return y;
    }

    private static double Pixel(ConvShape s, double[] x, double[] w, int b, int p, int q, int o)
    {
        double sum = 0;
        int doubling = s.Upsample ? 2 : 1;
        for (int r = 0; r < 3; r++)
        {
            for (int c = 0; c < 3; c++)
            {
                int h = p * s.Stride + r - 1, v = q * s.Stride + c - 1;
                if (h < 0 || v < 0 || h >= s.InHeight || v >= s.InWidth)
                    continue;
                int from = ((b * s.Height + h / doubling) * s.Width + v / doubling) * s.InChannels;
                int weight = ((o * 3 + r) * 3 + c) * s.InChannels;
                for (int i = 0; i < s.InChannels; i++)
                    sum += x[from + i] * w[weight + i];
            }
        }

        return sum;
    }
}
