using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Mdm.Tensors.Tests.Formats;

/// <summary>Writes PNG of any colour type, depth and interlacing, row by row and bit by bit, for the tests.</summary>
internal static class NaivePng
{
    private static readonly int[][] Adam7 =
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

    /// <param name="samples">Value of channel c at (x, y).</param>
    /// <param name="filter">Filter of row n of a pass.</param>
    public static byte[] Encode(
        int width, int height, int colorType, int depth, bool interlaced, Func<int, int, int, int> samples,
        Func<int, int> filter, byte[]? palette = null, byte[]? transparency = null)
    {
        int channels = colorType switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 };
        using var raw = new MemoryStream();
        foreach (int[] pass in interlaced ? Adam7 : [[0, 0, 1, 1]])
        {
            List<byte[]> rows = [];
            for (int y = pass[1]; y < height; y += pass[3])
            {
                var bits = new StringBuilder();
                for (int x = pass[0]; x < width; x += pass[2])
                    for (int c = 0; c < channels; c++)
                        bits.Append(Convert.ToString(samples(x, y, c), 2).PadLeft(depth, '0'));
                while (bits.Length % 8 != 0)
                    bits.Append('0');
                byte[] row = [.. Enumerable.Range(0, bits.Length / 8).Select(i => Convert.ToByte(bits.ToString(8 * i, 8), 2))];
                if (row.Length > 0)
                    rows.Add(row);
            }

            int distance = Math.Max(1, channels * depth / 8);
            for (int r = 0; r < rows.Count; r++)
                raw.Write(Filter(rows[r], r == 0 ? new byte[rows[r].Length] : rows[r - 1], filter(r), distance));
        }

        using var compressed = new MemoryStream();
        using (var deflate = new ZLibStream(compressed, CompressionLevel.Fastest, leaveOpen: true))
            deflate.Write(raw.ToArray());
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9], header[12]) = ((byte)depth, (byte)colorType, (byte)(interlaced ? 1 : 0));
        byte[] data = compressed.ToArray();
        return [0x89, .. "PNG\r\n\u001a\n"u8, .. Chunk("IHDR", header),
            .. palette == null ? [] : Chunk("PLTE", palette), .. transparency == null ? [] : Chunk("tRNS", transparency),
            .. Chunk("IDAT", data[..(data.Length / 2)]), .. Chunk("IDAT", data[(data.Length / 2)..]), .. Chunk("IEND", [])];
    }

    public static byte[] Chunk(string type, byte[] data)
    {
        byte[] body = [.. Encoding.ASCII.GetBytes(type), .. data];
        uint crc = uint.MaxValue;
        foreach (byte b in body)
        {
            crc ^= b;
            for (int k = 0; k < 8; k++)
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xEDB88320 : crc >> 1;
        }

        byte[] number = new byte[8];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        BinaryPrimitives.WriteUInt32BigEndian(number.AsSpan(4), ~crc);
        return [.. number[..4], .. body, .. number[4..]];
    }

    private static byte[] Filter(byte[] row, byte[] above, int filter, int distance)
    {
        byte[] result = new byte[row.Length + 1];
        result[0] = (byte)filter;
        for (int i = 0; i < row.Length; i++)
        {
            int a = i < distance ? 0 : row[i - distance], b = above[i], c = i < distance ? 0 : above[i - distance];
            int p = a + b - c, pa = Math.Abs(p - a), pb = Math.Abs(p - b), pc = Math.Abs(p - c);
            int paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
            int prediction = filter switch { 1 => a, 2 => b, 3 => (a + b) / 2, 4 => paeth, _ => 0 };
            result[i + 1] = (byte)(row[i] - prediction);
        }

        return result;
    }
}
