using Mdm.Kernels;

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
    /// <summary>Opens a file, telling its format by its first bytes.</summary>
    /// <exception cref="MdmException">The file is missing, damaged or of no known format.</exception>
    public static ITensorFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return SafeTensorsFile.Read(file);
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
            _ => throw new MdmException($"cannot write {path}: found extension '{extension}', expected .safetensors"),
        };
        AtomicFile.Write(path, write);
    }
}
