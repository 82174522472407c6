using System.Globalization;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>What is done with a product, and what else decides on its speed.</summary>
[Flags]
internal enum ProductTraits
{
    None = 0,
    Bias = 1,
    Residual = 2,
    Accumulate = 4,
    Gelu = 8,
    Gate = 16,

    /// <summary>A float32 result of bfloat16 operands.</summary>
    Float = 32,

    /// <summary>An address is no multiple of 16 bytes.</summary>
    Unaligned = 64,

    /// <summary>The gradient of a bias beside that of the weight.</summary>
    RowSums = 128,
}

/// <summary>All that decides on the speed of a matrix product.</summary>
internal readonly record struct ProductKey(MatMulShape Shape, ProductMath Math, ProductTraits Traits)
{
    public static ProductKey Of(in MatMulShape shape, ProductMath math, Ptr a, Ptr b, in ProductOutput output) =>
        new(shape, math, output.Traits(math, a.Address | b.Address));

    /// <summary>E.g. <c>512x64x256 NT 256 256 64 Bf16 Bias, Residual</c>: sizes, transpositions, leading dimensions.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Shape.M}x{Shape.N}x{Shape.K} {(Shape.TransposeA ? 'T' : 'N')}{(Shape.TransposeB ? 'T' : 'N')} "
        + $"{Shape.LdA} {Shape.LdB} {Shape.LdC} {Math} {Traits}");
}

/// <summary>Which of a convolution's three products.</summary>
internal enum ConvPass
{
    Forward,
    Data,
    Weight,
}

/// <summary>One of a convolution's products.</summary>
/// <param name="Pass">Which.</param>
/// <param name="Shape">Sizes.</param>
/// <param name="Image">x; dy in the data gradient.</param>
/// <param name="Other">The weights; dy in the gradient of the weights.</param>
/// <param name="Output">Where the result goes, with bias and residual.</param>
internal readonly record struct ConvCall(ConvPass Pass, ConvShape Shape, Ptr Image, Ptr Other, ProductOutput Output)
{
    /// <summary>Pixels of y.</summary>
    public long OutPixels => (long)Shape.Batch * Shape.OutHeight * Shape.OutWidth;

    /// <summary>Elements of the result.</summary>
    public long Count => Pass switch
    {
        ConvPass.Forward => OutPixels * Shape.OutChannels,
        ConvPass.Data => (long)Shape.Batch * Shape.Height * Shape.Width * Shape.InChannels,
        _ => 9L * Shape.InChannels * Shape.OutChannels,
    };

    public ConvKey Key(ProductMath math) => new(Pass, Shape, math, Output.Traits(math, Image.Address | Other.Address));
}

/// <summary>All that decides on the speed of a <see cref="ConvCall"/>.</summary>
internal readonly record struct ConvKey(ConvPass Pass, ConvShape Shape, ProductMath Math, ProductTraits Traits)
{
    /// <summary>E.g. <c>Forward 32x64x64 256->512 /2 Bf16 Bias</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Pass} {Shape.Batch}x{Shape.Height}x{Shape.Width} {Shape.InChannels}->{Shape.OutChannels}"
        + $"{(Shape.Upsample ? " x2" : Shape.Stride == 2 ? " /2" : "")} {Math} {Traits}");
}
