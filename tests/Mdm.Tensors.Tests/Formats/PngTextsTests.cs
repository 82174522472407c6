using System.IO.Compression;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats.Images;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

/// <summary>Texts in PNG files, also those that another program has written or packed.</summary>
public sealed class PngTextsTests
{
    private const string Latin = "{\"prompt\":\"café\"}", Greek = "{\"prompt\":\"αβγ\"}";

    /// <summary>The chunks that Pillow 9.4 writes with zip=True, and ImageMagick 6 for a long text.</summary>
    [TestCase("zTXt", "7265636970650000789cab562a28cacf2d2851b2524a4e4c7ba9545b4dba0000724f19bd", Latin, 4)]
    [TestCase("iTXt", "7265636970650001000000789cab562a28cacf2d2851b2523ab7f1dca6739b956aabc9150200338b2371", Greek, 4)]
    [TestCase("zTXt", "72656369706500002891ab562a28cacf2d2851b2524a4e4c7ba9545b3d2a302a30f80400248e0168", Latin, 40)]
    public void RecordedChunksAreRead(string type, string hex, string text, int times)
    {
        IReadOnlyDictionary<string, string> texts = PngTexts.Read(Png(NaivePng.Chunk(type, Convert.FromHexString(hex))));
        Assert.That(texts, Is.EqualTo(new Dictionary<string, string> { ["recipe"] = string.Concat(Enumerable.Repeat(text, times)) }));
    }

    [Test]
    public void EveryKindOfTextIsRead()
    {
        // A Latin-1 text that begins like a byte order mark of UTF-16 is a text all the same.
        byte[][] chunks =
        [
            NaivePng.Chunk("tEXt", [.. Ascii("plain"), 0, .. Encoding.Latin1.GetBytes("þÿ é")]),
            NaivePng.Chunk("zTXt", [.. Ascii("packed"), 0, 0, .. Packed(Encoding.Latin1.GetBytes("þÿ é"))]),
            NaivePng.Chunk("iTXt", [.. Ascii("wide"), 0, 0, 0, .. Ascii("de"), 0, .. Utf8("Wört"), 0, .. Utf8("✓ 🦆")]),
            NaivePng.Chunk("iTXt", [.. Ascii("both"), 0, 1, 0, .. Ascii("de"), 0, 0, .. Packed(Utf8("✓ 🦆"))]),
            NaivePng.Chunk("zTXt", [.. Ascii("nothing"), 0, 0, .. Convert.FromHexString("789c030000000001")]),
            NaivePng.Chunk("tEXt", [.. Ascii("plain"), 0, .. Ascii("a second one")]),
        ];
        Assert.That(PngTexts.Read(Png(chunks)), Is.EquivalentTo(new Dictionary<string, string>
        {
            ["plain"] = "þÿ é",
            ["packed"] = "þÿ é",
            ["wide"] = "✓ 🦆",
            ["both"] = "✓ 🦆",
            ["nothing"] = "",
        }));
    }

    [Test]
    public void TextsBehindThePixelsAreRead()
    {
        byte[] png = PngWriter.Encode(new Image(3, 2));
        int end = png.Length - 12;
        Assert.That(PngTexts.Read([.. png[..end], .. NaivePng.Chunk("tEXt", [.. Ascii("late"), 0, .. Ascii("x")]), .. png[end..]]),
            Is.EqualTo(new Dictionary<string, string> { ["late"] = "x" }));
    }

    [Test]
    public void DamagedEntriesAreLeftOut()
    {
        byte[] packed = Packed(Ascii(new string('x', 1000)));
        byte[] flipped = NaivePng.Chunk("tEXt", [.. Ascii("flipped"), 0, .. Ascii("text")]);
        flipped[^6] ^= 1;
        byte[] changed = [.. packed];
        changed[^1] ^= 1;
        byte[][] chunks =
        [
            flipped,
            NaivePng.Chunk("zTXt", [.. Ascii("checksum"), 0, 0, .. changed]),
            NaivePng.Chunk("zTXt", [.. Ascii("method"), 0, 1, .. packed]),
            NaivePng.Chunk("zTXt", [.. Ascii("empty"), 0]),
            NaivePng.Chunk("zTXt", [.. Ascii("not packed"), 0, 0, .. Ascii("plain text")]),
            NaivePng.Chunk("iTXt", [.. Ascii("method"), 0, 1, 7, 0, 0, .. packed]),
            NaivePng.Chunk("iTXt", [.. Ascii("no language"), 0, 0, 0, .. Ascii("de")]),
            NaivePng.Chunk("iTXt", [.. Ascii("short"), 0, 0]),
            NaivePng.Chunk("tEXt", Ascii("no end")),
            NaivePng.Chunk("tEXt", [0, .. Ascii("no keyword")]),
            NaivePng.Chunk("zTXt", [.. Ascii("bomb"), 0, 0, .. Packed(new byte[1 << 24])]),
            NaivePng.Chunk("tEXt", [.. Ascii("good"), 0, .. Ascii("text")]),
        ];
        Assert.That(PngTexts.Read(Png(chunks)), Is.EqualTo(new Dictionary<string, string> { ["good"] = "text" }));
    }

    [Test]
    public void DamagedFilesAreReadOrRefused()
    {
        byte[] png = Png(NaivePng.Chunk("zTXt", [.. Ascii("a"), 0, 0, .. Packed(Ascii("text"))]),
            NaivePng.Chunk("iTXt", [.. Ascii("b"), 0, 1, 0, 0, 0, .. Packed(Ascii("text"))]));
        int refused = Damage.Inflict(png, bytes => PngTexts.Read(bytes), flips: 100);
        Assert.That(refused, Is.GreaterThan(20));
        Assert.That(() => PngTexts.Read(Ascii("GIF89a")), Throws.TypeOf<MdmException>().With.Message.Contains("signature"));
    }

    [Test]
    public void WhatPillowHasPackedIsRead()
    {
        using var folder = new TemporaryFolder();
        folder.Write("one.png", PngWriter.Encode(new Image(3, 2), [new("recipe", Latin), new("wide", Greek)]));
        Python.Run($"""
            from PIL import Image, PngImagePlugin
            one = Image.open(r'{folder["one.png"]}')
            kept = PngImagePlugin.PngInfo()
            for key, text in one.text.items():
                kept.add_text(key, text, zip=True)
            one.save(r'{folder["two.png"]}', pnginfo=kept)
            """, "PIL");
        byte[] two = File.ReadAllBytes(folder["two.png"]);
        Assert.That(two.AsSpan().IndexOf("zTXtrecipe"u8), Is.GreaterThan(0));
        Assert.That(two.AsSpan().IndexOf("iTXtwide\0\u0001"u8), Is.GreaterThan(0));
        Assert.That(PngTexts.Read(two), Is.EqualTo(new Dictionary<string, string> { ["recipe"] = Latin, ["wide"] = Greek }));
    }

    private static byte[] Png(params byte[][] chunks)
    {
        byte[] png = PngWriter.Encode(new Image(3, 2));
        // Behind the signature and the header.
        return [.. png[..33], .. chunks.SelectMany(chunk => chunk), .. png[33..]];
    }

    private static byte[] Ascii(string text) => Encoding.ASCII.GetBytes(text);

    private static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Packed(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var stream = new ZLibStream(packed, CompressionLevel.Optimal))
            stream.Write(bytes);
        return packed.ToArray();
    }
}
