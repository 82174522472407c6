namespace Mdm.Kernels.Cpu;

/// <summary>All kernels on the processor: managed code, SIMD and threads. One partial file per family.</summary>
public sealed partial class CpuKernels : IKernels;
