using System.Globalization;
using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.PyTorch;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class PthWriteTests
{
    private TemporaryFolder folder = null!;

    private static readonly Dictionary<string, string> Metadata = new()
    {
        ["batch_num"] = "1200",
        ["loss"] = "0.125",
        ["exp_avg_loss"] = "1.0",
        ["images"] = "5000000000",
        ["config"] = "unet_config: ü",
    };

    [SetUp]
    public void MakeFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    private static StoredTensor[] Tensors()
    {
        float[] values = [.. Enumerable.Range(0, 210).Select(i => MathF.Sin(i))];
        return
        [
            StoredTensor.FromFloats("z.weight", [5, 7, 2, 3], values),
            StoredTensor.FromFloats("a.bias", [210], values),
            StoredTensor.FromFloats("scalar", [], [3.5f]),
            new("empty", [0, 4], () => ReadOnlyMemory<float>.Empty),
            new("ids", DType.Int64, [2], () => MemoryMarshal.AsBytes<long>(new long[] { -1, 1L << 40 }).ToArray()),
            new("half", DType.Float16, [1, 2], () => MemoryMarshal.AsBytes<Half>(new[] { (Half)0.5f, (Half)(-2f) }).ToArray()),
            new("brain", DType.BFloat16, [1], () => new byte[] { 0x80, 0x3f }),
        ];
    }

    [TestCase(false)]
    [TestCase(true)]
    public void WrittenCheckpointsComeBack(bool zip64)
    {
        using (FileStream stream = File.Create(folder["a.pth"]))
            PthWriter.Write(stream, Tensors(), Metadata, zip64);
        using ITensorFile file = TensorFile.Open(folder["a.pth"]);
        Assert.That(file.Tensors.Keys, Is.EqualTo(Tensors().Select(tensor => tensor.Name)));
        foreach (StoredTensor tensor in Tensors())
        {
            Assert.That(file.Tensors[tensor.Name].Bytes.SequenceEqual(tensor.Bytes), tensor.Name);
            Assert.That(file.Tensors[tensor.Name].Shape, Is.EqualTo(tensor.Shape));
            Assert.That(file.Tensors[tensor.Name].Type, Is.EqualTo(tensor.Type));
        }

        Assert.That(file.Metadata, Is.EquivalentTo(Metadata));
    }

    [Test]
    public void SameTensorsGiveTheSameBytesAlignedTo64()
    {
        TensorFile.Save(folder["a.pth"], Tensors(), Metadata);
        TensorFile.Save(folder["b.pth"], Tensors(), Metadata);
        Assert.That(File.ReadAllBytes(folder["a.pth"]), Is.EqualTo(File.ReadAllBytes(folder["b.pth"])));
        using MappedFile mapped = MappedFile.Open(folder["a.pth"]);
        Assert.That(new ZipIndex(mapped).Entries.Values.Select(entry => entry.Offset % 64), Has.All.Zero);
    }

    [Test]
    public void PyTorchOpensWhatIsWritten()
    {
        foreach (bool zip64 in new[] { false, true })
            using (FileStream stream = File.Create(folder[zip64 ? "zip64.pth" : "plain.pth"]))
                PthWriter.Write(stream, Tensors(), Metadata, zip64);
        WriteBeyondFourGigabytes("far.pth");
        string output = Python.Run($"""
            import torch, zipfile, zlib
            for path in [r'{folder["plain.pth"]}', r'{folder["zip64.pth"]}', r'{folder["far.pth"]}']:
                assert zipfile.ZipFile(path).testzip() is None
                loaded = torch.load(path, weights_only=True)
                state = loaded.pop('state_dict')
                print(type(state).__name__)
                for name, t in state.items():
                    assert t.is_contiguous()
                    raw = t.view(torch.int16) if t.dtype == torch.bfloat16 else t
                    print(name, t.dtype, tuple(t.shape), zlib.crc32(raw.numpy().tobytes()))
                for name, value in loaded.items():
                    print(name, repr(value))
            """, "torch");
        Assert.That(output.ReplaceLineEndings("\n"), Is.EqualTo(Expected() + Expected() + Expected()));
    }

    private static string Expected()
    {
        var lines = new List<string> { "OrderedDict" };
        var types = new Dictionary<DType, string>
        {
            [DType.Float32] = "float32",
            [DType.Int64] = "int64",
            [DType.Float16] = "float16",
            [DType.BFloat16] = "bfloat16",
        };
        foreach (StoredTensor tensor in Tensors())
        {
            string shape = string.Join(", ", tensor.Shape) + (tensor.Shape.Length == 1 ? "," : "");
            uint crc = Crc32.Append(0, tensor.Bytes);
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"{tensor.Name} torch.{types[tensor.Type]} ({shape}) {crc}"));
        }

        lines.AddRange(["batch_num 1200", "loss tensor(0.1250, dtype=torch.float64)",
            "exp_avg_loss tensor(1., dtype=torch.float64)", "images 5000000000", "config 'unet_config: ü'", ""]);
        return string.Join('\n', lines);
    }

    [Test]
    public void ChecksumIsThatOfZip() => Assert.That(Crc32.Append(Crc32.Append(0, "1234"u8), "56789"u8),
        Is.EqualTo(0xCBF43926u));

    [Test]
    public void ChecksumIsTheSameInAllItsForms()
    {
        byte[] bytes = new byte[1000];
        new Random(3).NextBytes(bytes);
        for (int length = 0; length < 300; length++)
            for (int start = 0; start < 3; start++)
                Assert.That(Crc32.Append((uint)length * 0x9E3779B9u, bytes.AsSpan(start, length)),
                    Is.EqualTo(Crc32.AppendByTables((uint)length * 0x9E3779B9u, bytes.AsSpan(start, length))), $"{length}");
        Assert.That(Crc32.Append(7, bytes), Is.EqualTo(Crc32.AppendByTables(7, bytes)));
    }

    [Test]
    public void EntriesBeyondFourGigabytesAreFound()
    {
        WriteBeyondFourGigabytes("far.pth");
        using ITensorFile file = TensorFile.Open(folder["far.pth"]);
        Assert.That(file.Tensors["a.bias"].ToFloats(), Is.EqualTo(Tensors()[1].ToFloats()));
    }

    /// <summary>An archive after a hole of 5 GB that takes no room on the disk.</summary>
    private void WriteBeyondFourGigabytes(string name)
    {
        using FileStream stream = File.Create(folder[name]);
        stream.Write("PK\u0003\u0004"u8);
        stream.Position = 5L << 30;
        PthWriter.Write(stream, Tensors(), Metadata);
    }
}
