using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Libraries;

/// <summary>What cuDNN is asked for: a 3x3 convolution with padding 1 of channels-last images, not doubled.</summary>
/// <param name="Pass">Which product.</param>
/// <param name="Shape">The sizes of the forward pass.</param>
/// <param name="Type">Of the operands; sums are float32.</param>
/// <param name="Result">Of the result: Type, or float32.</param>
/// <param name="Tf32">Whether float32 operands may be rounded to TF32.</param>
/// <param name="BiasAlignment">Bytes that a float32 bias's address is a multiple of, if one is added (forward); else 0.</param>
/// <param name="Residual">Whether a residual of the result's type and shape is added (forward).</param>
internal readonly record struct CudnnConvolution(
    ConvPass Pass, ConvShape Shape, DType Type, DType Result, bool Tf32, int BiasAlignment = 0, bool Residual = false)
{
    /// <summary>Bytes that every address but the bias is a multiple of.</summary>
    public const int Alignment = 16;
}

/// <summary>The operands' addresses; those that the convolution does not have are 0.</summary>
/// <param name="Image">x, or dx.</param>
/// <param name="Weight">w, or dw.</param>
/// <param name="Output">y, or dy.</param>
/// <param name="Bias">Float32.</param>
/// <param name="Residual">As y.</param>
internal readonly record struct CudnnOperands(nint Image, nint Weight, nint Output, nint Bias = 0, nint Residual = 0);
