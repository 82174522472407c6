using System.Diagnostics;

namespace Mdm.Kernels;

/// <summary>An address in a device's memory and the type of the elements there. On the CPU the address is an
/// ordinary pointer; on a GPU it is a device pointer that must not be followed here. <c>default</c> means "none".</summary>
public readonly record struct Ptr(nint Address, DType Type)
{
    public static Ptr None => default;

    public bool IsNone => Address == 0;

    /// <summary>The address <paramref name="elements"/> elements further on.</summary>
    public static Ptr operator +(Ptr p, long elements) => new((nint)(p.Address + elements * p.Type.Size()), p.Type);

    /// <summary>As a float pointer (null for "none"); only meaningful in the CPU's memory.</summary>
    public unsafe float* F32
    {
        get
        {
            Debug.Assert(IsNone || Type == DType.Float32, $"float32 expected, found {Type}");
            return (float*)Address;
        }
    }
}

/// <summary>Where a kernel puts a gradient: nowhere (<see cref="Ptr.None"/>: not wanted), in place of what is
/// there, or added to it.</summary>
public readonly record struct Target(Ptr Ptr, bool Accumulate)
{
    public static Target None => default;

    public bool IsNone => Ptr.IsNone;
}

/// <summary>Rows of a matrix that need not touch: row r starts <paramref name="Stride"/>·r elements after
/// <paramref name="Ptr"/>.</summary>
public readonly record struct Rows(Ptr Ptr, int Stride);

/// <summary>As <see cref="Rows"/>, for a gradient.</summary>
public readonly record struct RowsTarget(Ptr Ptr, int Stride, bool Accumulate)
{
    public static RowsTarget None => default;

    public bool IsNone => Ptr.IsNone;
}
