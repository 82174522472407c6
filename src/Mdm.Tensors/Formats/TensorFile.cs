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

    /// <summary>Opens a file, telling its format by its first bytes.</summary>
    /// <exception cref="MdmException">The file is missing, damaged or of no known format.</exception>
    public static ITensorFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            ReadOnlySpan<byte> start = file.Slice(0, (int)Math.Min(file.Length, OldPickle.Length));
            if (start.StartsWith("PK\u0003\u0004"u8) || start.StartsWith("PK\u0005\u0006"u8))
                return new PthFile(file);
            if (start.SequenceEqual(OldPickle))
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
