using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>The texts in a PNG file: tEXt, zTXt and iTXt chunks.</summary>
public static class PngTexts
{
    /// <summary>More than a text that somebody wrote: what is longer is left out.</summary>
    private const int MostCharacters = 1 << 22;

    /// <summary>Texts by keyword; of several with one keyword the first. Damaged entries are left out.</summary>
    /// <exception cref="MdmException">The bytes are no PNG, or cut short.</exception>
    public static IReadOnlyDictionary<string, string> Read(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.StartsWith(PngReader.Signature))
            throw new MdmException("PNG: the signature is missing");
        var texts = new Dictionary<string, string>();
        for (int at = PngReader.Signature.Length; ;)
        {
            if (bytes.Length - at < 12 || BinaryPrimitives.ReadUInt32BigEndian(bytes[at..]) > (uint)(bytes.Length - at - 12))
                throw new MdmException("PNG: the file is cut short");
            int length = BinaryPrimitives.ReadInt32BigEndian(bytes[at..]);
            ReadOnlySpan<byte> name = bytes.Slice(at + 4, 4), data = bytes.Slice(at + 8, length);
            if (name.SequenceEqual("IEND"u8))
                return texts;
            int end = data.IndexOf((byte)0);
            if (end > 0 && Text(name, data[(end + 1)..]) is { } text && IsWhole(bytes.Slice(at + 4, length + 8)))
                texts.TryAdd(Encoding.Latin1.GetString(data[..end]), text);
            at += length + 12;
        }
    }

    // Name and data with their checksum.
    private static bool IsWhole(ReadOnlySpan<byte> chunk) =>
        Crc32.Append(0, chunk[..^4]) == BinaryPrimitives.ReadUInt32BigEndian(chunk[^4..]);

    // What follows the keyword and its zero.
    private static string? Text(ReadOnlySpan<byte> name, ReadOnlySpan<byte> data)
    {
        if (name.SequenceEqual("tEXt"u8))
            return Encoding.Latin1.GetString(data);
        if (name.SequenceEqual("zTXt"u8))
            return data.Length > 1 && data[0] == 0 ? Inflated(data[1..], Encoding.Latin1) : null;
        if (!name.SequenceEqual("iTXt"u8) || data.Length < 4)
            return null;
        // Compressed or not, the method, the language and its zero, the translated keyword and its zero.
        bool compressed = data[0] != 0;
        if (compressed && data[1] != 0)
            return null;
        ReadOnlySpan<byte> rest = data[2..];
        for (int i = 0; i < 2; i++)
        {
            int end = rest.IndexOf((byte)0);
            if (end < 0)
                return null;
            rest = rest[(end + 1)..];
        }

        return compressed ? Inflated(rest, Encoding.UTF8) : Encoding.UTF8.GetString(rest);
    }

    private static string? Inflated(ReadOnlySpan<byte> data, Encoding encoding)
    {
        try
        {
            using var stream = new ZLibStream(new MemoryStream(data.ToArray()), CompressionMode.Decompress);
            using var reader = new StreamReader(stream, encoding, detectEncodingFromByteOrderMarks: false);
            char[] characters = new char[MostCharacters];
            int count = reader.ReadBlock(characters);
            return count < characters.Length ? new string(characters, 0, count) : null;
        }
        catch (InvalidDataException)
        {
            return null;
        }
    }
}
