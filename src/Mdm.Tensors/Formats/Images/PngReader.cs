using System.Buffers.Binary;
using System.IO.Compression;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>Decodes PNG of every colour type, depth and interlacing to RGB. Alpha and tRNS are dropped (not blended), 16-bit
/// samples keep their upper byte, gamma and colour profiles are ignored, of an animation the default image is taken.</summary>
public static class PngReader
{
    /// <summary>What deflate can at most expand one byte to.</summary>
    private const long LargestExpansion = 1032;

    internal static ReadOnlySpan<byte> Signature => [0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10];

    /// <exception cref="MdmException">The bytes are no PNG, damaged, cut short, or larger than a picture may be.</exception>
    public static Image Decode(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.StartsWith(Signature))
            throw new MdmException("PNG: the signature is missing");
        PngHeader? header = null;
        byte[]? palette = null;
        using var compressed = new MemoryStream();
        int at = Signature.Length;
        for (bool ended = false; !ended;)
        {
            ReadOnlySpan<byte> data = Chunk(bytes, ref at, out string type);
            if (header == null && type != "IHDR")
                throw new MdmException($"PNG: the first chunk is {Printable(type)}, expected IHDR");
            switch (type)
            {
                case "IHDR" when header == null:
                    header = PngHeader.Parse(data);
                    break;
                case "PLTE" when data.Length is > 0 and <= 768 && data.Length % 3 == 0:
                    palette = data.ToArray();
                    break;
                case "IDAT":
                    compressed.Write(data);
                    break;
                case "IEND":
                    ended = true;
                    break;
                case "IHDR" or "PLTE":
                    throw new MdmException($"PNG: found a second or damaged {type} chunk of {data.Length} bytes");
                default:
                    if (char.IsAsciiLetterUpper(type[0]))
                        throw new MdmException($"PNG: found an unknown critical chunk {Printable(type)}");
                    break;
            }
        }

        if (header!.Value.ColorType == PngHeader.Palette && palette == null)
            throw new MdmException("PNG: the palette is missing");
        return Decode(header.Value, palette, compressed);
    }

    /// <summary>The data of the next chunk. Checksums of chunks that a decoder may skip are not looked at.</summary>
    private static ReadOnlySpan<byte> Chunk(ReadOnlySpan<byte> bytes, ref int at, out string type)
    {
        const int Frame = 12;
        if (bytes.Length - at < Frame)
            throw new MdmException("PNG: the file is cut short");
        uint length = BinaryPrimitives.ReadUInt32BigEndian(bytes[at..]);
        if (length > (uint)(bytes.Length - at - Frame))
            throw new MdmException(
                $"PNG: the file is cut short: a chunk has {length} bytes, {bytes.Length - at - Frame} are left");
        ReadOnlySpan<byte> body = bytes.Slice(at + 4, 4 + (int)length);
        uint expected = BinaryPrimitives.ReadUInt32BigEndian(bytes[(at + 8 + (int)length)..]);
        type = string.Create(4, body[..4].ToArray(), (chars, name) =>
        {
            for (int i = 0; i < chars.Length; i++)
                chars[i] = (char)name[i];
        });
        bool critical = (body[0] & 0x20) == 0;
        if (critical && Crc32.Append(0, body) != expected)
            throw new MdmException($"PNG: the checksum of chunk {Printable(type)} is wrong: the file is damaged");
        at += Frame + (int)length;
        return body[4..];
    }

    private static string Printable(string type) =>
        type.All(char.IsAsciiLetter) ? type : $"0x{string.Concat(type.Select(c => ((int)c).ToString("x2")))}";

    private static Image Decode(PngHeader header, byte[]? palette, MemoryStream compressed)
    {
        long expected = header.Passes()
            .Sum(pass => (long)pass.Rows(header.Height) * (1 + header.RowBytes(pass.Columns(header.Width))));
        if (compressed.Length * LargestExpansion < expected)
            throw new MdmException($"PNG: found {compressed.Length} compressed bytes, too few for {header.Width} x "
                + $"{header.Height} pixels");
        var image = new Image(header.Width, header.Height);
        compressed.Position = 0;
        try
        {
            using var inflated = new ZLibStream(compressed, CompressionMode.Decompress);
            foreach (PngPass pass in header.Passes())
                DecodePass(inflated, header, pass, palette, image);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new MdmException("PNG: the compressed data is damaged or cut short", e);
        }

        return image;
    }

    private static void DecodePass(Stream inflated, PngHeader header, PngPass pass, byte[]? palette, Image image)
    {
        int columns = pass.Columns(header.Width), rows = pass.Rows(header.Height);
        int filterDistance = Math.Max(1, header.BitsPerPixel / 8);
        byte[] above = new byte[1 + header.RowBytes(columns)];
        byte[] row = new byte[above.Length];
        byte[] pixels = new byte[3 * columns];
        for (int y = 0; y < rows; y++)
        {
            inflated.ReadExactly(row);
            PngFilter.Undo(row[0], row.AsSpan(1), above.AsSpan(1), filterDistance);
            PngPixels.ToRgb(header, row.AsSpan(1), palette, pixels);
            Span<byte> line = image.Rgb.AsSpan(3 * header.Width * (pass.Top + y * pass.StepY), 3 * header.Width);
            if (pass.StepX == 1)
                pixels.CopyTo(line[(3 * pass.Left)..]);
            else
                for (int x = 0; x < columns; x++)
                    pixels.AsSpan(3 * x, 3).CopyTo(line[(3 * (pass.Left + x * pass.StepX))..]);
            (row, above) = (above, row);
        }
    }
}
