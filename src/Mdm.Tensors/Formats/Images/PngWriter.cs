using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>Writes RGB pictures as PNG and sequences of them as animated PNG.</summary>
public static class PngWriter
{
    private const int BytesPerPixel = 3;

    /// <summary>The picture as the bytes of a PNG file.</summary>
    /// <param name="image">The picture.</param>
    /// <param name="texts">Entries such as a prompt or a seed: keyword of 1 to 79 Latin-1 characters, any text.</param>
    public static byte[] Encode(Image image, IEnumerable<KeyValuePair<string, string>>? texts = null)
    {
        using var stream = new MemoryStream();
        Start(stream, image, texts);
        WriteChunk(stream, "IDAT", Compress(image));
        WriteChunk(stream, "IEND", []);
        return stream.ToArray();
    }

    /// <summary>An animated PNG of equally large frames; viewers that know no animation show the first one.</summary>
    /// <param name="frames">At least one frame.</param>
    /// <param name="delay">How long each frame is shown, in thousandths of a second; for a last frame that stays longer give
    /// as many delays as frames, else one.</param>
    /// <param name="loops">How often it plays, 0 for ever.</param>
    /// <param name="texts">As for a single picture.</param>
    /// <exception cref="MdmException">There is no frame, or frames differ in size.</exception>
    public static byte[] EncodeAnimation(
        IReadOnlyList<Image> frames, IReadOnlyList<int> delay, int loops = 0,
        IEnumerable<KeyValuePair<string, string>>? texts = null)
    {
        if (frames.Count == 0)
            throw new MdmException("an animation needs at least one frame");
        if (delay.Count != 1 && delay.Count != frames.Count)
            throw new MdmException($"found {delay.Count} delays for {frames.Count} frames, expected one or one each");
        using var stream = new MemoryStream();
        Start(stream, frames[0], texts);
        WriteChunk(stream, "acTL", Integers(frames.Count, loops));
        int sequence = 0;
        for (int i = 0; i < frames.Count; i++)
        {
            if ((frames[i].Width, frames[i].Height) != (frames[0].Width, frames[0].Height))
                throw new MdmException($"frame {i} has {frames[i].Width} x {frames[i].Height} pixels, expected "
                    + $"{frames[0].Width} x {frames[0].Height} as the first");
            WriteChunk(stream, "fcTL", FrameControl(frames[i], sequence++, delay[Math.Min(i, delay.Count - 1)]));
            byte[] data = Compress(frames[i]);
            if (i == 0)
                WriteChunk(stream, "IDAT", data);
            else
                WriteChunk(stream, "fdAT", [.. Integers(sequence++), .. data]);
        }

        WriteChunk(stream, "IEND", []);
        return stream.ToArray();
    }

    private static void Start(Stream stream, Image image, IEnumerable<KeyValuePair<string, string>>? texts)
    {
        stream.Write(PngReader.Signature);
        WriteChunk(stream, "IHDR", [.. Integers(image.Width, image.Height), 8, PngHeader.Rgb, 0, 0, 0]);
        foreach ((string key, string text) in texts ?? [])
        {
            if (key.Length is 0 or > 79 || key.Any(c => c is < ' ' or > '~'))
                throw new MdmException($"PNG: found text keyword '{key}', expected 1 to 79 printable ASCII characters");
            bool latin = text.All(c => c is '\n' or (>= ' ' and <= '~') or (>= '\u00a0' and <= '\u00ff'));
            // tEXt is Latin-1 only; iTXt (not compressed, no language) holds everything else as UTF-8.
            if (latin)
                WriteChunk(stream, "tEXt", Encoding.Latin1.GetBytes($"{key}\0{text}"));
            else
                WriteChunk(stream, "iTXt", Encoding.UTF8.GetBytes($"{key}\0\0\0\0\0{text.Replace("\0", "")}"));
        }
    }

    /// <summary>Filters each row by the kind whose differences are smallest in sum, and compresses.</summary>
    private static byte[] Compress(Image image)
    {
        int rowBytes = BytesPerPixel * image.Width;
        using var stream = new MemoryStream();
        using (var deflate = new ZLibStream(stream, CompressionLevel.Optimal, leaveOpen: true))
        {
            ReadOnlySpan<byte> above = new byte[rowBytes];
            byte[] candidate = new byte[1 + rowBytes];
            byte[] best = new byte[1 + rowBytes];
            for (int y = 0; y < image.Height; y++)
            {
                ReadOnlySpan<byte> row = image.Rgb.AsSpan(y * rowBytes, rowBytes);
                long bestSum = long.MaxValue;
                for (int filter = 0; filter < PngFilter.Count; filter++)
                {
                    candidate[0] = (byte)filter;
                    PngFilter.Apply(filter, row, above, BytesPerPixel, candidate.AsSpan(1));
                    long sum = 0;
                    foreach (byte difference in candidate.AsSpan(1))
                        sum += Math.Abs((int)(sbyte)difference);
                    if (sum < bestSum)
                        (bestSum, best, candidate) = (sum, candidate, best);
                }

                deflate.Write(best);
                above = row;
            }
        }

        return stream.ToArray();
    }

    private static byte[] FrameControl(Image frame, int sequence, int milliseconds)
    {
        byte[] delay = new byte[4];
        BinaryPrimitives.WriteUInt16BigEndian(delay, (ushort)Math.Clamp(milliseconds, 0, ushort.MaxValue));
        BinaryPrimitives.WriteUInt16BigEndian(delay.AsSpan(2), 1000);
        // Offset 0, 0; the frame replaces the whole picture (dispose 0, blend 0).
        return [.. Integers(sequence, frame.Width, frame.Height, 0, 0), .. delay, 0, 0];
    }

    private static byte[] Integers(params ReadOnlySpan<int> values)
    {
        byte[] bytes = new byte[4 * values.Length];
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4 * i), values[i]);
        return bytes;
    }

    private static void WriteChunk(Stream stream, string type, ReadOnlySpan<byte> data)
    {
        Span<byte> name = stackalloc byte[4];
        Encoding.ASCII.GetBytes(type, name);
        stream.Write(Integers(data.Length));
        stream.Write(name);
        stream.Write(data);
        stream.Write(Integers((int)Crc32.Append(Crc32.Append(0, name), data)));
    }
}
