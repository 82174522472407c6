namespace Mdm.Tensors.Checks;

/// <summary>What a check of one case found.</summary>
/// <param name="ForwardError">‖y - reference‖ / ‖reference‖; NaN where there is nothing to compare (a refused case).</param>
/// <param name="BackwardError">The largest over all inputs of ‖gradient - reference‖ / ‖reference‖; NaN without gradient.</param>
/// <param name="Fault">What is wrong, or null.</param>
public readonly record struct CaseResult(double ForwardError, double BackwardError, string? Fault)
{
    public bool Passed => Fault == null;
}
