using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.PyTorch;

namespace Mdm.Tensors.Tests.Formats;

/// <summary>What is written beside what torch.load(weights_only=True) allows, which is the default from PyTorch 2.6 on: the
/// instructions and names that its reader of pickles knows, and the records that it looks for.</summary>
public sealed class PthPickleTests
{
    private static readonly StoredTensor[] s_tensors =
    [
        StoredTensor.FromFloats("conv.weight", [2, 3], [1, 2, 3, 4, 5, 6]),
        StoredTensor.FromFloats("scalar", [], [3.5f]),
        new("empty", [0, 4], () => ReadOnlyMemory<float>.Empty),
        new("ids", DType.Int64, [1], () => BitConverter.GetBytes(7L)),
        new("half", DType.Float16, [1], () => new byte[2]),
        new("brain", DType.BFloat16, [1], () => new byte[2]),
    ];

    private static readonly Dictionary<string, string> s_metadata = new()
    {
        ["batch_num"] = "1200",
        ["loss"] = "0.125",
        ["images"] = "5000000000",
        ["ema"] = "true",
        ["raw"] = "false",
        ["config"] = "unet_config: ü",
    };

    // The instructions of torch/_weights_only_unpickler.py, in PyTorch 1.13 and in 2.x, by the bytes that follow them.
    private static readonly (string Codes, int Follow)[] s_instructions =
    [
        ("()]}NQRabestu\u0081\u0085\u0086\u0087\u0088\u0089", 0), ("Khq\u0080", 1), ("M", 2), ("Jjr", 4), ("G", 8),
        ("X", Text), ("\u008a", Long), ("c", TwoLines),
    ];

    // A length in four bytes and as much text; a length in one byte and as much of a number.
    private const int Text = -1, Long = -2, TwoLines = -3;

    private static readonly string[] s_globals =
    [
        "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage", "torch.DoubleStorage",
        "torch.HalfStorage", "torch.BFloat16Storage", "torch.LongStorage",
    ];

    [Test]
    public void InstructionsAndNamesAreThoseThatPyTorchAllows()
    {
        using var stream = new MemoryStream();
        PthWriter.Write(stream, s_tensors, s_metadata);
        using var zip = new ZipArchive(stream);
        byte[] pickle = Bytes(zip.GetEntry("archive/data.pkl")!);
        Assert.That(pickle.AsSpan(0, 2).ToArray(), Is.EqualTo(new byte[] { 0x80, 2 }), "protocol 2, of which others are warned");
        var globals = new HashSet<string>();
        int at = 0;
        for (; pickle[at] != '.'; at++)
        {
            char instruction = (char)pickle[at];
            Assert.That(s_instructions.Any(known => known.Codes.Contains(instruction)), $"instruction 0x{(int)instruction:x2} at {at}");
            int follow = s_instructions.Single(known => known.Codes.Contains(instruction)).Follow;
            if (follow == TwoLines)
                globals.Add($"{Line(pickle, ref at)}.{Line(pickle, ref at)}");
            else
                at += follow switch
                {
                    Text => 4 + BinaryPrimitives.ReadInt32LittleEndian(pickle.AsSpan(at + 1)),
                    Long => 1 + pickle[at + 1],
                    _ => follow,
                };
        }

        Assert.That(at, Is.EqualTo(pickle.Length - 1), "the end is the end");
        Assert.That(globals, Is.EquivalentTo(s_globals));
    }

    [Test]
    public void RecordsAreWherePyTorchLooks()
    {
        using var stream = new MemoryStream();
        PthWriter.Write(stream, s_tensors, s_metadata);
        using var zip = new ZipArchive(stream);
        // The folder of the first record is that of all; the pickle numbers the storages, a fraction has one too.
        Assert.That(zip.Entries.Select(entry => entry.FullName), Is.EqualTo(new[]
        {
            "archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/data/1", "archive/data/2", "archive/data/3",
            "archive/data/4", "archive/data/5", "archive/data/6", "archive/version",
        }));
        Assert.That(Encoding.ASCII.GetString(Bytes(zip.GetEntry("archive/version")!)), Is.EqualTo("3\n"));
        Assert.That(Encoding.ASCII.GetString(Bytes(zip.GetEntry("archive/byteorder")!)), Is.EqualTo("little"));
        foreach (ZipArchiveEntry entry in zip.Entries)
            Assert.That(entry.CompressedLength, Is.EqualTo(entry.Length), "stored, so that it can be mapped");
        Assert.That(Bytes(zip.GetEntry("archive/data/6")!), Is.EqualTo(BitConverter.GetBytes(0.125)));
    }

    private static string Line(byte[] bytes, ref int at)
    {
        int start = at + 1;
        at = Array.IndexOf(bytes, (byte)'\n', start);
        return Encoding.ASCII.GetString(bytes, start, at - start);
    }

    private static byte[] Bytes(ZipArchiveEntry entry)
    {
        using Stream from = entry.Open();
        var to = new MemoryStream();
        from.CopyTo(to);
        return to.ToArray();
    }
}
