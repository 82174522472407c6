namespace Mdm.Tensors.Checks;

/// <summary>
/// One line of the operation table: an operation, operands of certain shapes, and what should come out. Declared once, beside
/// the operation, and run in every mode (forward against float64, gradient against central differences, shape errors) on
/// every device.
/// </summary>
public sealed class OperationCase
{
    private OperationCase(string operation, string name, CaseInput[] inputs, Func<Tensor[], Tensor> run)
    {
        Operation = operation;
        Name = name;
        Inputs = inputs;
        Run = run;
    }

    /// <summary>The name of the operation, as in <c>Op</c>.</summary>
    public string Operation { get; }

    /// <summary>What is special about this case, e.g. "stride 2 on 5x7".</summary>
    public string Name { get; }

    public CaseInput[] Inputs { get; }

    /// <summary>The operation on tensors, one per input.</summary>
    public Func<Tensor[], Tensor> Run { get; }

    /// <summary>The same in float64: one flat array per input, to the flat result. Null for a case that must fail.</summary>
    public Func<double[][], double[]>? Reference { get; private init; }

    /// <summary>What the error's message must contain, for a case of wrong shapes.</summary>
    public string? Error { get; private init; }

    /// <summary>Largest relative error of the result, by norm.</summary>
    public double ForwardTolerance { get; init; } = 1e-5;

    /// <summary>Largest relative error of each input's gradient, by norm.</summary>
    public double BackwardTolerance { get; init; } = 1e-5;

    /// <summary>As the others, for result and gradients in bfloat16.</summary>
    public double BFloat16Tolerance { get; init; } = 1e-2;

    /// <summary>Whether checking the case in another type than float32 checks anything else: a refusal does not.</summary>
    public bool HasTypes => Reference != null && Array.Exists(Inputs, input => input.Role == CaseRole.Activation);

    /// <summary>A case with a result.</summary>
    public static OperationCase Of(string operation, string name, CaseInput[] inputs, Func<Tensor[], Tensor> run,
        Func<double[][], double[]> reference, double forwardTolerance = 1e-5, double backwardTolerance = 1e-5,
        double bfloat16Tolerance = 1e-2) =>
        new(operation, name, inputs, run)
        {
            Reference = reference,
            ForwardTolerance = forwardTolerance,
            BackwardTolerance = backwardTolerance,
            BFloat16Tolerance = bfloat16Tolerance,
        };

    /// <summary>A case that must be refused with an <see cref="ArgumentException"/> that says <paramref name="error"/>.</summary>
    public static OperationCase Refused(string operation, string name, CaseInput[] inputs, Func<Tensor[], Tensor> run,
        string error) =>
        new(operation, name, inputs, run) { Error = error };

    public override string ToString() => $"{Operation}: {Name}";
}
