using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class SafeTensorsTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void MakeFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    private static byte[] File(string header, int dataBytes, long? length = null)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] bytes = new byte[8 + json.Length + dataBytes];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, length ?? json.Length);
        json.CopyTo(bytes, 8);
        for (int i = 0; i < dataBytes; i++)
            bytes[8 + json.Length + i] = (byte)i;
        return bytes;
    }

    private static string Tensor(string name, string type, string shape, string offsets) =>
        $$$"""{"{{{name}}}":{"dtype":"{{{type}}}","shape":{{{shape}}},"data_offsets":{{{offsets}}}}}""";

    private void Read(byte[] bytes)
    {
        using ITensorFile file = TensorFile.Open(folder.Write("t.safetensors", bytes));
        foreach (StoredTensor tensor in file.Tensors.Values)
            _ = tensor.Bytes.Length;
    }

    private static byte[] AllTypes()
    {
        float[] floats = [1, -2.5f, 3e-8f, 65504];
        using var folder = new TemporaryFolder();
        string path = folder["all.safetensors"];
        TensorFile.Save(path,
            [
                new("bytes", DType.UInt8, [3], () => new byte[] { 1, 2, 255 }),
                new("half", DType.Float16, [2, 2], () => Bytes(floats.Select(v => (Half)v).ToArray())),
                new("brain", DType.BFloat16, [4], () => Bytes(floats.Select(v =>
                    (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)).ToArray())),
                new("single", [4, 1], () => floats),
                new("double", DType.Float64, [4], () => Bytes(floats.Select(v => (double)v).ToArray())),
                new("long", DType.Int64, [], () => Bytes(new long[] { -5_000_000_000 })),
                new("int", DType.Int32, [1], () => Bytes(new[] { -7 })),
                new("none", [0, 3], () => ReadOnlyMemory<float>.Empty),
            ],
            new Dictionary<string, string> { ["prompt"] = "ein Würfel \"rot\"", ["step"] = "12" });
        return System.IO.File.ReadAllBytes(path);
    }

    private static byte[] Bytes<T>(T[] values)
        where T : struct => MemoryMarshal.AsBytes(values.AsSpan()).ToArray();

    [Test]
    public void EveryTypeComesBack()
    {
        using ITensorFile file = TensorFile.Open(folder.Write("all.safetensors", AllTypes()));
        Assert.That(file.Tensors, Has.Count.EqualTo(8));
        Assert.That(file.Metadata["prompt"], Is.EqualTo("ein Würfel \"rot\""));
        Assert.That(file.Tensors["single"].ToFloats(), Is.EqualTo(new[] { 1, -2.5f, 3e-8f, 65504 }));
        Assert.That(file.Tensors["single"].Shape, Is.EqualTo(new long[] { 4, 1 }));
        Assert.That(file.Tensors["half"].ToFloats(), Is.EqualTo(new[] { 1, -2.5f, (float)(Half)3e-8f, 65504 }));
        Assert.That(file.Tensors["brain"].ToFloats()[..2], Is.EqualTo(new[] { 1, -2.5f }));
        Assert.That(file.Tensors["brain"].ToFloats()[3], Is.EqualTo(65280f));
        Assert.That(file.Tensors["double"].ToDoubles()[2], Is.EqualTo((double)3e-8f));
        Assert.That(file.Tensors["double"].ToFloats()[2], Is.EqualTo(3e-8f));
        Assert.That(file.Tensors["long"].ToIntegers(), Is.EqualTo(new[] { -5_000_000_000 }));
        Assert.That(file.Tensors["int"].ToIntegers(), Is.EqualTo(new[] { -7L }));
        Assert.That(file.Tensors["bytes"].ToIntegers(), Is.EqualTo(new[] { 1L, 2, 255 }));
        Assert.That(file.Tensors["none"].Bytes.Length, Is.Zero);
        Assert.That(() => file.Tensors["long"].ToFloats(), Throws.TypeOf<MdmException>().With.Message.Contains("Int64"));
        Assert.That(() => file.Tensors["half"].ToIntegers(), Throws.TypeOf<MdmException>());
        Assert.That(() => file.Tensors["half"].CopyTo(new float[3]), Throws.TypeOf<MdmException>());
    }

    [Test]
    public void OrderAndAlignmentAreKept()
    {
        string path = folder["order.safetensors"];
        TensorFile.Save(path, [StoredTensor.FromFloats("z", [1], [1]), StoredTensor.FromFloats("a", [2], [2, 3])]);
        using ITensorFile file = TensorFile.Open(path);
        Assert.That(file.Tensors.Keys, Is.EqualTo(new[] { "z", "a" }));
        byte[] bytes = System.IO.File.ReadAllBytes(path);
        Assert.That(BinaryPrimitives.ReadInt64LittleEndian(bytes) % 8, Is.Zero);
    }

    [Test]
    public void GoldenWeightsAreRead()
    {
        using ITensorFile file = TensorFile.Open(GoldenFiles.Require("unet_b.weights.safetensors"));
        Assert.That(file.Tensors, Has.Count.EqualTo(88));
        Assert.That(file.Tensors.Values.Sum(tensor => tensor.Count), Is.EqualTo(196835));
        Assert.That(file.Tensors.Values.SelectMany(tensor => tensor.ToFloats()), Has.All.InRange(-30f, 30f));
    }

    [Test]
    public void TensorsBeyondFourGigabytesAreReached()
    {
        const long Large = 5L << 30;
        string path = folder["large.safetensors"];
        byte[] header = File($$$"""
            {"large":{"dtype":"F32","shape":[{{{Large / 4}}}],"data_offsets":[0,{{{Large}}}]},
             "last":{"dtype":"F32","shape":[1],"data_offsets":[{{{Large}}},{{{Large + 4}}}]}}
            """, 0);
        // A file with a hole: it takes no room on the disk.
        using (FileStream stream = System.IO.File.Create(path))
        {
            stream.Write(header);
            stream.Position = header.Length + Large;
            stream.Write(BitConverter.GetBytes(42f));
        }

        using ITensorFile file = TensorFile.Open(path);
        Assert.That(file.Tensors["last"].ToFloats(), Is.EqualTo(new[] { 42f }));
        Assert.That(file.Tensors["large"].Count, Is.EqualTo(Large / 4));
        string? message = null;
        try
        {
            _ = file.Tensors["large"].Bytes.Length;
        }
        catch (MdmException e)
        {
            message = e.Message;
        }

        Assert.That(message, Does.Contain("large"));
    }

    private static IEnumerable<TestCaseData> BadFiles()
    {
        yield return new TestCaseData(Array.Empty<byte>(), "empty");
        yield return new TestCaseData(new byte[5], "too short");
        yield return new TestCaseData(File("{}", 0, 8L << 60), "the header says 9223372036854775808");
        yield return new TestCaseData(File("{}", 0, 100), "cut short");
        yield return new TestCaseData(File("{\"a\"", 0), "not valid JSON");
        yield return new TestCaseData(File("[1]", 0), "expected an object");
        yield return new TestCaseData(File("{\"a\":1}", 0), "tensor 'a': found Number");
        yield return new TestCaseData(File("{\"a\":{}}", 0), "dtype is missing");
        yield return new TestCaseData(File("{}", 4), "found 4 bytes of data, expected 0");
        yield return new TestCaseData(File(Tensor("a", "F99", "[1]", "[0,4]"), 4), "found dtype 'F99'");
        yield return new TestCaseData(File(Tensor("a", "F32", "[2]", "[0,4]"), 4), "found 4 bytes, expected 8");
        yield return new TestCaseData(File(Tensor("a", "F32", "[1]", "[0,4]"), 3), "cut short");
        yield return new TestCaseData(File(Tensor("a", "F32", "[1]", "[4,0]"), 4), "ascending");
        yield return new TestCaseData(File(Tensor("a", "F32", "[-1]", "[0,4]"), 4), "non-negative");
        yield return new TestCaseData(File(Tensor("a", "F32", "[1.5]", "[0,4]"), 4), "non-negative");
        yield return new TestCaseData(File(Tensor("a", "F32", "\"x\"", "[0,4]"), 4), "shape is String");
        yield return new TestCaseData(
            File(Tensor("a", "F32", "[4611686018427387904,4611686018427387904]", "[0,4]"), 4), "expected 9223372036854775807");
        yield return new TestCaseData(File(Tensor("a", "F32", "[1]", "[4,8]"), 8), "overlap or leave a gap");
        string a = Tensor("a", "F32", "[1]", "[0,4]")[1..^1];
        yield return new TestCaseData(File($"{{{a},{a}}}", 4), "occurs twice");
        yield return new TestCaseData(
            File($"{{{a},{Tensor("b", "F32", "[1]", "[2,6]")[1..^1]}}}", 6), "tensor 'b': the data starts at 2");
        yield return new TestCaseData(File("{\"__metadata__\":{\"a\":1}}", 0), "expected a string");
        yield return new TestCaseData(File("{\"\\ud800\":{}}", 0), "not Unicode");
    }

    [TestCaseSource(nameof(BadFiles))]
    public void BadFilesAreRefused(byte[] bytes, string expected)
    {
        Assert.That(() => Read(bytes), Throws.TypeOf<MdmException>().With.Message.Contains(expected)
            .And.Message.Contains("t.safetensors"));
    }

    [Test]
    public void DamagedFilesAreReadOrRefused()
    {
        Assert.That(Damage.Inflict(AllTypes(), Read, flips: 600), Is.GreaterThan(100));
    }

    [Test]
    public void WritingRefusesWhatCannotBeWritten()
    {
        StoredTensor tensor = StoredTensor.FromFloats("a", [1], [1]);
        Assert.That(() => TensorFile.Save(folder["a.safetensors"], [tensor, tensor]), Throws.TypeOf<MdmException>());
        Assert.That(() => TensorFile.Save(folder["a.txt"], [tensor]),
            Throws.TypeOf<MdmException>().With.Message.Contains("'.txt'"));
        Assert.That(() => TensorFile.Save(folder["a.safetensors"], [StoredTensor.FromFloats("short", [3], [1])]),
            Throws.TypeOf<MdmException>().With.Message.Contains("'short' [3]: found 4 bytes, expected 12"));
        Assert.That(System.IO.File.Exists(folder["a.safetensors"]), Is.False);
        Assert.That(() => TensorFile.Open(folder["missing.safetensors"]),
            Throws.TypeOf<MdmException>().With.Message.Contains("no such file"));
        Assert.That(() => TensorFile.Open(Path.GetTempPath()),
            Throws.TypeOf<MdmException>().With.Message.Contains("folder"));
    }
}
