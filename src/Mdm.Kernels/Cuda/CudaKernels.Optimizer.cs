using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    /// <summary>Of <c>AdamNumbers</c> in optimizer.cu.</summary>
    private const int AdamNumbersBytes = 48;

    private static readonly KernelModule OptimizerModule = new("optimizer.cu");

    private static KernelModule[] OptimizerModules => [OptimizerModule];

    public void SquaredNorm(long n, Ptr gradients, Ptr state)
    {
        RequireType("squared norm: gradients", gradients, DType.Float32);
        RequireType("squared norm: state", state, DType.Float64);
        int blocks = StrideBlocks(n / 16);
        using Scratch scratch = device.Borrow((long)blocks * sizeof(double));
        Ptr partial = scratch.As(DType.Float64);
        LaunchBlocks(new KernelId(OptimizerModule, "squares"), blocks, n, gradients, partial);
        LaunchBlocks(new KernelId(OptimizerModule, "finish_squares"), 1, blocks, partial, state);
    }

    public void AdamStep(
        long n, in AdamOptions options, Ptr parameters, Ptr gradients, Ptr m, Ptr v, Ptr ema, Ptr copy, Ptr state)
    {
        RequireType("Adam: parameters", parameters, DType.Float32);
        RequireType("Adam: gradients", gradients, DType.Float32);
        RequireType("Adam: m", m, DType.Float32);
        RequireType("Adam: v", v, DType.Float32);
        RequireType("Adam: ema", ema, DType.Float32);
        RequireType("Adam: copy", copy, DType.BFloat16);
        RequireType("Adam: state", state, DType.Float64);
        AdamArguments arguments = new(options);
        using Scratch scratch = device.Borrow(AdamNumbersBytes);
        Ptr numbers = scratch.As(DType.UInt8);
        device.Launch(new KernelId(OptimizerModule, "adam_numbers"), 1, 1, 0, Arg.By(ref arguments), state, numbers);
        if (n > 0)
            LaunchBlocks(new KernelId(OptimizerModule, "adam"), StrideBlocks((n + 3) / 4), n, numbers, parameters,
                gradients, m, v, ema, copy);
    }

    /// <summary>The same fields in the same order as <c>AdamOptions</c> in optimizer.cu.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct AdamArguments(in AdamOptions options)
    {
        public readonly double Beta1 = AsWritten(options.Beta1), Beta2 = AsWritten(options.Beta2);
        public readonly float Epsilon = options.Epsilon, WeightDecay = options.WeightDecay, Clip = options.Clip;
        public readonly float GradScale = options.GradScale;
        public readonly int Decoupled = options.Decoupled ? 1 : 0;

        /// <summary>0.999f as 0.999 (the conversion to decimal keeps 7 digits): 1 - 0.999f would be 1.3e-5 off 0.001.</summary>
        private static double AsWritten(float value) => (double)(decimal)value;
    }
}
