using Mdm.Kernels.Counting;

namespace Mdm.Kernels.Profiling;

/// <summary>One call of a kernel, as a profile sees it.</summary>
/// <param name="Kernel">The contract's method, e.g. <c>Conv3x3Forward</c>.</param>
/// <param name="Family">Its part of the contract.</param>
/// <param name="Shape">The sizes, readable, e.g. <c>32x64x64 256-&gt;256 bf16</c>.</param>
/// <param name="Where">What was being computed (a module's path), or empty.</param>
/// <param name="Operations">Floating-point operations.</param>
/// <param name="Bytes">Bytes read and written, if each operand moves once.</param>
/// <param name="From">When it began, a mark of the device.</param>
/// <param name="To">When it ended, likewise.</param>
/// <param name="ByLibrary">Whether a library (cuBLASLt, cuDNN) computed it.</param>
public readonly record struct KernelRecord(
    string Kernel, KernelFamily Family, string Shape, string Where, long Operations, long Bytes, long From, long To,
    bool ByLibrary);
