using System.Runtime.InteropServices;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>Decodes JPEG (baseline and progressive; grey, YCbCr, RGB, CMYK, YCCK) to upright RGB through
/// libjpeg-turbo.</summary>
public static unsafe class JpegReader
{
    internal static ReadOnlySpan<byte> Signature => [0xff, 0xd8, 0xff];

    /// <summary>Whether libjpeg-turbo is installed.</summary>
    public static bool IsAvailable => TurboJpeg.IsAvailable;

    /// <exception cref="MdmException">libjpeg-turbo is missing, or the picture is damaged, cut short or too large.</exception>
    public static Image Decode(ReadOnlySpan<byte> bytes)
    {
        TurboJpeg.Require();
        nint handle = TurboJpeg.InitDecompress();
        if (handle == 0)
            throw new MdmException("JPEG: libjpeg-turbo has no memory for a decoder");
        try
        {
            fixed (byte* start = bytes)
                return Orientation.Apply(Decode(handle, start, bytes.Length), Orientation.Find(bytes));
        }
        finally
        {
            _ = TurboJpeg.Destroy(handle);
        }
    }

    private static Image Decode(nint handle, byte* bytes, int length)
    {
        var size = new CULong((nuint)length);
        if (TurboJpeg.DecompressHeader(handle, bytes, size, out int width, out int height, out _, out int space) != 0
            && IsFatal(TurboJpeg.Error(handle)))
            throw Bad(handle);
        var image = new Image(width, height);
        bool cmyk = space is TurboJpeg.FileIsCmyk or TurboJpeg.FileIsYcck;
        int channels = cmyk ? 4 : 3;
        if ((long)width * height * channels > Array.MaxLength)
            throw new MdmException($"JPEG: found {width} x {height} pixels of four colours, which is too large");
        byte[] pixels = cmyk ? new byte[width * height * channels] : image.Rgb;
        fixed (byte* to = pixels)
            if (TurboJpeg.Decompress(handle, bytes, size, to, width, width * channels, height,
                    cmyk ? TurboJpeg.Cmyk : TurboJpeg.Rgb, TurboJpeg.LimitScans) != 0
                && IsFatal(TurboJpeg.Error(handle)))
                throw Bad(handle);
        if (cmyk)
            FromInvertedCmyk(pixels, image.Rgb);
        return image;
    }

    /// <summary>Bytes between the segments do no harm to the picture, and cameras leave them; anything else does.</summary>
    private static bool IsFatal(string message) => !message.Contains("extraneous bytes before marker", StringComparison.Ordinal);

    /// <summary>Four-colour JPEGs come from Adobe programs, which store 255 - ink; then red = 255 (1 - C) (1 - K).</summary>
    private static void FromInvertedCmyk(byte[] cmyk, byte[] rgb)
    {
        for (int from = 0, to = 0; to < rgb.Length; from += 4, to += 3)
            for (int c = 0; c < 3; c++)
                rgb[to + c] = (byte)((cmyk[from + c] * cmyk[from + 3] + 127) / 255);
    }

    private static MdmException Bad(nint handle) =>
        new($"JPEG: the picture is damaged: {TurboJpeg.Error(handle).ReplaceLineEndings(" ")}");
}
