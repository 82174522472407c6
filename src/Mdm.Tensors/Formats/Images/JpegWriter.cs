using System.Runtime.InteropServices;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>Writes JPEG through libjpeg-turbo.</summary>
public static unsafe class JpegWriter
{
    /// <summary>The picture as the bytes of a JPEG file, chroma not subsampled.</summary>
    /// <param name="image">The picture.</param>
    /// <param name="quality">1 (smallest) to 100 (best).</param>
    /// <exception cref="MdmException">libjpeg-turbo is missing, or the picture is too large for JPEG (65535 pixels a
    /// side).</exception>
    public static byte[] Encode(Image image, int quality)
    {
        const int NoSubsampling = 0;
        TurboJpeg.Require();
        nint handle = TurboJpeg.InitCompress();
        nint buffer = 0;
        try
        {
            CULong size = default;
            fixed (byte* pixels = image.Rgb)
                if (TurboJpeg.Compress(handle, pixels, image.Width, 3 * image.Width, image.Height, TurboJpeg.Rgb, ref buffer,
                        ref size, NoSubsampling, quality, 0) != 0)
                    throw new MdmException(
                        $"JPEG: cannot write {image.Width} x {image.Height} pixels: {TurboJpeg.Error(handle)}");
            return new ReadOnlySpan<byte>((void*)buffer, checked((int)size.Value)).ToArray();
        }
        finally
        {
            TurboJpeg.Free(buffer);
            _ = TurboJpeg.Destroy(handle);
        }
    }
}
