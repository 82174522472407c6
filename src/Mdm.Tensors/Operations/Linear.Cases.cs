using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class LinearCases
{
    public static IEnumerable<OperationCase> All()
    {
        (int Rows, int In, int Out)[] sizes = [(1, 1, 1), (1, 7, 5), (33, 17, 19), (5, 64, 48), (70, 100, 3), (2, 3, 130)];
        foreach ((int rows, int ins, int outs) in sizes)
        {
            CaseInput x = Variable("x", new(rows, ins)), w = Matrix("w", new(outs, ins)), b = Vector("b", new(outs));
            yield return OperationCase.Of("Linear", $"{rows} rows, {ins} to {outs}", [x, w, b],
                t => Op.Linear(t[0], t[1], t[2]), t => Reference(t[0], t[1], t[2], null, ins, outs));
        }

        CaseInput image = Variable("x", new(2, 3, 5, 6)), weight = Matrix("w", new(7, 6)), bias = Vector("b", new(7));
        CaseInput residual = Variable("residual", new(2, 3, 5, 7));
        yield return OperationCase.Of("Linear", "no bias", [image, weight],
            t => Op.Linear(t[0], t[1]), t => Reference(t[0], t[1], null, null, 6, 7));
        yield return OperationCase.Of("Linear", "bias and residual, a 1x1 convolution", [image, weight, bias, residual],
            t => Op.Linear(t[0], t[1], t[2], t[3]), t => Reference(t[0], t[1], t[2], t[3], 6, 7));
        yield return OperationCase.Of("Linear", "residual without bias", [image, weight, residual],
            t => Op.Linear(t[0], t[1], null, t[2]), t => Reference(t[0], t[1], null, t[2], 6, 7));
        CaseInput square = Matrix("w", new(6, 6)), both = Variable("w", new(6, 6));
        yield return OperationCase.Of("Linear", "its own input as residual", [image, square],
            t => Op.Linear(t[0], t[1], null, t[0]), t => Reference(t[0], t[1], null, t[0], 6, 6));
        yield return OperationCase.Of("Linear", "a matrix times itself", [both],
            t => Op.Linear(t[0], t[0]), t => Reference(t[0], t[0], null, null, 6, 6));

        yield return OperationCase.Refused("Linear", "weight of another width", [image, Variable("w", new(7, 5))],
            t => Op.Linear(t[0], t[1]), "an input of shape [2, 3, 5, 6] does not fit a weight of shape [7, 5]");
        yield return OperationCase.Refused("Linear", "bias of another width", [image, weight, Variable("b", new(6))],
            t => Op.Linear(t[0], t[1], t[2]), "linear: the bias has the shape [6], expected [7]");
        yield return OperationCase.Refused("Linear", "a bfloat16 bias", [image, weight, Values("b", new(7), DType.BFloat16, 1)],
            t => Op.Linear(t[0], t[1], t[2]), "linear: the bias is BFloat16[7] on ");
        yield return OperationCase.Refused("Linear", "activations of a type that the weight does not have",
            [Values("x", new(2, 6), DType.BFloat16, 1), weight],
            t => Op.Linear(t[0], t[1]), "is multiplied with activations of type BFloat16, but has no copy of that type");
        yield return OperationCase.Refused("Linear", "a residual of another type",
            [image, weight, Values("residual", new(2, 3, 5, 7), DType.BFloat16, 1)],
            t => Op.Linear(t[0], t[1], null, t[2]), "linear with residual: the types of Float32[2, 3, 5, 7] on ");
        yield return OperationCase.Refused("Linear", "residual of another shape", [image, weight, image],
            t => Op.Linear(t[0], t[1], null, t[2]), "the shapes [2, 3, 5, 7] and [2, 3, 5, 6] should be equal");
        foreach (OperationCase test in Joined())
            yield return test;
    }

    private static IEnumerable<OperationCase> Joined()
    {
        (int Rows, int First, int Second, int Out)[] sizes = [(1, 1, 1, 1), (33, 17, 6, 19), (5, 64, 32, 48), (2, 3, 130, 7)];
        foreach ((int rows, int first, int second, int outs) in sizes)
        {
            CaseInput x = Variable("x", new(rows, first)), skip = Variable("skip", new(rows, second));
            CaseInput w = Matrix("w", new(outs, first + second)), b = Vector("b", new(outs));
            yield return OperationCase.Of("LinearJoined", $"{rows} rows, {first} and {second} to {outs}", [x, skip, w, b],
                t => Op.LinearJoined(t[0], t[1], t[2], t[3]), t => Reference(
                    NormalizationCases.Join(t[0], t[1], first, second), t[2], t[3], null, first + second, outs));
        }

        CaseInput image = Variable("x", new(2, 3, 5, 6)), other = Variable("skip", new(2, 3, 5, 2));
        yield return OperationCase.Of("LinearJoined", "no bias, images", [image, other, Matrix("w", new(7, 8))],
            t => Op.LinearJoined(t[0], t[1], t[2]),
            t => Reference(NormalizationCases.Join(t[0], t[1], 6, 2), t[2], null, null, 8, 7));
        yield return OperationCase.Refused("LinearJoined", "weight of another width", [image, other, Variable("w", new(7, 6))],
            t => Op.LinearJoined(t[0], t[1], t[2]),
            "inputs of shapes [2, 3, 5, 6] and [2, 3, 5, 2] do not fit a weight of shape [7, 6]");
        yield return OperationCase.Refused("LinearJoined", "skip of another size", [image, image, Variable("w", new(7, 12))],
            t => Op.LinearJoined(t[0], Op.BatchSlice(t[1], 0, 1), t[2]),
            "linear: the shapes [2, 3, 5, 6] and [1, 3, 5, 6] of what is joined should differ in the last size only");
    }

    private static double[] Reference(double[] x, double[] w, double[]? b, double[]? residual, int ins, int outs)
    {
        int rows = x.Length / ins;
        double[] y = new double[rows * outs];
        for (int r = 0; r < rows; r++)
        {
            for (int o = 0; o < outs; o++)
            {
                double sum = (b?[o] ?? 0) + (residual?[r * outs + o] ?? 0);
                for (int i = 0; i < ins; i++)
                    sum += x[r * ins + i] * w[o * ins + i];
                y[r * outs + o] = sum;
            }
        }

        return y;
    }
}
