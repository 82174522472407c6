using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class UnaryCases
{
    public static IEnumerable<OperationCase> All()
    {
        (string Name, Func<Tensor, Tensor> Run, Func<double, double> Reference)[] functions =
        [
            ("Silu", Op.Silu, x => x / (1 + Math.Exp(-x))),
            ("Gelu", Op.Gelu, x => 0.5 * x * (1 + ErrorFunction(x / Math.Sqrt(2)))),
            ("Tanh", Op.Tanh, Math.Tanh),
            ("GeluTanh", Op.GeluTanh, x => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))),
        ];
        foreach ((string name, Func<Tensor, Tensor> run, Func<double, double> reference) in functions)
        {
            OperationCase Case(string what, CaseInput x) =>
                OperationCase.Of(name, what, [x], t => run(t[0]), t => Array.ConvertAll(t[0], v => reference(v)));
            yield return Case("-1..1", Variable("x", new(7, 9)));
            yield return Case("-8..8", Variable("x", new(3, 5, 5, 67), -8, 8));
            yield return Case("tiny", Variable("x", new(19), -1e-3, 1e-3));
            yield return Case("one element", Variable("x", new(1), 0.5, 2));
            yield return Case("-200..200", Variable("x", new(33), -200, 200));
            yield return Case("saturated", Values("x", new(6), DType.Float32, -1e30, -1e4, -105, 105, 1e4, 1e6));
        }

        // No bfloat16 number comes near these bounds, where there is no derivative.
        foreach (int n in new[] { 1, 17, 700 })
            yield return OperationCase.Of("Clamp", $"{n} elements", [Variable("x", new(n), -3, 3)],
                t => Op.Clamp(t[0], -1.003f, 0.502f), t => Array.ConvertAll(t[0], v => Math.Clamp(v, -1.003, 0.502)));
        yield return OperationCase.Of("Clamp", "on the bounds", [Values("x", new(5), DType.Float32, -1, 0.5, 0, -2, 2)],
            t => Op.Clamp(t[0], -1, 0.5f), t => [-1, 0.5, 0, -1, 0.5]);
    }

    /// <summary>erf(x) = 2/√π·e^(-x²)·Σ 2^n x^(2n+1)/(1·3·…·(2n+1)): all terms have one sign, so nothing cancels.</summary>
    public static double ErrorFunction(double x)
    {
        if (Math.Abs(x) > 6)
            return Math.Sign(x);
        double term = x, sum = x;
        for (int n = 1; Math.Abs(term) > 1e-18 * Math.Abs(sum); n++)
        {
            term *= 2 * x * x / (2 * n + 1);
            sum += term;
        }

        return 2 / Math.Sqrt(Math.PI) * Math.Exp(-x * x) * sum;
    }
}
