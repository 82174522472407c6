using System.Buffers;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats.PyTorch;

namespace Mdm.Tensors.Formats;

/// <summary>An opened file of named tensors, in the file's order. Its tensors end when it is disposed of.</summary>
public interface ITensorFile : IDisposable
{
    IReadOnlyDictionary<string, StoredTensor> Tensors { get; }

    /// <summary>What the file says beside the tensors; numbers in invariant notation.</summary>
    IReadOnlyDictionary<string, string> Metadata { get; }
}

/// <summary>Opens and writes files of tensors, whichever of the known formats they are in.</summary>
public static class TensorFile
{
    /// <summary>Protocol 2 and the magic number 0x1950a86a20f9469cfc6c.</summary>
    private static ReadOnlySpan<byte> OldPickle =>
        [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

    private static readonly SearchValues<byte> TextBytes =
        SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(c => (byte)c), .. "\t\r\n"u8]);

    private static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    private static ReadOnlySpan<byte> LfsNote => "version https://git-lfs"u8;

    /// <summary>Opens a file, telling its format by its first bytes.</summary>
    /// <exception cref="MdmException">The file is missing, damaged or of no known format.</exception>
    public static ITensorFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            ReadOnlySpan<byte> start = file.Slice(0, (int)Math.Min(file.Length, LfsNote.Length));
            RequireNoText(path, start);
            if (start.StartsWith("PK\u0003\u0004"u8) || start.StartsWith("PK\u0005\u0006"u8))
                return new PthFile(file);
            if (start.StartsWith(OldPickle))
                throw new MdmException($"{path} has PyTorch's format from before version 1.6; load it there and save it again");
            if (start[0] == OldPickle[0] && (start.Length < 9 || start[8] != (byte)'{'))
                throw new MdmException($"{path} is a bare Python pickle, expected safetensors or a zip as torch.save writes it");
            return new SafeTensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>A download that went wrong leaves text: a page, a message, a note. Neither format begins so: safetensors begins
    /// with a length whose upper bytes are zero.</summary>
    private static void RequireNoText(string path, ReadOnlySpan<byte> start)
    {
        if (start.SequenceEqual(LfsNote))
            throw new MdmException($"{path} is a note of Git LFS in place of the file; 'git lfs pull' fetches the file");
        if (start.StartsWith(ByteOrderMark))
            start = start[ByteOrderMark.Length..];
        if (start.Length < sizeof(ulong) || start[..sizeof(ulong)].ContainsAnyExcept(TextBytes))
            return;
        string text = Encoding.ASCII.GetString(start).TrimStart();
        throw new MdmException(text.StartsWith('<')
            ? $"{path} is a web page, expected a checkpoint: a server answered its download with it"
            : $"{path} is a text that begins with '{text.Split('\r', '\n')[0]}', expected a checkpoint");
    }

    /// <summary>Writes tensors in the given order, in the format that the extension names; the file appears complete
    /// or not at all. Tensors are fetched one after the other while writing.</summary>
    /// <exception cref="MdmException">The extension is unknown, a name occurs twice, or the file cannot be written.</exception>
    public static void Save(
        string path, IReadOnlyCollection<StoredTensor> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var names = new HashSet<string>();
        foreach (StoredTensor tensor in tensors)
            if (!names.Add(tensor.Name))
                throw new MdmException($"cannot write {path}: there are two tensors named '{tensor.Name}'");
        metadata ??= new Dictionary<string, string>();
        string extension = Path.GetExtension(path).ToLowerInvariant();
        Action<Stream> write = extension switch
        {
            ".safetensors" => stream => SafeTensorsWriter.Write(stream, tensors, metadata),
            ".pth" or ".pt" or ".bin" => stream => PthWriter.Write(stream, tensors, metadata),
            _ => throw new MdmException($"cannot write {path}: found extension '{extension}', expected .safetensors or .pth"),
        };
        AtomicFile.Write(path, write);
    }
}
