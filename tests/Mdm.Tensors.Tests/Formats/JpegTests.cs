using System.Buffers.Binary;
using Mdm.Kernels;
using Mdm.Tensors.Formats.Images;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class JpegTests
{
    [OneTimeSetUp]
    public void NeedLibrary()
    {
        if (!JpegReader.IsAvailable)
            Assert.Ignore("libjpeg-turbo (libturbojpeg0) is not installed");
    }

    private static Image Smooth(int width, int height)
    {
        var image = new Image(width, height);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                for (int c = 0; c < 3; c++)
                    image.Rgb[3 * (y * width + x) + c] = (byte)(127 + 120 * Math.Sin((x * (c + 1) + y * 2) / 25.0));
        return image;
    }

    private static double LargestDifference(byte[] a, byte[] b) => a.Zip(b, (p, q) => Math.Abs(p - q)).Max();

    [TestCase(1, 1)]
    [TestCase(37, 23)]
    public void PicturesComeBackNearly(int width, int height)
    {
        Image image = Smooth(width, height);
        Image found = ImageFile.Decode(JpegWriter.Encode(image, 98));
        Assert.That((found.Width, found.Height), Is.EqualTo((width, height)));
        Assert.That(LargestDifference(found.Rgb, image.Rgb), Is.LessThan(10));
    }

    /// <summary>An EXIF segment whose only tag is the orientation.</summary>
    private static byte[] Exif(int orientation, bool little)
    {
        byte[] tiff = new byte[26];
        (little ? "II*\0"u8 : "MM\0*"u8).CopyTo(tiff);
        void Put(int at, int value, int size)
        {
            for (int i = 0; i < size; i++)
                tiff[at + (little ? i : size - 1 - i)] = (byte)(value >> (8 * i));
        }

        Put(4, 8, 4);
        Put(8, 1, 2);
        Put(10, 0x0112, 2);
        Put(12, 3, 2);
        Put(14, 1, 4);
        Put(18, orientation, 2);
        byte[] length = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(length, (ushort)(2 + 6 + tiff.Length));
        return [0xff, 0xe1, .. length, .. "Exif\0\0"u8, .. tiff];
    }

    [Test]
    public void CameraOrientationIsUndone([Range(1, 8)] int orientation, [Values] bool little)
    {
        const int Width = 5, Height = 3;
        byte[] jpeg = JpegWriter.Encode(Smooth(Width, Height), 95);
        Image stored = ImageFile.Decode(jpeg);
        Image found = ImageFile.Decode([.. jpeg[..2], .. Exif(orientation, little), .. jpeg[2..]]);
        // From the table of the EXIF standard: which side of the scene the stored first row and first column are.
        (string row, string column) = orientation switch
        {
            1 => ("top", "left"),
            2 => ("top", "right"),
            3 => ("bottom", "right"),
            4 => ("bottom", "left"),
            5 => ("left", "top"),
            6 => ("right", "top"),
            7 => ("right", "bottom"),
            _ => ("left", "bottom"),
        };
        bool turned = row is "left" or "right";
        Assert.That((found.Width, found.Height), Is.EqualTo(turned ? (Height, Width) : (Width, Height)));
        for (int sy = 0; sy < Height; sy++)
            for (int sx = 0; sx < Width; sx++)
            {
                int Place(string side, int distance) =>
                    side is "right" ? found.Width - 1 - distance : side is "bottom" ? found.Height - 1 - distance : distance;
                int x = turned ? Place(row, sy) : Place(column, sx);
                int y = turned ? Place(column, sx) : Place(row, sy);
                Assert.That(found.Rgb.AsSpan(3 * (y * found.Width + x), 3).ToArray(),
                    Is.EqualTo(stored.Rgb.AsSpan(3 * (sy * Width + sx), 3).ToArray()), $"stored {sx},{sy}");
            }
    }

    [Test]
    public void PillowSeesTheSame()
    {
        using var folder = new TemporaryFolder();
        folder.Write("source.png", PngWriter.Encode(Smooth(45, 31)));
        Python.Run($$"""
            from PIL import Image, ImageOps
            folder = r'{{folder[""]}}'
            source = Image.open(f'{folder}/source.png')
            exif = Image.Exif()
            exif[0x0112] = 6
            for name, image, options in [
                    ('grey', source.convert('L'), {}), ('progressive', source, dict(progressive=True, quality=90)),
                    ('subsampled', source, dict(subsampling=2, quality=95)), ('cmyk', source.convert('CMYK'), dict(quality=95)),
                    ('turned', source, dict(exif=exif, quality=95))]:
                image.save(f'{folder}/{name}.jpg', **options)
                upright = ImageOps.exif_transpose(Image.open(f'{folder}/{name}.jpg')).convert('RGB')
                open(f'{folder}/{name}.raw', 'wb').write(upright.tobytes())
            """, "PIL");
        foreach (string name in new[] { "grey", "progressive", "subsampled", "cmyk", "turned" })
        {
            byte[] expected = File.ReadAllBytes(folder[name + ".raw"]);
            Image found = ImageFile.Read(folder[name + ".jpg"]);
            Assert.That(found.Width, Is.EqualTo(name == "turned" ? 31 : 45), name);
            Assert.That(found.Rgb, Has.Length.EqualTo(expected.Length), name);
            Assert.That(LargestDifference(found.Rgb, expected), Is.LessThanOrEqualTo(3), name);
        }
    }

    [Test]
    public void DamagedPicturesAreReadOrRefused()
    {
        byte[] jpeg = JpegWriter.Encode(Smooth(64, 48), 90);
        byte[] good = [.. jpeg[..2], .. Exif(6, true), .. jpeg[2..]];
        Assert.That(Damage.Inflict(good, bytes => ImageFile.Decode(bytes)), Is.GreaterThan(60));
        Assert.That(() => ImageFile.Decode(good[..^200]), Throws.TypeOf<MdmException>().With.Message.Contains("JPEG"));
        Assert.That(ImageFile.Decode([.. good, 1, 2, 3]).Rgb, Has.Length.EqualTo(3 * 64 * 48));
    }
}
