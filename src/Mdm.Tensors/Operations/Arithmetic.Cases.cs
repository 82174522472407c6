using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class ArithmeticCases
{
    public static IEnumerable<OperationCase> All()
    {
        foreach (Shape shape in new Shape[] { new(2, 3, 5), new(1), new(1, 1, 1, 67), new(3, 7, 5, 33) })
        {
            CaseInput a = Variable("a", shape), b = Variable("b", shape);
            yield return OperationCase.Of("Add", $"{shape}", [a, b], x => Op.Add(x[0], x[1]), x => Zip(x, (p, q) => p + q));
            yield return OperationCase.Of("Subtract", $"{shape}", [a, b], x => Op.Subtract(x[0], x[1]),
                x => Zip(x, (p, q) => p - q));
            yield return OperationCase.Of("Multiply", $"{shape}", [a, b], x => Op.Multiply(x[0], x[1]),
                x => Zip(x, (p, q) => p * q));
            yield return OperationCase.Of("Scale", $"{shape}", [a], x => Op.Scale(x[0], -2.5f), x => Map(x[0], p => -2.5 * p));
            yield return OperationCase.Of("Combine", $"{shape}", [a, b],
                x => Op.Combine(0.75f, x[0], -3, x[1]), x => Zip(x, (p, q) => 0.75 * p - 3 * q));
        }

        CaseInput one = Variable("a", new(4, 9)), other = Variable("b", new(4, 9));
        yield return OperationCase.Of("Add", "a tensor to itself", [one], x => Op.Add(x[0], x[0]), x => Map(x[0], p => 2 * p));
        yield return OperationCase.Of("Subtract", "a tensor from itself", [one], x => Op.Subtract(x[0], x[0]),
            x => Map(x[0], _ => 0));
        yield return OperationCase.Of("Multiply", "a square", [one], x => Op.Multiply(x[0], x[0]), x => Map(x[0], p => p * p));
        yield return OperationCase.Of("Add", "one input through two paths", [one, other],
            x => Op.Add(Op.Multiply(x[0], x[1]), Op.Add(x[0], Op.Scale(x[0], 3))), x => Zip(x, (p, q) => p * q + 4 * p));
        yield return OperationCase.Refused("Add", "different shapes", [one, Variable("b", new(9, 4))],
            x => Op.Add(x[0], x[1]), "the shapes [4, 9] and [9, 4] should be equal");
        yield return OperationCase.Refused("Multiply", "different shapes", [one, Variable("b", new(4, 8))],
            x => Op.Multiply(x[0], x[1]), "Multiply: the shapes [4, 9] and [4, 8] should be equal");
        yield return OperationCase.Refused("Add", "different types", [one, Values("b", new(4, 9), DType.BFloat16, 1)],
            x => Op.Add(x[0], x[1]), "the types of Float32[4, 9] on ");

        foreach (OperationCase test in PerSample())
            yield return test;
    }

    private static IEnumerable<OperationCase> PerSample()
    {
        foreach (Shape shape in new Shape[] { new(3, 5, 7), new(1, 1), new(2, 4, 4, 3) })
        {
            int batch = shape[0];
            int inner = (int)(shape.Count / batch);
            CaseInput a = Coefficients("a", new(batch)), b = Coefficients("b", new(batch));
            CaseInput x = Variable("x", shape), z = Variable("z", shape);
            yield return OperationCase.Of("PerSample", $"a x + b z, {shape}", [a, x, b, z],
                t => Op.PerSample(t[0], t[1], t[2], t[3]),
                t => Indexed(t[1], i => t[0][i / inner] * t[1][i] + t[2][i / inner] * t[3][i]));
            yield return OperationCase.Of("PerSample", $"a x, {shape}", [a, x],
                t => Op.PerSample(t[0], t[1]), t => Indexed(t[1], i => t[0][i / inner] * t[1][i]));
            yield return OperationCase.Of("PerSample", $"a x + b x, {shape}", [a, x, b],
                t => Op.PerSample(t[0], t[1], t[2], t[1]),
                t => Indexed(t[1], i => (t[0][i / inner] + t[2][i / inner]) * t[1][i]));
            yield return OperationCase.Of("ClampToUnit", $"{shape}",
                [Constant("x", shape, -3, 3), Coefficients("limit", new(batch), 0.5, 2)],
                t => Op.ClampToUnit(t[0], t[1]),
                t => Indexed(t[0], i => Math.Clamp(t[0][i], -t[1][i / inner], t[1][i / inner]) / t[1][i / inner]));
        }

        CaseInput two = Constant("a", new(2)), image = Variable("x", new(3, 5));
        yield return OperationCase.Refused("PerSample", "coefficients of another batch", [two, image],
            t => Op.PerSample(t[0], t[1]), "per-sample coefficients have the shape [2], expected [3]");
        yield return OperationCase.Refused("PerSample", "a second coefficient without its tensor", [Constant("a", new(3)), image],
            t => Op.PerSample(t[0], t[1], b: t[0]), "should be given together");
        yield return OperationCase.Refused("PerSample", "a second tensor without its coefficient", [Constant("a", new(3)), image],
            t => Op.PerSample(t[0], t[1], z: t[1]), "should be given together");
        yield return OperationCase.Refused("PerSample", "different shapes",
            [Constant("a", new(3)), image, Variable("z", new(3, 4))],
            t => Op.PerSample(t[0], t[1], t[0], t[2]), "the shapes [3, 5] and [3, 4] should be equal");
        yield return OperationCase.Refused("PerSample", "coefficients in bfloat16",
            [Values("a", new(3), DType.BFloat16, 1), image],
            t => Op.PerSample(t[0], t[1]), "the coefficient is BFloat16[3] on ");
        yield return OperationCase.Refused("ClampToUnit", "limits of another batch", [image, two],
            t => Op.ClampToUnit(t[0], t[1]), "per-sample coefficients have the shape [2], expected [3]");
    }

    private static double[] Map(double[] x, Func<double, double> f) => Array.ConvertAll(x, v => f(v));

    private static double[] Zip(double[][] x, Func<double, double, double> f) => x[0].Zip(x[1], f).ToArray();

    private static double[] Indexed(double[] like, Func<int, double> f) => Enumerable.Range(0, like.Length).Select(f).ToArray();
}
