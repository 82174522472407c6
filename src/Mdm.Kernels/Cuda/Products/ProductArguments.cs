using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Products;

// The structures of kernels/include/output.cuh, conv_operands.cuh, matmul.cu and conv.cu: same fields, same order.

/// <summary>Sums of the rows of A beside a product: the gradient of a bias.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RowSums
{
    public nint Partial;
    public nint Sums;
    public int Pieces;
    public int Accumulate;
}

/// <summary>What happens to a product before it is written.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ProductOutput
{
    public nint C;
    public nint Bias;
    public nint Residual;
    public nint Z;
    public nint Gate;
    public nint Partial;
    public int LdC;
    public int Columns;
    public int Accumulate;
    public int IsFloat;
    public int Vector;
    public RowSums Rows;

    /// <summary>The epilogue of a product whose operands have a type.</summary>
    /// <param name="type">Type of the operands, of z and of the gate.</param>
    /// <param name="ldC">Elements between rows of c, residual, z and gate.</param>
    /// <param name="n">Columns of the product.</param>
    /// <param name="c">Where it goes: that type, or float32.</param>
    /// <param name="bias">Optional, float32 [n].</param>
    /// <param name="residual">Optional, as c.</param>
    /// <param name="z">Optional: gets the product before GELU, which is then applied.</param>
    /// <param name="gate">Optional: the product is multiplied with GELU's slope there.</param>
    public static ProductOutput Of(
        DType type, int ldC, int n, Target c, Ptr bias, Ptr residual, Ptr z = default, Ptr gate = default)
    {
        if (c.Ptr.Type != type && c.Ptr.Type != DType.Float32)
            throw new MdmException($"a product of {type} operands is written as {type} or Float32, not as {c.Ptr.Type}");
        bool aligned = ((c.Ptr.Address | residual.Address | z.Address | gate.Address) & 15) == 0;
        return new ProductOutput
        {
            C = c.Ptr.Address,
            Bias = bias.Address,
            Residual = residual.Address,
            Z = z.Address,
            Gate = gate.Address,
            LdC = ldC,
            Columns = (n + 7) / 8 * 8,
            Accumulate = c.Accumulate ? 1 : 0,
            IsFloat = c.Ptr.Type == DType.Float32 ? 1 : 0,
            Vector = aligned && ldC * type.Size() % 16 == 0 ? 1 : 0,
        };
    }

    /// <summary>The same with the result elsewhere, for trying out. It still reads what it read.</summary>
    /// <param name="c">Memory like that of c.</param>
    /// <param name="z">Memory like that of z.</param>
    /// <param name="rows">Memory like that of the sums of rows.</param>
    public readonly ProductOutput Elsewhere(nint c, nint z, nint rows) => this with
    {
        C = c,
        Z = Z == 0 ? 0 : Z == C ? c : z,
        Rows = Rows with { Sums = Rows.Sums == 0 ? 0 : rows },
    };

    /// <summary>What decides on the speed of a product that ends so.</summary>
    /// <param name="math">How it is formed.</param>
    /// <param name="operands">The addresses of the operands, or-ed.</param>
    public readonly ProductTraits Traits(ProductMath math, nint operands) =>
        (Bias != 0 ? ProductTraits.Bias : 0) | (Residual != 0 ? ProductTraits.Residual : 0)
        | (Accumulate != 0 ? ProductTraits.Accumulate : 0) | (Z != 0 ? ProductTraits.Gelu : 0) | (Gate != 0 ? ProductTraits.Gate : 0)
        | (Rows.Sums != 0 ? ProductTraits.RowSums : 0) | (IsFloat != 0 && math == ProductMath.Bf16 ? ProductTraits.Float : 0)
        | (((operands | C | Bias | Residual | Z | Gate) & 15) != 0 ? ProductTraits.Unaligned : 0);
}

/// <summary>Division by a constant as a multiplication: q = n·Multiplier >> Shift for 0 ≤ n &lt; 2^31.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FastDivide
{
    public uint Divisor;
    public uint Multiplier;
    public uint Shift;

    /// <param name="divisor">At least 1.</param>
    public FastDivide(int divisor)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(divisor, 1);
        Divisor = (uint)divisor;
        Shift = 31 + (uint)(32 - BitOperations.LeadingZeroCount((uint)divisor - 1));
        // With Shift = 31 + ceil(log2 d), 2^Shift / d lies in [2^31, 2^32).
        Multiplier = (uint)(((UInt128.One << (int)Shift) + (uint)divisor - 1) / (uint)divisor);
    }
}

/// <summary>Where row m of a product goes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RowMap
{
    public FastDivide ByImage;
    public FastDivide ByRow;
    public int Height;
    public int Width;
    public int Step;
    public int Y;
    public int X;
}

[StructLayout(LayoutKind.Sequential)]
internal struct MatMulArguments
{
    public nint A;
    public nint B;
    public ProductOutput Output;
    public int M;
    public int N;
    public int K;
    public int LdA;
    public int LdB;
    public int TilesM;
    public int TilesN;
    public int Steps;
    public int StepsPerPart;
}

/// <summary>The pixels and weights of one product of a convolution.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ConvTaps
{
    public FastDivide ByImage;
    public FastDivide ByRow;
    public int Columns;
    public int Inverse;
    public int Taps;
    public int M;
    public int K;
    public int Steps;
    public int StepsPerPart;
    public int Y;
    public int X;
    public int OutY;
    public int OutX;
    public int WeightRow;
    public int WeightColumn;
    public long Weight;
}

[InlineArray(4)]
internal struct FourTaps
{
    private ConvTaps _first;
}

/// <summary>The image that a convolution gathers from.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ConvImage
{
    public FastDivide ByChannels;
    public int Height;
    public int Width;
    public int Channels;
    public int Stride;

    public ConvImage(int height, int width, int channels, int stride)
    {
        (Height, Width, Channels, Stride) = (height, width, channels, stride);
        ByChannels = new FastDivide(Math.Max(1, channels));
    }
}

[StructLayout(LayoutKind.Sequential)]
internal struct ConvArguments
{
    public nint A;
    public nint B;
    public ProductOutput Output;
    public ConvImage Image;
    public FourTaps Taps;
    public int N;
    public int WeightRow;
    public int TilesM;
    public int TilesN;
    public int Parts;
    public int OutHeight;
    public int OutWidth;
    public int OutStep;
}
