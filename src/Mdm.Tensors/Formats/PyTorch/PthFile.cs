using System.Globalization;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>Reads what torch.save writes since PyTorch 1.6: a stored zip with a pickle and one entry per storage. The tensors
/// are those of the dictionary's <c>state_dict</c>, or else of the dictionary itself; numbers (also tensors of one element)
/// and strings beside them are the metadata. Storages are checked against their checksums when first read.</summary>
public sealed class PthFile : ITensorFile
{
    /// <summary>A tensor may repeat elements (stride 0) up to this number; a larger one can only be damage.</summary>
    private const long MostRepeated = 1 << 24;

    private readonly MappedFile file;
    private readonly ZipIndex zip;
    private readonly string prefix;
    private readonly bool hasChecksums;
    private readonly OrderedDictionary<string, StoredTensor> tensors = [];
    private readonly OrderedDictionary<string, string> metadata = [];
    private readonly Dictionary<string, FileChecksum> checksums = [];

    internal PthFile(MappedFile file)
    {
        this.file = file;
        zip = new ZipIndex(file);
        prefix = Prefix();
        // PyTorch can be told to leave checksums out, of all entries alike; then there is nothing to compare with.
        hasChecksums = zip.Entries.TryGetValue(prefix + "version", out ZipEntry? version) && zip.ChecksumOf(version).Matches();
        if (zip.Entries.TryGetValue(prefix + "byteorder", out ZipEntry? order) && !zip.Read(order).SequenceEqual("little"u8))
            throw Bad("the numbers are big-endian, expected little-endian");
        ChecksumOf(zip.Entries[prefix + "data.pkl"])?.Require();
        Top = ReadTop();
        var state = Top.GetValueOrDefault("state_dict") as PickleDictionary;
        foreach ((object key, object? value) in state ?? Top)
            if (key is string name && value is PickleTensor tensor)
                tensors.Add(name, Convert(name, tensor));
        if (tensors.Count == 0 && state == null)
            throw Bad($"found no tensors in the dictionary, its keys are {KeysOf(Top)}");
        foreach ((object key, object? value) in Top)
        {
            object? plain = state != null && value is PickleTensor tensor ? Number(tensor) : value;
            if (key is string name && Invariant(plain) is { } text)
                metadata.Add(name, text);
        }
    }

    public IReadOnlyDictionary<string, StoredTensor> Tensors => tensors;

    public IReadOnlyDictionary<string, string> Metadata => metadata;

    /// <summary>Everything that the file holds; objects of unknown classes as inert records.</summary>
    public PickleDictionary Top { get; }

    public void Dispose() => file.Dispose();

    private string Prefix()
    {
        const string Pickle = "data.pkl";
        string[] found = [.. zip.Entries.Keys.Where(
            name => name == Pickle || name.EndsWith("/" + Pickle, StringComparison.Ordinal))];
        if (found.Length != 1)
            throw Bad($"found {found.Length} entries data.pkl, expected one as torch.save writes it");
        return found[0][..^Pickle.Length];
    }

    private PickleDictionary ReadTop()
    {
        object? top;
        try
        {
            top = PickleReader.Read(zip.Read(zip.Entries[prefix + "data.pkl"]));
        }
        catch (MdmException e)
        {
            throw Bad(e.Message);
        }

        return top as PickleDictionary
            ?? throw Bad($"found {(top as PickleObject)?.Made ?? top?.GetType().Name ?? "None"}, "
                + "expected a dictionary of tensors");
    }

    private StoredTensor Convert(string name, PickleTensor tensor)
    {
        PickleStorage storage = tensor.Storage;
        DType type = TorchTypes.Find(tensor.TypeName ?? storage.TypeName)
            ?? throw Bad(name, $"found type {tensor.TypeName ?? storage.TypeName}, expected {TorchTypes.Known}");
        if (!zip.Entries.TryGetValue($"{prefix}data/{storage.Key}", out ZipEntry? entry))
            throw Bad(name, $"the entry data/{storage.Key} is missing");
        long elements = TorchTypes.IsUntyped(storage.TypeName) ? storage.Count / type.Size() : storage.Count;
        if (elements > entry.Length / type.Size())
            throw Bad(name, $"data/{storage.Key} has {entry.Length} bytes, expected {elements} elements of {type}");
        (long[] sizes, long[] strides) = (tensor.Sizes, tensor.Strides);
        string view = $"{StoredTensor.Describe(sizes)} with strides {StoredTensor.Describe(strides)} at {tensor.Offset}";
        if (sizes.Length != strides.Length || tensor.Offset < 0 || sizes.Any(n => n < 0) || strides.Any(n => n < 0))
            throw Bad(name, $"found a view {view}, which does not exist");
        if (sizes.Contains(0))
            return new StoredTensor(name, type, sizes, () => ReadOnlyMemory<byte>.Empty);
        Int128 last = tensor.Offset, count = 1;
        bool ordered = true;
        for (int i = sizes.Length - 1; i >= 0; i--)
        {
            ordered &= sizes[i] == 1 || strides[i] == count;
            last += (Int128)(sizes[i] - 1) * strides[i];
            count = Int128.Min(count * sizes[i], long.MaxValue);
        }

        if (last >= elements || count > Math.Max(elements, MostRepeated))
            throw Bad(name, $"found a view {view}, the storage has {elements} elements");
        long start = entry.Offset + tensor.Offset * type.Size();
        FileChecksum? checksum = ChecksumOf(entry);
        return new StoredTensor(name, type, sizes, ordered
            ? new FileSource(file, start, (long)count * type.Size(), checksum)
            : new StridedSource(file, start, type.Size(), sizes, strides, checksum));
    }

    /// <summary>The value of a tensor without dimensions and of a known type, null for any other.</summary>
    private object? Number(PickleTensor tensor)
    {
        if (tensor.Sizes.Length != 0 || TorchTypes.Find(tensor.TypeName ?? tensor.Storage.TypeName) == null)
            return null;
        StoredTensor number = Convert("number", tensor);
        return number.Type is DType.Int64 or DType.Int32 or DType.UInt8 ? number.ToIntegers()[0] : number.ToDoubles()[0];
    }

    /// <summary>One for all tensors that lie in an entry; null where the archive has no checksums.</summary>
    private FileChecksum? ChecksumOf(ZipEntry entry)
    {
        if (!hasChecksums)
            return null;
        if (!checksums.TryGetValue(entry.Name, out FileChecksum? checksum))
            checksums.Add(entry.Name, checksum = zip.ChecksumOf(entry));
        return checksum;
    }

    private static string? Invariant(object? value) => value switch
    {
        string text => text,
        bool flag => flag ? "true" : "false",
        long number => number.ToString(CultureInfo.InvariantCulture),
        double number when double.IsFinite(number) && Math.Abs(number) < 1e15 && Math.Truncate(number) == number =>
            number.ToString("0.0", CultureInfo.InvariantCulture),
        double number => number.ToString("R", CultureInfo.InvariantCulture),
        _ => null,
    };

    private static string KeysOf(PickleDictionary dictionary) =>
        string.Join(", ", dictionary.Keys.Take(8)
            .Select(key => key is string { Length: < 50 } name ? $"'{name}'" : key.GetType().Name))
        + (dictionary.Count > 8 ? ", .." : "");

    private MdmException Bad(string tensor, string what) => Bad($"tensor '{tensor}': {what}");

    private MdmException Bad(string what) => new($"{file.Path}: {what}");
}
