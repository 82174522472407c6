using Mdm.Kernels;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>PyTorch's names of element types.</summary>
internal static class TorchTypes
{
    private static readonly (string Storage, string Type, DType Element)[] Table =
    [
        ("FloatStorage", "float32", DType.Float32),
        ("BFloat16Storage", "bfloat16", DType.BFloat16),
        ("HalfStorage", "float16", DType.Float16),
        ("DoubleStorage", "float64", DType.Float64),
        ("LongStorage", "int64", DType.Int64),
        ("IntStorage", "int32", DType.Int32),
        ("ByteStorage", "uint8", DType.UInt8),
        ("BoolStorage", "bool", DType.UInt8),
    ];

    public static string Known => string.Join(", ", Table.Select(row => row.Storage));

    /// <summary>The type of a storage class or of a dtype name; null where there is none here.</summary>
    public static DType? Find(string name)
    {
        foreach ((string storage, string type, DType element) in Table)
            if (name == storage || name == type)
                return element;
        return null;
    }

    public static string StorageOf(DType type) => Table.First(row => row.Element == type).Storage;

    /// <summary>Storages counted in bytes, whose type comes with the tensor.</summary>
    public static bool IsUntyped(string storage) => storage is "UntypedStorage" or "_UntypedStorage";
}
