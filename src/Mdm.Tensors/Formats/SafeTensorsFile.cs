using System.Buffers.Binary;
using System.Text.Json;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>Reads safetensors: 8 bytes header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data,
/// which the tensors cover without gap or overlap.</summary>
internal sealed class SafeTensorsFile : ITensorFile
{
    /// <summary>As in the reference implementation; a longer header is damage, not data.</summary>
    private const long LongestHeader = 100_000_000;

    private const int LengthBytes = 8;
    private readonly MappedFile file;
    private readonly OrderedDictionary<string, StoredTensor> tensors = [];
    private readonly OrderedDictionary<string, string> metadata = [];
    private readonly long dataStart;

    /// <summary>Reads the header; the result owns the file.</summary>
    public SafeTensorsFile(MappedFile file)
    {
        this.file = file;
        ReadOnlySpan<byte> header = Header();
        dataStart = LengthBytes + header.Length;
        using JsonDocument json = Parse(header);
        try
        {
            ReadHeader(json.RootElement);
        }
        catch (InvalidOperationException e)
        {
            // The parser finds broken UTF-8 and lone surrogates only when a string is asked for.
            throw new MdmException($"{file.Path}: the header has text that is not Unicode ({e.Message})", e);
        }
    }

    public IReadOnlyDictionary<string, StoredTensor> Tensors => tensors;

    public IReadOnlyDictionary<string, string> Metadata => metadata;

    public void Dispose() => file.Dispose();

    internal static string TypeName(DType type) => type switch
    {
        DType.Float32 => "F32",
        DType.BFloat16 => "BF16",
        DType.Float16 => "F16",
        DType.Float64 => "F64",
        DType.Int64 => "I64",
        DType.Int32 => "I32",
        _ => "U8",
    };

    private static DType? TypeOf(string name) => name switch
    {
        "F32" => DType.Float32,
        "BF16" => DType.BFloat16,
        "F16" => DType.Float16,
        "F64" => DType.Float64,
        "I64" => DType.Int64,
        "I32" => DType.Int32,
        "U8" or "BOOL" => DType.UInt8,
        _ => null,
    };

    private ReadOnlySpan<byte> Header()
    {
        if (file.Length < LengthBytes + 2)
            throw new MdmException($"{file.Path}: found {file.Length} bytes, too short for a safetensors file");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(file.Slice(0, LengthBytes));
        long room = Math.Min(file.Length - LengthBytes, LongestHeader);
        if (length > (ulong)room)
            throw new MdmException(
                $"{file.Path} is no safetensors file or is cut short: the header says {length} bytes, expected at most {room}");
        return file.Slice(LengthBytes, (int)length);
    }

    private JsonDocument Parse(ReadOnlySpan<byte> header)
    {
        try
        {
            return JsonDocument.Parse(header.ToArray(), new JsonDocumentOptions { MaxDepth = 8 });
        }
        catch (JsonException e)
        {
            throw new MdmException($"{file.Path}: the safetensors header is not valid JSON: {e.Message}", e);
        }
    }

    private void ReadHeader(JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object)
            throw new MdmException($"{file.Path}: the safetensors header is {root.ValueKind}, expected an object");
        var ranges = new List<(long Begin, long End, string Name)>();
        bool hasMetadata = false;
        foreach (JsonProperty property in root.EnumerateObject())
        {
            if (property.Name != "__metadata__")
            {
                ranges.Add(ReadTensor(property.Name, property.Value));
                continue;
            }

            if (hasMetadata)
                throw new MdmException($"{file.Path}: __metadata__ occurs twice");
            hasMetadata = true;
            ReadMetadata(property.Value);
        }

        CheckCoverage(ranges);
    }

    private void ReadMetadata(JsonElement element)
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw new MdmException($"{file.Path}: __metadata__ is {element.ValueKind}, expected an object");
        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (property.Value.ValueKind != JsonValueKind.String)
                throw new MdmException(
                    $"{file.Path}: __metadata__ '{property.Name}' is {property.Value.ValueKind}, expected a string");
            if (!metadata.TryAdd(property.Name, property.Value.GetString()!))
                throw new MdmException($"{file.Path}: __metadata__ '{property.Name}' occurs twice");
        }
    }

    private (long Begin, long End, string Name) ReadTensor(string name, JsonElement element)
    {
        if (tensors.ContainsKey(name))
            throw Bad(name, "the name occurs twice");
        string typeName = Member(name, element, "dtype", JsonValueKind.String).GetString()!;
        DType type = TypeOf(typeName)
            ?? throw Bad(name, $"found dtype '{typeName}', expected F32, BF16, F16, F64, I64, I32, U8 or BOOL");
        long[] shape = Integers(name, element, "shape");
        long[] offsets = Integers(name, element, "data_offsets");
        long room = file.Length - dataStart;
        if (offsets.Length != 2 || offsets[0] > offsets[1] || offsets[1] > room)
            throw Bad(name, $"found data_offsets {StoredTensor.Describe(offsets)}, expected two ascending ones up to {room}"
                + " (is the file cut short?)");
        Int128 bytes = type.Size();
        foreach (long extent in shape)
            bytes = Int128.Min(bytes * extent, long.MaxValue);
        if (shape.Contains(0))
            bytes = 0;
        if (bytes != offsets[1] - offsets[0])
            throw Bad(name, $"found {offsets[1] - offsets[0]} bytes, expected {bytes} for {typeName} "
                + StoredTensor.Describe(shape));
        var source = new FileSource(file, dataStart + offsets[0], offsets[1] - offsets[0]);
        tensors.Add(name, new StoredTensor(name, type, shape, source));
        return (offsets[0], offsets[1], name);
    }

    private JsonElement Member(string tensor, JsonElement element, string member, JsonValueKind kind)
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw Bad(tensor, $"found {element.ValueKind}, expected an object");
        if (!element.TryGetProperty(member, out JsonElement value))
            throw Bad(tensor, $"{member} is missing");
        if (value.ValueKind != kind)
            throw Bad(tensor, $"{member} is {value.ValueKind}, expected {kind}");
        return value;
    }

    private long[] Integers(string tensor, JsonElement element, string member)
    {
        JsonElement list = Member(tensor, element, member, JsonValueKind.Array);
        if (list.GetArrayLength() > 64)
            throw Bad(tensor, $"{member} has {list.GetArrayLength()} entries, expected at most 64");
        var values = new List<long>();
        foreach (JsonElement item in list.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out long value) || value < 0)
                throw Bad(tensor, $"{member}: found {item}, expected a non-negative integer");
            values.Add(value);
        }

        return [.. values];
    }

    private void CheckCoverage(List<(long Begin, long End, string Name)> ranges)
    {
        ranges.Sort();
        long covered = 0;
        foreach ((long begin, long end, string name) in ranges)
        {
            if (begin != covered)
                throw Bad(name, $"the data starts at {begin}, expected {covered}: tensors overlap or leave a gap");
            covered = end;
        }

        if (covered != file.Length - dataStart)
            throw new MdmException(
                $"{file.Path}: found {file.Length - dataStart} bytes of data, expected {covered} by the header");
    }

    private MdmException Bad(string tensor, string what) => new($"{file.Path}: tensor '{tensor}': {what}");
}
