using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>From samples of a PNG row to RGB.</summary>
internal static class PngPixels
{
    /// <summary>Converts rgb.Length / 3 pixels of an unfiltered row.</summary>
    /// <exception cref="MdmException">A pixel names an entry that the palette does not have.</exception>
    public static void ToRgb(PngHeader header, ReadOnlySpan<byte> row, byte[]? palette, Span<byte> rgb)
    {
        int sampleBytes = header.BitDepth / 8;
        switch (header.ColorType)
        {
            case PngHeader.Palette:
                for (int x = 0, to = 0; to < rgb.Length; x++, to += 3)
                {
                    int entry = 3 * Sample(row, x, header.BitDepth);
                    if (entry >= palette!.Length)
                        throw new MdmException($"PNG: found colour {entry / 3}, the palette has {palette.Length / 3}");
                    palette.AsSpan(entry, 3).CopyTo(rgb[to..]);
                }

                break;
            case PngHeader.Grey when sampleBytes == 0:
                int scale = 255 / ((1 << header.BitDepth) - 1);
                for (int x = 0, to = 0; to < rgb.Length; x++, to += 3)
                    rgb.Slice(to, 3).Fill((byte)(scale * Sample(row, x, header.BitDepth)));
                break;
            case PngHeader.Grey or PngHeader.GreyAlpha:
                int step = sampleBytes * header.Channels;
                for (int from = 0, to = 0; to < rgb.Length; from += step, to += 3)
                    rgb.Slice(to, 3).Fill(row[from]);
                break;
            case PngHeader.Rgb when sampleBytes == 1:
                row[..rgb.Length].CopyTo(rgb);
                break;
            default:
                int pixel = sampleBytes * header.Channels;
                for (int from = 0, to = 0; to < rgb.Length; from += pixel, to += 3)
                    (rgb[to], rgb[to + 1], rgb[to + 2]) = (row[from], row[from + sampleBytes], row[from + 2 * sampleBytes]);
                break;
        }
    }

    /// <summary>Sample x of a row of 1, 2, 4 or 8-bit samples, the first in the upper bits.</summary>
    private static int Sample(ReadOnlySpan<byte> row, int x, int bits)
    {
        int bit = x * bits;
        return (row[bit >> 3] >> (8 - bits - (bit & 7))) & ((1 << bits) - 1);
    }
}
