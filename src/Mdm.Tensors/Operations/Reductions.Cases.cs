using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class ReductionCases
{
    public static IEnumerable<OperationCase> All() => [.. Sums(), .. MeanSquaredError(), .. MaskedMean(), .. AbsQuantile()];

    private static IEnumerable<OperationCase> Sums()
    {
        foreach (Shape shape in new Shape[] { new(1), new(3, 5, 7), new(1, 1, 1, 9), new(2, 1000), new(4, 1) })
        {
            CaseInput x = Variable("x", shape, -1, 2);
            yield return OperationCase.Of("Sum", $"{shape}", [x], t => Op.Sum(t[0]), t => [t[0].Sum()]);
            yield return OperationCase.Of("Mean", $"{shape}", [x], t => Op.Mean(t[0]), t => [t[0].Average()]);
            yield return OperationCase.Of("SumPerSample", $"{shape}", [x],
                t => Op.SumPerSample(t[0]), t => PerSample(shape[0], t[0], v => v.Sum()));
        }
    }

    private static IEnumerable<OperationCase> MeanSquaredError()
    {
        foreach (Shape shape in new Shape[] { new(1), new(3, 5, 7), new(2, 4, 4, 3), new(1, 777) })
        {
            yield return OperationCase.Of("MeanSquaredError", $"{shape}", [Variable("a", shape), Variable("b", shape)],
                t => Op.MeanSquaredError(t[0], t[1]),
                t => PerSample(shape[0], t[0].Zip(t[1], (a, b) => (a - b) * (a - b)).ToArray(), v => v.Average()));
        }

        CaseInput x = Variable("a", new(3, 21));
        yield return OperationCase.Of("MeanSquaredError", "of a tensor with itself", [x],
            t => Op.MeanSquaredError(t[0], t[0]), t => new double[3]);
        yield return OperationCase.Of("MeanSquaredError", "of a tensor with its half", [x],
            t => Op.MeanSquaredError(t[0], Op.Scale(t[0], 0.5f)), t => PerSample(3, t[0], v => v.Average(e => e * e / 4)));
        yield return OperationCase.Refused("MeanSquaredError", "different shapes", [x, Variable("b", new(3, 20))],
            t => Op.MeanSquaredError(t[0], t[1]), "mean squared error: the shapes [3, 21] and [3, 20] should be equal");
    }

    private static IEnumerable<OperationCase> MaskedMean()
    {
        (int Batch, int Tokens, int Channels, double[]? Mask, string What)[] shapes =
        [
            (1, 1, 1, null, "one token"), (3, 5, 7, null, "no mask"), (2, 19, 33, null, "no mask, odd width"),
            (2, 4, 6, [1, 0, 1, 1, 0, 1, 0, 0], "mask"), (1, 5, 17, [0, 0, 0, 1, 0], "all but one masked"),
            (2, 3, 4, [0, 0, 0, 1, 0, 1], "one sample all masked"), (1, 4, 3, [0.25, 1, 0, 0.5], "weights"),
        ];
        foreach ((int batch, int tokens, int channels, double[]? mask, string what) in shapes)
        {
            CaseInput x = Variable("x", new(batch, tokens, channels));
            yield return OperationCase.Of("MaskedMean", $"{what} [{batch}, {tokens}, {channels}]",
                mask == null ? [x] : [x, Mask("mask", new(batch, tokens), mask)],
                t => Op.MaskedMean(t[0], t.ElementAtOrDefault(1)),
                t => MaskedMeanReference(batch, tokens, channels, t[0], t.ElementAtOrDefault(1)));
        }

        CaseInput text = Variable("x", new(2, 3, 4));
        yield return OperationCase.Refused("MaskedMean", "not tokens", [Variable("x", new(2, 4))],
            t => Op.MaskedMean(t[0]), "the input has the shape [2, 4], expected [batch, tokens, channels]");
        yield return OperationCase.Refused("MaskedMean", "mask of another length", [text, Mask("mask", new(2, 4), 1)],
            t => Op.MaskedMean(t[0], t[1]), "the mask has the shape [2, 4], expected [2, 3]");
    }

    private static IEnumerable<OperationCase> AbsQuantile()
    {
        foreach (Shape shape in new Shape[] { new(2, 7), new(3, 1), new(1, 5, 5, 3), new(2, 2000), new(1, 10) })
            foreach (float p in new[] { 0, 0.5f, 0.95f, 0.995f, 1 })
                yield return OperationCase.Of("AbsQuantile", $"{p} of {shape}", [Constant("x", shape, -2, 1)],
                    t => Op.AbsQuantile(t[0], p), t => PerSample(shape[0], t[0], v => Quantile(v, p)));
        yield return OperationCase.Of("AbsQuantile", "all equal", [Values("x", new(1, 6), DType.Float32, -3, 3)],
            t => Op.AbsQuantile(t[0], 0.9f), t => [3]);
        yield return OperationCase.Refused("AbsQuantile", "p above 1", [Constant("x", new(1, 6))],
            t => Op.AbsQuantile(t[0], 1.5f), "p = 1.5, expected 0..1");
        yield return OperationCase.Refused("AbsQuantile", "p not a number", [Constant("x", new(1, 6))],
            t => Op.AbsQuantile(t[0], float.NaN), "p = NaN, expected 0..1");
        yield return OperationCase.Refused("AbsQuantile", "empty samples", [Constant("x", new(2, 0))],
            t => Op.AbsQuantile(t[0], 0.5f), "quantile: a sample of shape [2, 0] has no elements");
    }

    private static double Quantile(double[] x, float p)
    {
        double[] sorted = [.. x.Select(Math.Abs).Order()];
        double position = p * (double)(sorted.Length - 1);
        int below = (int)position, above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
    }

    private static double[] PerSample(int batch, double[] x, Func<double[], double> f) =>
        [.. x.Chunk(Math.Max(1, x.Length / batch)).Select(f)];

    private static double[] MaskedMeanReference(int batch, int tokens, int channels, double[] x, double[]? mask)
    {
        double[] y = new double[batch * channels];
        for (int b = 0; b < batch; b++)
        {
            double weight = 0;
            for (int n = 0; n < tokens; n++)
                weight += mask?[b * tokens + n] ?? 1;
            for (int n = 0; n < tokens && weight > 0; n++)
                for (int c = 0; c < channels; c++)
                    y[b * channels + c] += (mask?[b * tokens + n] ?? 1) * x[(b * tokens + n) * channels + c] / weight;
        }

        return y;
    }
}
