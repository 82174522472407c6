using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>The tile kernels of one instruction set, and how wide its panels are.</summary>
internal sealed unsafe class TileSet
{
    /// <summary>Floats in the widest tile of any set.</summary>
    public const int MaxTile = Tile.MaxRows * 64;

    private static readonly TileSet Plain = new(
        4, 2, &DotKernel.Run<Simd128, Vector128<float>>, WinogradSet.Of<Simd128, Vector128<float>>(),
        Row<Simd128, Vector128<float>, One>(), Row<Simd128, Vector128<float>, Two>());

    private static readonly TileSet Avx2 = new(
        8, 2, &DotKernel.Run<Simd256, Vector256<float>>, WinogradSet.Of<Simd256, Vector256<float>>(),
        Row<Simd256, Vector256<float>, One>(), Row<Simd256, Vector256<float>, Two>());

    private static readonly TileSet Avx512 = new(
        16, 4, &DotKernel.Run<Simd512, Vector512<float>>, WinogradSet.Of<Simd512, Vector512<float>>(),
        Row<Simd512, Vector512<float>, One>(), Row<Simd512, Vector512<float>, Two>(),
        Row<Simd512, Vector512<float>, Three>(), Row<Simd512, Vector512<float>, Four>());

    // At 8·(vectors - 1) + rows: the kernel with the fewest rows that holds so many. Native, never freed: one per set.
    private readonly nint* kernels;

    private TileSet(int lanes, int vectors, delegate*<Tile*, void> dot, WinogradSet winograd, params nint[][] rows)
    {
        Lanes = lanes;
        PanelWidth = lanes * vectors;
        Dot = dot;
        Winograd = winograd;
        kernels = (nint*)NativeMemory.AllocZeroed((nuint)(8 * vectors * sizeof(nint)));
        for (int v = 0; v < vectors; v++)
            for (int r = 1; r <= Tile.MaxRows; r++)
                kernels[8 * v + r] = rows[v][r <= 2 ? r - 1 : r <= 4 ? 2 : 3];
    }

    /// <summary>That of <see cref="CpuFeatures.Level"/>.</summary>
    public static TileSet Current => CpuFeatures.Level switch
    {
        CpuLevel.Avx512 => Avx512,
        CpuLevel.Avx2 => Avx2,
        _ => Plain,
    };

    /// <summary>Floats in a vector.</summary>
    public int Lanes { get; }

    /// <summary>Columns of a full panel.</summary>
    public int PanelWidth { get; }

    public delegate*<Tile*, void> Dot { get; }

    public WinogradSet Winograd { get; }

    /// <summary>The kernel for a tile of so many rows in a panel of <paramref name="width"/> columns (whole vectors).</summary>
    public delegate*<Tile*, void> Kernel(int rows, int width) => (delegate*<Tile*, void>)kernels[8 * (width / Lanes - 1) + rows];

    /// <summary>Width of the panel that starts at column j of n: a full one, or the remaining columns in whole
    /// vectors.</summary>
    public int WidthAt(int j, int n) => n - j >= PanelWidth ? PanelWidth : (n - j + Lanes - 1) / Lanes * Lanes;

    /// <summary>n in whole vectors.</summary>
    public int Padded(int n) => (n + Lanes - 1) / Lanes * Lanes;

    /// <summary>Rows of the next tile when so many are left: what the kernels do without waste.</summary>
    public static int RowsOf(int left) => left switch
    {
        >= 9 or 6 => Tile.MaxRows,
        7 or 8 => 4,
        _ => left,
    };

    private static nint[] Row<S, V, W>()
        where S : ISimd<V>
        where V : unmanaged
        where W : unmanaged =>
    [
        (nint)(delegate*<Tile*, void>)&TileKernel.Run<S, V, W, One>,
        (nint)(delegate*<Tile*, void>)&TileKernel.Run<S, V, W, Two>,
        (nint)(delegate*<Tile*, void>)&TileKernel.Run<S, V, W, Four>,
        (nint)(delegate*<Tile*, void>)&TileKernel.Run<S, V, W, Six>,
    ];
}

/// <summary>The transforms of <see cref="Products.Winograd"/> for one instruction set.</summary>
internal sealed unsafe class WinogradSet
{
    private WinogradSet()
    {
    }

    public delegate*<float**, int, float*, nint, void> Input { get; private init; }

    public delegate*<float*, nint, int, PatchEnd*, void> Output { get; private init; }

    public delegate*<float*, nint, int, float*, nint, void> Weights { get; private init; }

    public delegate*<float**, int, float*, nint, void> Gradient { get; private init; }

    public delegate*<float*, nint, int, float*, nint, bool, void> WeightGradient { get; private init; }

    public static WinogradSet Of<S, V>()
        where S : ISimd<V>
        where V : unmanaged => new()
        {
            Input = &Products.Winograd.Input<S, V>,
            Output = &Products.Winograd.Output<S, V>,
            Weights = &Products.Winograd.Weights<S, V>,
            Gradient = &Products.Winograd.Gradient<S, V>,
            WeightGradient = &Products.Winograd.WeightGradient<S, V>,
        };
}
