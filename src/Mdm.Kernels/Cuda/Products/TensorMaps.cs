using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>CUtensorMap: how the tensor copy unit of Hopper finds boxes of a tensor. Passed by value to kernels.</summary>
[StructLayout(LayoutKind.Sequential, Size = 128)]
internal struct TensorMap
{
}

/// <summary>A bfloat16 tensor of up to four dimensions and the boxes in which it is copied, innermost first.</summary>
/// <param name="Address">Of the first element; a multiple of 16.</param>
/// <param name="Rank">2 to 4; the sizes, strides and boxes of further dimensions are 0.</param>
/// <param name="Size0">Elements; those of a line are neighbours.</param>
/// <param name="Stride1">Elements from one line to the next; a multiple of 8, like the other strides.</param>
internal readonly record struct TensorBoxes(
    nint Address, int Rank, int Size0, int Size1, int Size2, int Size3, long Stride1, long Stride2, long Stride3,
    int Box0, int Box1, int Box2, int Box3)
{
    /// <summary>A matrix with <paramref name="rows"/> lines of <paramref name="length"/> elements.</summary>
    public static TensorBoxes Matrix(nint address, int length, int rows, int stride, int boxLength, int boxRows) =>
        new(address, 2, length, rows, 0, 0, stride, 0, 0, boxLength, boxRows, 0, 0);
}

/// <summary>Makes tensor maps, and keeps them: the tensors of a step lie at the same addresses each time.</summary>
internal sealed unsafe class TensorMaps(CudaDriver driver)
{
    private const int Most = 16384;
    private const int BFloat16 = 9;
    private const int Swizzle128 = 3;
    private const int PromoteTo256 = 3;
    private readonly Dictionary<TensorBoxes, TensorMap> maps = [];

    /// <summary>The map of a tensor.</summary>
    /// <exception cref="CudaException">The driver does not accept it.</exception>
    public TensorMap this[in TensorBoxes boxes]
    {
        get
        {
            lock (maps)
            {
                if (maps.TryGetValue(boxes, out TensorMap map))
                    return map;
                map = Encode(boxes);
                if (maps.Count == Most)
                    maps.Clear();
                maps.Add(boxes, map);
                return map;
            }
        }
    }

    private TensorMap Encode(in TensorBoxes t)
    {
        const int bytes = 2;
        // The driver wants the map at a multiple of 64 bytes.
        byte* room = stackalloc byte[sizeof(TensorMap) + 63];
        byte* map = (byte*)(((nint)room + 63) & ~63);
        ulong* sizes = stackalloc ulong[] { (ulong)t.Size0, (ulong)t.Size1, (ulong)t.Size2, (ulong)t.Size3 };
        ulong* strides = stackalloc ulong[] { (ulong)t.Stride1 * bytes, (ulong)t.Stride2 * bytes, (ulong)t.Stride3 * bytes };
        uint* box = stackalloc uint[] { (uint)t.Box0, (uint)t.Box1, (uint)t.Box2, (uint)t.Box3 };
        uint* steps = stackalloc uint[] { 1, 1, 1, 1 };
        int code = driver.TensorMapEncodeTiled(
            map, BFloat16, (uint)t.Rank, t.Address, sizes, strides, box, steps, 0, Swizzle128, PromoteTo256, 0);
        driver.Check(code, $"cuTensorMapEncodeTiled of {t}");
        return Unsafe.ReadUnaligned<TensorMap>(map);
    }
}
