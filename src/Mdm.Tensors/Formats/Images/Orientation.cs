using System.Buffers.Binary;

namespace Mdm.Tensors.Formats.Images;

/// <summary>The EXIF tag by which a camera says how it was held.</summary>
internal static class Orientation
{
    private const int Upright = 1;
    private const int OrientationTag = 0x0112;
    private const int ShortType = 3;

    /// <summary>The orientation (1 to 8) that a JPEG states; 1 where it states none or the tag is damaged.</summary>
    public static int Find(ReadOnlySpan<byte> jpeg)
    {
        const byte StartOfScan = 0xda, App1 = 0xe1;
        int at = 2;
        while (at + 4 <= jpeg.Length && jpeg[at] == 0xff && jpeg[at + 1] != StartOfScan)
        {
            if (jpeg[at + 1] == 0xff)
            {
                // Markers may be preceded by any number of fill bytes.
                at++;
                continue;
            }

            int length = BinaryPrimitives.ReadUInt16BigEndian(jpeg[(at + 2)..]);
            if (length < 2 || at + 2 + length > jpeg.Length)
                return Upright;
            ReadOnlySpan<byte> segment = jpeg.Slice(at + 4, length - 2);
            if (jpeg[at + 1] == App1 && segment.StartsWith("Exif\0\0"u8))
                return FromTiff(segment[6..]);
            at += 2 + length;
        }

        return Upright;
    }

    /// <summary>Turns and mirrors a picture so that it stands upright.</summary>
    public static Image Apply(Image image, int orientation)
    {
        if (orientation == Upright)
            return image;
        (int w, int h) = (image.Width, image.Height);
        // Where the stored picture's first pixel and its steps lie, seen from the upright picture.
        (int first, int stepX, int stepY) = orientation switch
        {
            2 => (w - 1, -1, w),
            3 => (w * h - 1, -1, -w),
            4 => (w * (h - 1), 1, -w),
            5 => (0, w, 1),
            6 => (w * (h - 1), -w, 1),
            7 => (w * h - 1, -w, -1),
            _ => (w - 1, w, -1),
        };
        var result = orientation < 5 ? new Image(w, h) : new Image(h, w);
        int to = 0;
        for (int y = 0; y < result.Height; y++)
            for (int x = 0; x < result.Width; x++, to += 3)
            {
                int from = 3 * (first + x * stepX + y * stepY);
                (result.Rgb[to], result.Rgb[to + 1], result.Rgb[to + 2]) =
                    (image.Rgb[from], image.Rgb[from + 1], image.Rgb[from + 2]);
            }

        return result;
    }

    private static int FromTiff(ReadOnlySpan<byte> tiff)
    {
        const int EntryBytes = 12;
        if (tiff.Length < 8)
            return Upright;
        bool little = tiff[0] == 'I';
        uint directory = U32(tiff[4..], little);
        if (directory > (uint)tiff.Length - 2)
            return Upright;
        ReadOnlySpan<byte> rest = tiff[(int)directory..];
        int count = U16(rest, little);
        for (rest = rest[2..]; count > 0 && rest.Length >= EntryBytes; count--, rest = rest[EntryBytes..])
            if (U16(rest, little) == OrientationTag && U16(rest[2..], little) == ShortType)
                return U16(rest[8..], little) is >= 1 and <= 8 and int value ? value : Upright;
        return Upright;
    }

    private static int U16(ReadOnlySpan<byte> bytes, bool little) => little
        ? BinaryPrimitives.ReadUInt16LittleEndian(bytes)
        : BinaryPrimitives.ReadUInt16BigEndian(bytes);

    private static uint U32(ReadOnlySpan<byte> bytes, bool little) => little
        ? BinaryPrimitives.ReadUInt32LittleEndian(bytes)
        : BinaryPrimitives.ReadUInt32BigEndian(bytes);
}
