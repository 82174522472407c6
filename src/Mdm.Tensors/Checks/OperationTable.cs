using Mdm.Kernels;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Checks;

/// <summary>The cases of all operations. Each list lies beside its operation.</summary>
public static class OperationTable
{
    public static IReadOnlyList<OperationCase> All { get; } =
    [
        .. ConvolutionCases.All(),
        .. LinearCases.All(),
        .. FeedForwardCases.All(),
        .. NormalizationCases.All(),
        .. AttentionCases.All(),
        .. UnaryCases.All(),
        .. ArithmeticCases.All(),
        .. JoiningCases.All(),
        .. FrameCases.All(),
        .. ReductionCases.All(),
        .. ResamplingCases.All(),
        .. LookupCases.All(),
        .. RandomCases.All(),
    ];

    /// <summary>The cases that say something about activations of a type.</summary>
    public static IEnumerable<OperationCase> In(DType type) => type == DType.Float32 ? All : All.Where(test => test.HasTypes);
}
