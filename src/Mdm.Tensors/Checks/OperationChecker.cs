using Mdm.Kernels;

namespace Mdm.Tensors.Checks;

/// <summary>
/// Runs a case of the operation table on a device. Beside the result and the gradients it checks what every operation
/// promises: equal bits in a second run, gradients that are added to those already there, the same gradient when only one
/// input wants one, and operands left as they were.
/// </summary>
public static class OperationChecker
{
    /// <summary>What is known of errors in a type.</summary>
    /// <param name="Gathered">Largest relative difference of a gradient added to an earlier one from twice the gradient.</param>
    /// <param name="Negligible">Share of the result's gradient that rounding may leave of a gradient that is 0.</param>
    private sealed record Exactness(double Forward, double Backward, double Gathered, double Negligible)
    {
        public static Exactness Of(OperationCase test, DType type) => type == DType.Float32
            ? new(test.ForwardTolerance, test.BackwardTolerance, 1e-6, 1e-3)
            : new(Math.Max(test.ForwardTolerance, test.BFloat16Tolerance), Math.Max(test.BackwardTolerance, test.BFloat16Tolerance),
                1e-2, 0.1);
    }

    /// <summary>Checks one case. Numbers are drawn from the case's name, so every device sees the same.</summary>
    /// <param name="test">Which.</param>
    /// <param name="device">Where to compute.</param>
    /// <param name="type">Of the activations: the reference is computed from numbers rounded to it.</param>
    public static CaseResult Check(OperationCase test, IDevice device, DType type = DType.Float32)
    {
        var random = new Random(Seed(test.ToString()));
        double[][] values = Array.ConvertAll(test.Inputs, input => input.Draw(random, type));
        using Scope scope = Scope.Enter();
        Tensor[] inputs = test.Inputs.Select((input, i) => input.Place(device, values[i], type)).ToArray();
        if (test.Reference == null)
            return new CaseResult(double.NaN, double.NaN, FaultOfRefusal(test, inputs));

        double[] expected = test.Reference(values);
        Tensor y = test.Run(inputs);
        double[] found = CaseInput.Read(y);
        if (found.Length != expected.Length)
            return new CaseResult(double.NaN, double.NaN,
                $"the result {y} has {found.Length} elements, expected {expected.Length}");
        double forward = RelativeError(found, expected);
        Exactness allowed = Exactness.Of(test, type);
        string? fault = forward <= allowed.Forward
            ? null
            : $"forward error {forward:0.0e+0} is above {allowed.Forward:0.0e+0}";
        if (!found.AsSpan().SequenceEqual(CaseInput.Read(test.Run(inputs))) && !found.Any(double.IsNaN))
            fault ??= "a second run gives other bits";

        double backward = double.NaN;
        if (test.Inputs.Any(input => input.IsDifferentiable))
        {
            double[] cotangent = DrawCotangent(expected.Length, random, y.Type);
            double[]?[] gradients = Backward(test, inputs, cotangent, y, _ => true, passes: 1);
            backward = CentralDifferences.LargestError(
                test, values, cotangent, gradients, allowed.Negligible, random, out string worst);
            if (!(backward <= allowed.Backward))
                fault ??= $"gradient of {worst}: error {backward:0.0e+0} is above {allowed.Backward:0.0e+0}";
            fault ??= FaultOfGathering(test, inputs, cotangent, y, gradients, allowed.Gathered);
        }

        for (int i = 0; i < inputs.Length; i++)
            if (!CaseInput.Read(inputs[i]).AsSpan().SequenceEqual(values[i]))
                fault ??= $"the operand {test.Inputs[i].Name} was changed";
        return new CaseResult(forward, backward, fault);
    }

    /// <summary>‖found - expected‖ / ‖expected‖; infinite where one has a NaN; the plain difference where all expected
    /// numbers are 0.</summary>
    public static double RelativeError(ReadOnlySpan<double> found, ReadOnlySpan<double> expected)
    {
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += (found[i] - expected[i]) * (found[i] - expected[i]);
            norm += expected[i] * expected[i];
        }

        double error = Math.Sqrt(difference) / (norm > 0 ? Math.Sqrt(norm) : 1);
        return double.IsNaN(error) ? double.PositiveInfinity : error;
    }

    private static string? FaultOfRefusal(OperationCase test, Tensor[] inputs)
    {
        try
        {
            test.Run(inputs);
        }
        catch (ArgumentException e)
        {
            return e.Message.Contains(test.Error!) ? null : $"refused with \"{e.Message}\", expected \"{test.Error}\"";
        }

        return $"accepted, expected the error \"{test.Error}\"";
    }

    // Accumulating, and going back to one input only.
    private static string? FaultOfGathering(OperationCase test, Tensor[] inputs, double[] cotangent, Tensor y,
        double[]?[] gradients, double allowed)
    {
        double[]?[] doubled = Backward(test, inputs, cotangent, y, _ => true, passes: 2);
        for (int i = 0; i < inputs.Length; i++)
        {
            if (gradients[i] is not { } gradient)
                continue;
            double error = RelativeError(doubled[i]!, Array.ConvertAll(gradient, g => 2 * g));
            if (!(error <= allowed))
                return $"gradient of {test.Inputs[i].Name} added to an earlier one: error {error:0.0e+0}";
            double[] alone = Backward(test, inputs, cotangent, y, k => k == i, passes: 1)[i]!;
            error = RelativeError(alone, gradient);
            if (!(error <= allowed))
                return $"gradient of {test.Inputs[i].Name} alone: error {error:0.0e+0} against that among others";
        }

        return null;
    }

    private static double[]?[] Backward(OperationCase test, Tensor[] inputs, double[] cotangent, Tensor y,
        Func<int, bool> wanted, int passes)
    {
        using Scope scope = Scope.Enter();
        Tensor seed = Tensor.FromBytes(y.Device, CaseInput.Encode(cotangent, y.Type), y.Shape, y.Type);
        Tensor[] leaves = inputs.Select((x, i) => test.Inputs[i].IsDifferentiable && wanted(i) ? x.AsLeaf() : x).ToArray();
        try
        {
            for (int pass = 0; pass < passes; pass++)
            {
                using Tape tape = Tape.Start();
                tape.Backward(test.Run(leaves), seed);
            }

            return Array.ConvertAll(leaves, leaf => leaf.RequiresGradient
                ? leaf.Gradient is { } gradient ? CaseInput.Read(gradient) : new double[leaf.Count]
                : null);
        }
        finally
        {
            foreach (Tensor leaf in leaves)
                leaf.FreeGradient();
        }
    }

    private static double[] DrawCotangent(int count, Random random, DType type)
    {
        double[] cotangent = new double[count];
        for (int i = 0; i < count; i++)
        {
            double value = (float)(2 * random.NextDouble() - 1);
            cotangent[i] = type == DType.BFloat16 ? CaseInput.ToBFloat16(value) : value;
        }

        return cotangent;
    }

    // string.GetHashCode differs between processes.
    private static int Seed(string name)
    {
        uint hash = 2166136261;
        foreach (char c in name)
            hash = (hash ^ c) * 16777619;
        return (int)(hash & 0x7fffffff);
    }
}
