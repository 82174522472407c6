using Mdm.Kernels;
using Mdm.Tensors.Formats.Images;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class ImagePreparationTests
{
    private static Image Make(int width, int height, Func<int, int, int, int> value)
    {
        var image = new Image(width, height);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                for (int c = 0; c < 3; c++)
                    image.Rgb[3 * (y * width + x) + c] = (byte)value(x, y, c);
        return image;
    }

    [TestCase(64, 64, 64)]
    [TestCase(7, 5, 16)]
    [TestCase(500, 333, 32)]
    [TestCase(1, 5000, 16)]
    [TestCase(5000, 1, 3)]
    public void EvenPicturesStayEven(int width, int height, int size)
    {
        Image result = ImagePreparation.ResizeAndCrop(Make(width, height, (_, _, c) => 50 + 100 * c), size);
        Assert.That((result.Width, result.Height), Is.EqualTo((size, size)));
        for (int i = 0; i < result.Rgb.Length; i++)
            Assert.That(result.Rgb[i], Is.EqualTo(50 + 100 * (i % 3)));
    }

    [Test]
    public void SameSizeIsLeftAsItIs()
    {
        Image image = Make(24, 24, (x, y, c) => x * 7 + y * 13 + c);
        Assert.That(ImagePreparation.ResizeAndCrop(image, 24).Rgb, Is.EqualTo(image.Rgb));
    }

    [Test]
    public void FinePatternsDoNotAlias()
    {
        Image result = ImagePreparation.ResizeAndCrop(Make(256, 256, (x, y, _) => 255 * ((x + y) % 2)), 32);
        Assert.That(result.Rgb, Has.All.InRange((byte)126, (byte)129));
    }

    [Test]
    public void CropIsCentralOrRandom()
    {
        Image image = Make(40, 10, (x, y, c) => c == 0 ? 6 * x : 20 * y);
        Image centre = ImagePreparation.ResizeAndCrop(image, 10);
        Assert.That(centre.Rgb[0], Is.EqualTo(6 * 15));
        var asked = new List<int>();
        Image last = ImagePreparation.ResizeAndCrop(image, 10, n =>
        {
            asked.Add(n);
            return n - 1;
        });
        Assert.That(asked, Is.EqualTo(new[] { 31, 1 }));
        Assert.That(last.Rgb[0], Is.EqualTo(6 * 30));
        Assert.That(ImagePreparation.ResizeAndCrop(image, 4, smallerSide: 10).Rgb[0], Is.EqualTo(6 * 18));
        Assert.That(() => ImagePreparation.ResizeAndCrop(image, 0), Throws.TypeOf<MdmException>());
        Assert.That(() => ImagePreparation.ResizeAndCrop(image, 4, smallerSide: 3), Throws.TypeOf<MdmException>());
    }

    [Test]
    public void PillowResizesTheSame()
    {
        using var folder = new TemporaryFolder();
        var random = new Random(3);
        Image image = Make(83, 61, (_, _, _) => random.Next(256));
        folder.Write("source.png", PngWriter.Encode(image));
        Python.Run($$"""
            from PIL import Image
            folder = r'{{folder[""]}}'
            source = Image.open(f'{folder}/source.png')
            for size in (17, 61, 100):
                width = int(83 * size / 61 + 0.5)
                left = (width - size) // 2
                result = source.resize((width, size), Image.BILINEAR).crop((left, 0, left + size, size))
                open(f'{folder}/{size}.raw', 'wb').write(result.tobytes())
            """, "PIL");
        foreach (int size in new[] { 17, 61, 100 })
        {
            byte[] found = ImagePreparation.ResizeAndCrop(image, size).Rgb;
            byte[] expected = File.ReadAllBytes(folder[$"{size}.raw"]);
            Assert.That(found.Zip(expected, (a, b) => Math.Abs(a - b)).Max(), Is.LessThanOrEqualTo(1), $"size {size}");
        }
    }
}
