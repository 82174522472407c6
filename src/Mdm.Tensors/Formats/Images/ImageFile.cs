using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>Decodes pictures of any known format.</summary>
public static class ImageFile
{
    /// <summary>Decodes a PNG or JPEG, told by its first bytes. Transparency is dropped, not blended; EXIF rotation is
    /// applied.</summary>
    /// <exception cref="MdmException">The format is unknown, the picture is damaged, or libjpeg-turbo is missing.</exception>
    public static Image Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length == 0)
            throw new MdmException("the picture is empty");
        if (bytes.StartsWith(PngReader.Signature))
            return PngReader.Decode(bytes);
        if (bytes.StartsWith(JpegReader.Signature))
            return JpegReader.Decode(bytes);
        throw new MdmException(
            $"found a picture starting with {Convert.ToHexString(bytes[..Math.Min(4, bytes.Length)])}, expected PNG or JPEG");
    }

    /// <summary>Reads and decodes a file.</summary>
    /// <exception cref="MdmException">As <see cref="Decode"/>, or the file cannot be read; the message names the
    /// file.</exception>
    public static Image Read(string path)
    {
        try
        {
            return Decode(File.ReadAllBytes(path));
        }
        catch (MdmException e)
        {
            throw new MdmException($"{path}: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }
}
