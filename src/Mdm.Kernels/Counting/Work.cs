namespace Mdm.Kernels.Counting;

/// <summary>The parts of <see cref="IKernels"/>.</summary>
public enum KernelFamily
{
    Matrix,
    Convolution,
    Normalization,
    Attention,
    Elementwise,
    Reduction,
    Resampling,
    Random,
    Indexing,
    Optimizer,
}

/// <summary>What one kernel call would do.</summary>
/// <param name="Kernel">The name of the method, e.g. <c>Conv3x3Forward</c>.</param>
/// <param name="Operations">Floating-point operations.</param>
/// <param name="Bytes">Bytes read and written, if each operand moves once.</param>
public readonly record struct KernelCall(KernelFamily Family, string Kernel, long Operations, long Bytes);

/// <summary>Sums over calls.</summary>
public readonly record struct Work(long Calls, long Operations, long Bytes)
{
    public static Work operator +(Work sum, KernelCall call) =>
        new(sum.Calls + 1, sum.Operations + call.Operations, sum.Bytes + call.Bytes);

    public static Work operator +(Work a, Work b) => new(a.Calls + b.Calls, a.Operations + b.Operations, a.Bytes + b.Bytes);
}
