using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class FeedForwardCases
{
    public static IEnumerable<OperationCase> All()
    {
        (int Rows, int In, int Hidden, int Out)[] sizes = [(1, 1, 1, 1), (33, 17, 40, 19), (5, 16, 64, 16), (70, 8, 130, 3)];
        foreach ((int rows, int ins, int hidden, int outs) in sizes)
        {
            CaseInput x = Variable("x", new(rows, ins)), w = Matrix("w", new(hidden, ins)), v = Matrix("v", new(outs, hidden));
            CaseInput b = Vector("b", new(hidden)), d = Vector("d", new(outs));
            yield return OperationCase.Of("FeedForward", $"{rows} rows, {ins} to {hidden} to {outs}", [x, w, b, v, d],
                t => Op.FeedForward(t[0], t[1], t[2], t[3], t[4]),
                t => Reference(t[0], t[1], t[2], t[3], t[4], null, ins, hidden, outs));
        }

        CaseInput image = Variable("x", new(2, 3, 2, 6)), wide = Matrix("w", new(24, 6)), narrow = Matrix("v", new(6, 24));
        CaseInput first = Vector("b", new(24)), second = Vector("d", new(6));
        yield return OperationCase.Of("FeedForward", "its own input as residual", [image, wide, first, narrow, second],
            t => Op.FeedForward(t[0], t[1], t[2], t[3], t[4], t[0]),
            t => Reference(t[0], t[1], t[2], t[3], t[4], t[0], 6, 24, 6));
        yield return OperationCase.Of("FeedForward", "no bias", [image, wide, narrow],
            t => Op.FeedForward(t[0], t[1], null, t[2], null),
            t => Reference(t[0], t[1], null, t[2], null, null, 6, 24, 6));

        CaseInput otherWide = Matrix("w", new(24, 5)), otherNarrow = Matrix("v", new(6, 23));
        yield return OperationCase.Refused("FeedForward", "first weight of another width", [image, otherWide, narrow],
            t => Op.FeedForward(t[0], t[1], null, t[2], null),
            "an input of shape [2, 3, 2, 6] does not fit a first weight of shape [24, 5]");
        yield return OperationCase.Refused("FeedForward", "second weight of another width", [image, wide, otherNarrow],
            t => Op.FeedForward(t[0], t[1], null, t[2], null),
            "a first weight of shape [24, 6] does not fit a second one of shape [6, 23]");
        yield return OperationCase.Refused("FeedForward", "bias of another width", [image, wide, narrow, second],
            t => Op.FeedForward(t[0], t[1], t[3], t[2], null), "feed forward: the bias has the shape [6], expected [24]");
        yield return OperationCase.Refused("FeedForward", "residual of another shape", [image, wide, Matrix("v", new(5, 24))],
            t => Op.FeedForward(t[0], t[1], null, t[2], null, t[0]), "the shapes [2, 3, 2, 5] and [2, 3, 2, 6] should be equal");
    }

    private static double[] Reference(double[] x, double[] w, double[]? b, double[] v, double[]? d, double[]? residual, int ins,
        int hidden, int outs)
    {
        int rows = x.Length / ins;
        double[] y = new double[rows * outs], h = new double[hidden];
        for (int r = 0; r < rows; r++)
        {
            for (int j = 0; j < hidden; j++)
            {
                double z = b?[j] ?? 0;
                for (int i = 0; i < ins; i++)
                    z += x[r * ins + i] * w[j * ins + i];
                h[j] = 0.5 * z * (1 + UnaryCases.ErrorFunction(z / Math.Sqrt(2)));
            }

            for (int o = 0; o < outs; o++)
            {
                double sum = (d?[o] ?? 0) + (residual?[r * outs + o] ?? 0);
                for (int j = 0; j < hidden; j++)
                    sum += h[j] * v[o * hidden + j];
                y[r * outs + o] = sum;
            }
        }

        return y;
    }
}
