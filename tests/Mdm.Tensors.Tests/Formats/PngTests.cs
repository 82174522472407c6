using System.Buffers.Binary;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats.Images;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class PngTests
{
    private static Image Gradient(int width, int height)
    {
        var image = new Image(width, height);
        var random = new Random(width);
        for (int i = 0; i < image.Rgb.Length; i++)
            image.Rgb[i] = (byte)(i % 3 == 0 ? i / 7 : i % 3 == 1 ? random.Next(4) : 200 - i / 11);
        return image;
    }

    /// <summary>The fifteen pairs of colour type and depth that PNG has, each plain and interlaced.</summary>
    private static IEnumerable<TestCaseData> Kinds() =>
        from kind in new[] { (0, "1,2,4,8,16"), (2, "8,16"), (3, "1,2,4,8"), (4, "8,16"), (6, "8,16") }
        from depth in kind.Item2.Split(',')
        from interlaced in new[] { false, true }
        select new TestCaseData(kind.Item1, int.Parse(depth), interlaced);

    [TestCaseSource(nameof(Kinds))]
    public void EveryKindIsDecoded(int colorType, int depth, bool interlaced)
    {
        foreach ((int width, int height) in new[] { (1, 1), (3, 2), (5, 9), (17, 13) })
        {
            var random = new Random(colorType + 10 * depth);
            int[] values = [.. Enumerable.Range(0, width * height * 4).Select(_ => random.Next(1 << depth))];
            int Sample(int x, int y, int c) => values[4 * (y * width + x) + c];
            byte[] palette = new byte[3 << Math.Min(depth, 8)];
            random.NextBytes(palette);
            byte[] png = NaivePng.Encode(width, height, colorType, depth, interlaced, Sample, row => row % 5,
                colorType == 3 ? palette : null, colorType == 3 ? [0, 128] : null);
            Image image = ImageFile.Decode(png);
            Assert.That((image.Width, image.Height), Is.EqualTo((width, height)));
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++)
                    for (int c = 0; c < 3; c++)
                    {
                        int sample = Sample(x, y, colorType is 2 or 6 ? c : 0);
                        int expected = colorType == 3 ? palette[3 * sample + c]
                            : depth == 16 ? sample >> 8
                            : (int)Math.Round(255.0 * sample / ((1 << depth) - 1));
                        Assert.That(image.Rgb[3 * (y * width + x) + c], Is.EqualTo(expected), $"{width}x{height} {x},{y},{c}");
                    }
        }
    }

    [TestCase(1, 1)]
    [TestCase(31, 7)]
    [TestCase(64, 65)]
    public void WrittenPicturesComeBack(int width, int height)
    {
        Image image = Gradient(width, height);
        byte[] png = PngWriter.Encode(image, [new("prompt", "a red circle"), new("Ort", "東京 \u2581")]);
        Assert.That(ImageFile.Decode(png).Rgb, Is.EqualTo(image.Rgb));
        string text = Encoding.Latin1.GetString(png);
        Assert.That(text, Does.Contain("tEXtprompt\0a red circle"));
        Assert.That(text, Does.Contain("iTXtOrt\0\0\0\0\0" + Encoding.Latin1.GetString(Encoding.UTF8.GetBytes("東京"))));
    }

    [Test]
    public void FiltersMakeSmoothPicturesSmall()
    {
        var image = new Image(256, 256);
        for (int i = 0; i < image.Rgb.Length; i++)
            image.Rgb[i] = (byte)((i % 768 / 3 + i / 768) / (2 + i % 3));
        Assert.That(PngWriter.Encode(image), Has.Length.LessThan(image.Rgb.Length / 30));
    }

    [Test]
    public void AnimationHasItsChunks()
    {
        Image[] frames = [Gradient(9, 5), Gradient(9, 5), new Image(9, 5)];
        byte[] png = PngWriter.EncodeAnimation(frames, [40, 40, 2000], loops: 3);
        var chunks = new List<(string Type, byte[] Data)>();
        for (int at = 8; at < png.Length;)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(at));
            string type = Encoding.ASCII.GetString(png, at + 4, 4);
            byte[] data = png[(at + 8)..(at + 8 + length)];
            Assert.That(png[at..(at + 12 + length)], Is.EqualTo(NaivePng.Chunk(type, data)));
            chunks.Add((type, data));
            at += 12 + length;
        }

        Assert.That(chunks.Select(chunk => chunk.Type), Is.EqualTo(
            new[] { "IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND" }));
        Assert.That(chunks[1].Data, Is.EqualTo(new byte[] { 0, 0, 0, 3, 0, 0, 0, 3 }));
        int[] sequence = [.. chunks.Where(c => c.Type is "fcTL" or "fdAT")
            .Select(c => BinaryPrimitives.ReadInt32BigEndian(c.Data))];
        Assert.That(sequence, Is.EqualTo(new[] { 0, 1, 2, 3, 4 }));
        Assert.That(BinaryPrimitives.ReadUInt16BigEndian(chunks[6].Data.AsSpan(20)), Is.EqualTo(2000));
        Assert.That(ImageFile.Decode(png).Rgb, Is.EqualTo(frames[0].Rgb));
        byte[] last = [.. chunks[7].Data[4..]];
        byte[] single = [.. png[..8], .. NaivePng.Chunk("IHDR", chunks[0].Data), .. NaivePng.Chunk("IDAT", last),
            .. NaivePng.Chunk("IEND", [])];
        Assert.That(ImageFile.Decode(single).Rgb, Is.EqualTo(frames[2].Rgb));
        Assert.That(() => PngWriter.EncodeAnimation([], [1]), Throws.TypeOf<MdmException>());
        Assert.That(() => PngWriter.EncodeAnimation([frames[0], Gradient(2, 2)], [1]),
            Throws.TypeOf<MdmException>().With.Message.Contains("2 x 2"));
    }

    [Test]
    public void PillowReadsWhatIsWritten()
    {
        Image[] frames = [Gradient(33, 21), new Image(33, 21)];
        using var folder = new TemporaryFolder();
        folder.Write("one.png", PngWriter.Encode(frames[0], [new("prompt", "a b")]));
        folder.Write("two.png", PngWriter.EncodeAnimation(frames, [70]));
        string output = Python.Run($"""
            from PIL import Image
            import zlib
            one = Image.open(r'{folder["one.png"]}')
            print(one.text['prompt'], one.mode, one.size, zlib.adler32(one.tobytes()))
            two = Image.open(r'{folder["two.png"]}')
            print(two.n_frames, two.info['duration'], two.info['loop'])
            two.seek(1)
            print(max(two.convert('RGB').tobytes()))
            """, "PIL");
        (uint a, uint b) = (1, 0);
        foreach (byte value in frames[0].Rgb)
            (a, b) = ((a + value) % 65521, (b + a + value) % 65521);
        Assert.That(output.ReplaceLineEndings("\n"), Is.EqualTo($"a b RGB (33, 21) {(b << 16) | a}\n2 70.0 0\n0\n"));
    }

    [Test]
    public void BadPicturesAreRefused()
    {
        byte[] good = PngWriter.Encode(Gradient(8, 8));
        Assert.That(() => ImageFile.Decode([]), Throws.TypeOf<MdmException>().With.Message.Contains("empty"));
        Assert.That(() => ImageFile.Decode("GIF89a"u8.ToArray()),
            Throws.TypeOf<MdmException>().With.Message.Contains("47494638"));
        Assert.That(() => ImageFile.Decode(good[..^20]), Throws.TypeOf<MdmException>().With.Message.Contains("cut short"));
        byte[] flipped = [.. good];
        flipped[60] ^= 1;
        Assert.That(() => ImageFile.Decode(flipped), Throws.TypeOf<MdmException>().With.Message.Contains("checksum"));

        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, 11000);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), 11000);
        (header[8], header[9]) = (8, 2);
        byte[] Bomb() => [.. good[..8], .. NaivePng.Chunk("IHDR", header), .. NaivePng.Chunk("IDAT", new byte[50]),
            .. NaivePng.Chunk("IEND", [])];
        Assert.That(() => ImageFile.Decode(Bomb()), Throws.TypeOf<MdmException>().With.Message.Contains("too few"));
        BinaryPrimitives.WriteInt32BigEndian(header, int.MaxValue);
        Assert.That(() => ImageFile.Decode(Bomb()), Throws.TypeOf<MdmException>().With.Message.Contains("2147483647 x 11000"));
    }

    [Test]
    public void DamagedPicturesAreReadOrRefused()
    {
        byte[] good = PngWriter.Encode(Gradient(40, 30), [new("prompt", "a b")]);
        Assert.That(Damage.Inflict(good, bytes => ImageFile.Decode(bytes)), Is.GreaterThan(300));
        // With the checksums mended the damage reaches the decompressor and the filters.
        byte[] paletted = NaivePng.Encode(20, 20, 3, 4, true, (x, y, _) => (x * y) % 16, row => row % 5, new byte[48]);
        Damage.Inflict(paletted, bytes => ImageFile.Decode(MendChecksums(bytes)));
        Damage.Inflict(good, bytes => ImageFile.Decode(MendChecksums(bytes)));
    }

    private static byte[] MendChecksums(byte[] bytes)
    {
        for (int at = 8; at + 12 <= bytes.Length;)
        {
            uint length = BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(at));
            if (length > bytes.Length - at - 12)
                break;
            string type = Encoding.Latin1.GetString(bytes, at + 4, 4);
            if (type.All(char.IsAscii))
                NaivePng.Chunk(type, bytes[(at + 8)..(at + 8 + (int)length)]).CopyTo(bytes, at);
            at += 12 + (int)length;
        }

        return bytes;
    }
}
