using System.Buffers.Binary;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>The few calls of a pickle that have a meaning here: those that build tensors, ordered dictionaries and numpy
/// scalars. Every other call is kept as an inert <see cref="PickleObject"/>.</summary>
internal static class TorchCalls
{
    private const int HighestRank = 64;

    /// <summary>The value of calling a named function or class with a tuple of arguments.</summary>
    public static object? Call(object? function, object? arguments)
    {
        if (function is not PickleGlobal global || arguments is not object?[] values)
            return new PickleObject(function, arguments);
        switch (global.Module, global.Name)
        {
            case ("collections", "OrderedDict") when values.Length == 0:
                return new PickleDictionary();
            case ("torch._utils", "_rebuild_tensor" or "_rebuild_tensor_v2"):
                return Tensor(values, null);
            case ("torch._utils", "_rebuild_tensor_v3") when values.Length > 6 && values[6] is PickleGlobal type:
                return Tensor(values, type.Name);
            case ("torch._utils", "_rebuild_parameter" or "_rebuild_parameter_with_state") when values.Length > 0:
                return values[0];
            case ("torch", "Size") when values is [object?[] sizes]:
                return sizes;
            case ("_codecs", "encode") when values is [string { Length: < 4096 } text, "latin1"]:
                // How Python 3 writes bytes in protocol 2.
                return Encoding.Latin1.GetBytes(text);
            case ("numpy.core.multiarray" or "numpy._core.multiarray", "scalar")
                when values is [PickleObject type, byte[] bytes]:
                return Scalar(type, bytes) ?? new PickleObject(global, values);
            default:
                return new PickleObject(global, values);
        }
    }

    /// <summary>What a persistent id stands for: ('storage', type, key, location, count).</summary>
    public static object Storage(object? id)
    {
        if (id is not object?[] { Length: >= 5 } parts || parts[0] is not "storage" || parts[1] is not PickleGlobal type
            || parts[2] is not string key || parts[4] is not long count || count < 0)
            throw new MdmException("found a persistent id of another kind than (storage, type, key, location, count)");
        return new PickleStorage(type.Name, key, count);
    }

    private static PickleTensor Tensor(object?[] values, string? typeName)
    {
        if (values.Length < 4 || values[0] is not PickleStorage storage || values[1] is not long offset
            || Integers(values[2]) is not { } sizes || Integers(values[3]) is not { } strides)
            throw new MdmException("found a tensor that is not made of (storage, offset, size, stride)");
        return new PickleTensor(storage, typeName, offset, sizes, strides);
    }

    private static long[]? Integers(object? value) =>
        value is object?[] { Length: <= HighestRank } items && items.All(item => item is long)
            ? Array.ConvertAll(items, item => (long)item!)
            : null;

    /// <summary>The number that a numpy scalar of a plain little-endian type holds, else null.</summary>
    private static object? Scalar(PickleObject type, byte[] bytes)
    {
        if (type.Made is not PickleGlobal { Module: "numpy", Name: "dtype" }
            || type.Arguments is not object?[] { Length: > 0 } made
            || made[0] is not string { Length: 2 } code || type.State is object?[] { Length: > 1 } state && state[1] is ">"
            || bytes.Length != code[1] - '0')
            return null;
        return code switch
        {
            "f2" => (double)BinaryPrimitives.ReadHalfLittleEndian(bytes),
            "f4" => (double)BinaryPrimitives.ReadSingleLittleEndian(bytes),
            "f8" => BinaryPrimitives.ReadDoubleLittleEndian(bytes),
            "i1" => (long)(sbyte)bytes[0],
            "i2" => (long)BinaryPrimitives.ReadInt16LittleEndian(bytes),
            "i4" => (long)BinaryPrimitives.ReadInt32LittleEndian(bytes),
            "i8" => BinaryPrimitives.ReadInt64LittleEndian(bytes),
            "u1" => (long)bytes[0],
            "u2" => (long)BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            "u4" => (long)BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            "b1" => bytes[0] != 0,
            _ => null,
        };
    }
}
