using Mdm.Kernels;

namespace Mdm.Tensors.Checks;

/// <summary>
/// Runs a case of the operation table on a device. Beside the result and the gradients it checks what every operation
/// promises: equal bits in a second run, gradients that are added to those already there, the same gradient when only one
/// input wants one, and operands left as they were.
/// </summary>
public static class OperationChecker
{
    /// <summary>Checks one case. Numbers are drawn from the case's name, so every device sees the same.</summary>
    public static CaseResult Check(OperationCase test, IDevice device)
    {
        var random = new Random(Seed(test.ToString()));
        double[][] values = Array.ConvertAll(test.Inputs, input => input.Draw(random));
        using Scope scope = Scope.Enter();
        Tensor[] inputs = test.Inputs.Select((input, i) => input.Place(device, values[i])).ToArray();
        if (test.Reference == null)
            return new CaseResult(double.NaN, double.NaN, FaultOfRefusal(test, inputs));

        double[] expected = test.Reference(values);
        Tensor y = test.Run(inputs);
        double[] found = CaseInput.Read(y);
        if (found.Length != expected.Length)
            return new CaseResult(double.NaN, double.NaN,
                $"the result {y} has {found.Length} elements, expected {expected.Length}");
        double forward = RelativeError(found, expected);
        string? fault = forward <= test.ForwardTolerance
            ? null
            : $"forward error {forward:0.0e+0} is above {test.ForwardTolerance:0.0e+0}";
        if (!found.AsSpan().SequenceEqual(CaseInput.Read(test.Run(inputs))) && !found.Any(double.IsNaN))
            fault ??= "a second run gives other bits";

        double backward = double.NaN;
        if (test.Inputs.Any(input => input.IsDifferentiable))
        {
            double[] cotangent = DrawCotangent(expected.Length, random);
            double[]?[] gradients = Backward(test, inputs, cotangent, y.Shape, _ => true, passes: 1);
            backward = CentralDifferences.LargestError(test, values, cotangent, gradients, random, out string worst);
            if (!(backward <= test.BackwardTolerance))
                fault ??= $"gradient of {worst}: error {backward:0.0e+0} is above {test.BackwardTolerance:0.0e+0}";
            fault ??= FaultOfGathering(test, inputs, cotangent, y.Shape, gradients);
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
    private static string? FaultOfGathering(OperationCase test, Tensor[] inputs, double[] cotangent, Shape shape,
        double[]?[] gradients)
    {
        double[]?[] doubled = Backward(test, inputs, cotangent, shape, _ => true, passes: 2);
        for (int i = 0; i < inputs.Length; i++)
        {
            if (gradients[i] is not { } gradient)
                continue;
            double error = RelativeError(doubled[i]!, Array.ConvertAll(gradient, g => 2 * g));
            if (!(error <= 1e-6))
                return $"gradient of {test.Inputs[i].Name} added to an earlier one: error {error:0.0e+0}";
            double[] alone = Backward(test, inputs, cotangent, shape, k => k == i, passes: 1)[i]!;
            error = RelativeError(alone, gradient);
            if (!(error <= 1e-6))
                return $"gradient of {test.Inputs[i].Name} alone: error {error:0.0e+0} against that among others";
        }

        return null;
    }

    private static double[]?[] Backward(OperationCase test, Tensor[] inputs, double[] cotangent, Shape shape,
        Func<int, bool> wanted, int passes)
    {
        using Scope scope = Scope.Enter();
        Tensor seed = Tensor.From(inputs[0].Device, Array.ConvertAll(cotangent, c => (float)c), shape);
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

    private static double[] DrawCotangent(int count, Random random)
    {
        double[] cotangent = new double[count];
        for (int i = 0; i < count; i++)
            cotangent[i] = (float)(2 * random.NextDouble() - 1);
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
