namespace Mdm.Kernels;

/// <summary>Element types of tensors and of files. Arithmetic is in <see cref="Float32"/> on every device;
/// the others are storage, indices, or (bfloat16) activations where a device asks for them.</summary>
public enum DType : byte
{
    Float32,
    BFloat16,
    Float16,
    Float64,
    Int64,
    Int32,
    UInt8,
}

public static class DTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this DType type) => type switch
    {
        DType.Float64 or DType.Int64 => 8,
        DType.Float32 or DType.Int32 => 4,
        DType.BFloat16 or DType.Float16 => 2,
        DType.UInt8 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown element type"),
    };
}
