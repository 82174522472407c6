using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cuda;

/// <summary>An argument of a kernel: up to 8 bytes, or the address of a larger structure on the host.</summary>
internal readonly struct Arg
{
    private Arg(ulong bits, nint structure = 0) => (Bits, Structure) = (bits, structure);

    /// <summary>The value, in the low bytes.</summary>
    public ulong Bits { get; }

    /// <summary>The host's address of a structure that is passed by value; 0 if <see cref="Bits"/> is meant.</summary>
    public nint Structure { get; }

    public static implicit operator Arg(int value) => new((uint)value);

    public static implicit operator Arg(uint value) => new(value);

    public static implicit operator Arg(long value) => new((ulong)value);

    public static implicit operator Arg(ulong value) => new(value);

    public static implicit operator Arg(float value) => new(BitConverter.SingleToUInt32Bits(value));

    public static implicit operator Arg(double value) => new(BitConverter.DoubleToUInt64Bits(value));

    /// <summary>The kernel's parameter is an int.</summary>
    public static implicit operator Arg(bool value) => new(value ? 1u : 0u);

    /// <summary>A device pointer; null for "none".</summary>
    public static implicit operator Arg(Ptr value) => new((ulong)value.Address);

    /// <summary>A structure passed by value. It is copied during the launch.</summary>
    public static unsafe Arg By<T>(ref readonly T structure)
        where T : unmanaged => new(0, (nint)Unsafe.AsPointer(ref Unsafe.AsRef(in structure)));
}
