namespace Mdm.Tensors.Formats.PyTorch;

// What a pickle can hold. Beside these: null, bool, long, BigInteger, double, string, byte[],
// List<object?> (lists and sets) and object?[] (tuples).

/// <summary>The name of a Python class or function. It is only ever a name: nothing is looked up or run.</summary>
public sealed record PickleGlobal(string Module, string Name)
{
    public override string ToString() => $"{Module}.{Name}";
}

/// <summary>A Python dictionary in the order of insertion. The key None is <see cref="DBNull.Value"/>.</summary>
public sealed class PickleDictionary : OrderedDictionary<object, object?>;

/// <summary>An object of a class, or the result of a function, that this program does not know: an inert record of what
/// the pickle says about it.</summary>
/// <param name="made">The class or function; any value, as a damaged pickle may say anything.</param>
/// <param name="arguments">What it is made from.</param>
public sealed class PickleObject(object? made, object? arguments)
{
    public object? Made { get; } = made;

    public object? Arguments { get; } = arguments;

    /// <summary>The members, where given: mostly a <see cref="PickleDictionary"/>.</summary>
    public object? State { get; internal set; }
}

/// <summary>The raw numbers of one or several tensors.</summary>
/// <param name="TypeName">As PyTorch names it: <c>FloatStorage</c>, <c>UntypedStorage</c>, ..</param>
/// <param name="Key">Name of the entry under <c>data/</c>.</param>
/// <param name="Count">Elements; bytes where the storage has no type.</param>
public sealed record PickleStorage(string TypeName, string Key, long Count);

/// <summary>A view of a storage: element (i, j, ..) lies at Offset + i * Strides[0] + j * Strides[1] + ..</summary>
/// <param name="Storage">Where the numbers lie.</param>
/// <param name="TypeName">Type of the elements where the storage has none, such as <c>bfloat16</c>.</param>
/// <param name="Offset">Elements.</param>
/// <param name="Sizes">Extent of each dimension.</param>
/// <param name="Strides">Elements.</param>
public sealed record PickleTensor(PickleStorage Storage, string? TypeName, long Offset, long[] Sizes, long[] Strides);
