using System.Buffers.Binary;
using System.Text.Json;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>Writes safetensors: the header is padded with blanks so that the data starts at a multiple of 8.</summary>
internal static class SafeTensorsWriter
{
    /// <summary>Writes the tensors in the given order, wider types first so that every tensor is aligned to its
    /// elements.</summary>
    public static void Write(
        Stream stream, IReadOnlyCollection<StoredTensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        StoredTensor[] ordered = [.. tensors.OrderByDescending(tensor => tensor.Type.Size())];
        byte[] header = Header(ordered, metadata);
        int padding = -header.Length & 7;
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length + padding);
        stream.Write(length);
        stream.Write(header);
        stream.Write("       "u8[..padding]);
        foreach (StoredTensor tensor in ordered)
            tensor.Visit(stream.Write);
    }

    private static byte[] Header(StoredTensor[] tensors, IReadOnlyDictionary<string, string> metadata)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            if (metadata.Count > 0)
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata)
                    json.WriteString(key, value);
                json.WriteEndObject();
            }

            long offset = 0;
            foreach (StoredTensor tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", SafeTensorsFile.TypeName(tensor.Type));
                json.WriteStartArray("shape");
                foreach (long extent in tensor.Shape)
                    json.WriteNumberValue(extent);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.ByteCount);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return buffer.ToArray();
    }
}
