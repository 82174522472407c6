using System.IO.Compression;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.PyTorch;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class PthDamageTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void MakeFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    private void Read(byte[] bytes)
    {
        using ITensorFile file = TensorFile.Open(folder.Write("t.pth", bytes));
        foreach (StoredTensor tensor in file.Tensors.Values)
            if (tensor.Count < 1 << 20)
                _ = tensor.Bytes.Length;
    }

    private static byte[] Zip(params (string Name, byte[] Bytes)[] entries)
    {
        using var stream = new MemoryStream();
        var writer = new ZipWriter(stream);
        foreach ((string name, byte[] bytes) in entries)
            writer.Add(name, bytes);
        writer.Finish();
        return stream.ToArray();
    }

    private static byte[] Pickle(string latin1) => Encoding.Latin1.GetBytes(latin1);

    /// <summary>A checkpoint of one tensor "a" with this view of a storage.</summary>
    private static byte[] View(string storage, string count, string offset, string sizes, string strides) => Zip(
        ("x/data.pkl", Pickle("\u0080\u0002}X\u0001\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\u0007\0\0\0storagectorch\n"
            + $"{storage}\nX\u0001\0\0\00X\u0003\0\0\0cpu{count}tQ{offset}{sizes}{strides}\u0089}}tRs.")),
        ("x/data/0", new byte[16]));

    private static IEnumerable<TestCaseData> BadFiles()
    {
        byte[] pickle = Pickle("\u0080\u0002}.");
        yield return Case("folder that leads out", Zip(("x/../../etc/passwd", [1]), ("x/data.pkl", pickle)),
            "'x/../../etc/passwd'");
        yield return Case("absolute name", Zip(("/x/data.pkl", pickle)), "expected a path inside the archive");
        yield return Case("drive name", Zip(("c:x/data.pkl", pickle)), "expected a path inside the archive");
        yield return Case("name twice", Zip(("x/data.pkl", pickle), ("x/data.pkl", pickle)), "occurs twice");
        yield return Case("no pickle", Zip(("x/version", pickle)), "found 0 entries data.pkl");
        yield return Case("two pickles", Zip(("x/data.pkl", pickle), ("y/data.pkl", pickle)), "found 2 entries data.pkl");
        yield return Case("no entries", Zip(), "found 0 entries");
        yield return Case("no tensors", Zip(("x/data.pkl", pickle)), "found no tensors");
        yield return Case("big-endian", Zip(("x/data.pkl", pickle), ("x/byteorder", Pickle("big"))), "big-endian");
        yield return Case("not a dictionary", Zip(("x/data.pkl", Pickle("\u0080\u0002N."))),
            "found None, expected a dictionary");
        yield return Case("empty pickle", Zip(("x/data.pkl", [])), "1 bytes are needed, 0 are left");
        yield return Case("protocol 0", Zip(("x/data.pkl", Pickle("I1\n."))), "instruction 0x49");
        yield return Case("protocol 9", Zip(("x/data.pkl", Pickle("\u0080\u0009}."))), "found protocol 9");
        yield return Case("value missing", Zip(("x/data.pkl", Pickle("\u0080\u0002."))), "a value is missing");
        yield return Case("mark missing", Zip(("x/data.pkl", Pickle("\u0080\u0002}u."))), "a mark is missing");
        yield return Case("items for number", Zip(("x/data.pkl", Pickle("\u0080\u0002K\u0001NNs."))), "expected a dictionary");
        yield return Case("long string", Zip(("x/data.pkl", Pickle("\u0080\u0002X\u00ff\u00ff\u00ff\u00ff}."))),
            "4294967295 bytes");
        yield return Case("wrong persistent id", Zip(("x/data.pkl", Pickle("\u0080\u0002NQ."))), "persistent id");
        yield return Case("view too large", View("FloatStorage", "K\u0004", "K\u0001", "K\u0004\u0085", "K\u0001\u0085"),
            "tensor 'a': found a view [4] with strides [1] at 1, the storage has 4 elements");
        yield return Case("storage too short", View("FloatStorage", "K\u0005", "K\0", "K\u0005\u0085", "K\u0001\u0085"),
            "data/0 has 16 bytes, expected 5 elements");
        yield return Case("endless repetition",
            View("FloatStorage", "K\u0004", "K\0", "\u008a\u0005\0\0\0\0\u0001\u0085", "K\0\u0085"),
            "found a view [4294967296]");
        yield return Case("negative extent",
            View("FloatStorage", "K\u0004", "K\0", "J\u00ff\u00ff\u00ff\u00ff\u0085", "K\u0001\u0085"),
            "which does not exist");
        yield return Case("rank", View("FloatStorage", "K\u0004", "K\0", "K\u0004\u0085", ")"), "which does not exist");
        yield return Case("unknown type", View("ComplexFloatStorage", "K\u0002", "K\0", "K\u0002\u0085", "K\u0001\u0085"),
            "found type ComplexFloatStorage");
        yield return Case("no storage", View("FloatStorage", "K\u0004", "K\0", "N", "K\u0001\u0085"), "not made of");
        yield return Case("bare pickle", Pickle("\u0080\u0004\u0095\0\0\0\0\0\0\0\0}."), "bare Python pickle");
        yield return Case("web page", "\n<!DOCTYPE html>\n<html>404"u8.ToArray(), "is a web page, expected a checkpoint");
        yield return Case("web page with a mark", [0xEF, 0xBB, 0xBF, .. "<html><head>"u8], "is a web page");
        yield return Case("note of git-lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n"u8.ToArray(),
            "is a note of Git LFS in place of the file; 'git lfs pull'");
        yield return Case("message", "{\"error\":\"Repository not found\"}"u8.ToArray(),
            "is a text that begins with '{\"error\":\"Rep");
        yield return Case("half a download", Zip(("x/data.pkl", pickle), ("x/data/0", new byte[500]))[..400],
            "cut short after 400 bytes (half a download?)");
        yield return Case("old format", Pickle("\u0080\u0002\u008a\u000al\u00fc\u009cF\u00f9 j\u00a8P\u0019."),
            "before version 1.6");
    }

    private static TestCaseData Case(string name, byte[] bytes, string expected) =>
        new TestCaseData(bytes, expected).SetArgDisplayNames(name);

    [TestCaseSource(nameof(BadFiles))]
    public void BadFilesAreRefused(byte[] bytes, string expected) => Assert.That(() => Read(bytes),
        Throws.TypeOf<MdmException>().With.Message.Contains(expected).And.Message.Contains("t.pth")
            .And.Message.Not.Contains("\n"));

    [Test]
    public void ValidViewIsRead()
    {
        byte[] good = View("FloatStorage", "K\u0004", "K\u0001", "K\u0003\u0085", "K\u0001\u0085");
        using ITensorFile file = TensorFile.Open(folder.Write("t.pth", good));
        Assert.That(file.Tensors["a"].ToFloats(), Is.EqualTo(new float[3]));
    }

    [Test]
    public void CompressedArchivesAreRefused()
    {
        using var stream = new MemoryStream();
        using (var zip = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        using (Stream entry = zip.CreateEntry("x/data.pkl", CompressionLevel.Optimal).Open())
            entry.Write(new byte[500]);
        Assert.That(() => Read(stream.ToArray()), Throws.TypeOf<MdmException>()
            .With.Message.Contains("is compressed (method 8)"));
    }

    [Test]
    public void FlippedWeightIsNoticedByItsChecksum()
    {
        TensorFile.Save(folder["a.pth"], [StoredTensor.FromFloats("w", [4000], new float[4000])]);
        byte[] bytes = File.ReadAllBytes(folder["a.pth"]);
        bytes[bytes.Length / 2] ^= 4;
        Assert.That(() => Read(bytes), Throws.TypeOf<MdmException>().With.Message.Contains("checksum of 'archive/data/0'"));
    }

    [Test]
    public void DamagedFilesAreReadOrRefused()
    {
        TensorFile.Save(folder["a.pth"], [StoredTensor.FromFloats("w", [2, 3], new float[6])],
            new Dictionary<string, string> { ["batch_num"] = "3" });
        Assert.That(Damage.Inflict(File.ReadAllBytes(folder["a.pth"]), Read, flips: 500), Is.GreaterThan(100));
    }

    [Test]
    public void DamagedPicklesAreReadOrRefused()
    {
        byte[] golden = File.ReadAllBytes(GoldenFiles.Require("unet_b.pth"));
        byte[] pickle;
        Dictionary<string, byte[]> data = [];
        using (MappedFile mapped = MappedFile.Open(folder.Write("golden.pth", golden)))
        {
            var zip = new ZipIndex(mapped);
            pickle = zip.Read(zip.Entries["unet_b/data.pkl"]).ToArray();
            foreach (ZipEntry entry in zip.Entries.Values.Where(entry => entry.Name.Contains("/data/")))
                data.Add(entry.Name, zip.Read(entry).ToArray());
        }

        // Checksums are of the damaged pickle, so that the damage reaches the interpreter.
        (string, byte[])[] storages = [.. data.Select(pair => (pair.Key, pair.Value))];
        int refused = Damage.Inflict(
            pickle, bytes => Read(Zip([("unet_b/data.pkl", bytes), .. storages])), flips: 250, cuts: 40);
        Assert.That(refused, Is.GreaterThan(60));
    }
}
