using System.Diagnostics;
using Mdm.Kernels;

namespace Mdm.Tensors.Checks;

/// <summary>The whole operation table on one device, as <c>mdm gradcheck</c> prints it.</summary>
public static class GradientCheck
{
    /// <summary>One line of the printed table.</summary>
    /// <param name="ForwardError">Relative, by norm; NaN where there is none (a case of wrong shapes).</param>
    /// <param name="BackwardError">Relative, by norm, of the worst input; NaN for an operation without gradient.</param>
    /// <param name="Verdict">"ok", or what is wrong.</param>
    public sealed record Row(string Operation, string Case, double ForwardError, double BackwardError, string Verdict,
        double Seconds)
    {
        public bool Passed => Verdict == "ok";
    }

    /// <summary>Checks one case after the other, as the rows are asked for.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="filter">Part of "operation: case", in any letter case; null or empty for all.</param>
    /// <param name="type">Of the activations.</param>
    /// <exception cref="MdmException">The device does not compute in that type.</exception>
    public static IEnumerable<Row> Run(IDevice device, string? filter = null, DType type = DType.Float32)
    {
        if (!device.Supports(type))
            throw new MdmException($"the device {device.Name} does not compute in {type.ToString().ToLowerInvariant()}");
        foreach (OperationCase test in OperationTable.In(type))
        {
            if (string.IsNullOrEmpty(filter) || test.ToString().Contains(filter, StringComparison.OrdinalIgnoreCase))
                yield return Check(test, device, type);
        }
    }

    private static Row Check(OperationCase test, IDevice device, DType type)
    {
        long start = Stopwatch.GetTimestamp();
        CaseResult result;
        try
        {
            result = OperationChecker.Check(test, device, type);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // A table with one operation that throws is worth more than no table.
            result = new CaseResult(double.NaN, double.NaN, $"{e.GetType().Name}: {e.Message}");
        }

        return new Row(test.Operation, test.Name, result.ForwardError, result.BackwardError, result.Fault ?? "ok",
            Stopwatch.GetElapsedTime(start).TotalSeconds);
    }
}
