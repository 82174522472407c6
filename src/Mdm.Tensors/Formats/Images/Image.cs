using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>A picture in memory: rows from the top, three bytes (red, green, blue) a pixel, no padding.</summary>
/// <param name="Width">Pixels.</param>
/// <param name="Height">Pixels.</param>
/// <param name="Rgb">3 * Width * Height bytes.</param>
public sealed record Image(int Width, int Height, byte[] Rgb)
{
    /// <summary>Larger pictures are refused before anything is allocated: 2^27 pixels are 400 MB.</summary>
    public const long MaximumPixels = 1 << 27;

    public Image(int width, int height)
        : this(width, height, new byte[ByteCount(width, height)])
    {
    }

    /// <summary>Bytes of a picture of this size.</summary>
    /// <exception cref="MdmException">A side is not positive, or the picture is too large.</exception>
    public static int ByteCount(long width, long height)
    {
        if (width < 1 || height < 1 || width > MaximumPixels || height > MaximumPixels || width * height > MaximumPixels)
            throw new MdmException($"found a picture of {width} x {height} pixels, expected 1 to {MaximumPixels} pixels");
        return (int)(3 * width * height);
    }
}
