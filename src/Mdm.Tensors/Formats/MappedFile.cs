using System.IO.MemoryMappedFiles;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>A whole file as read-only memory, of any length; pages are read when touched.</summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile file;
    private readonly MemoryMappedViewAccessor view;
    private byte* start;

    private MappedFile(string path, long length, MemoryMappedFile file)
    {
        Path = path;
        Length = length;
        this.file = file;
        view = file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
    }

    public string Path { get; }

    public long Length { get; }

    /// <exception cref="MdmException">The file is missing, empty or cannot be read.</exception>
    public static MappedFile Open(string path)
    {
        try
        {
            if (!File.Exists(path))
                throw new MdmException(path + (Directory.Exists(path) ? " is a folder, expected a file" : ": no such file"));
            var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            try
            {
                // The stream's length: that of a symbolic link would be its own.
                long length = stream.Length;
                if (length == 0)
                    throw new MdmException($"{path} is empty");
                return new MappedFile(path, length, MemoryMappedFile.CreateFromFile(
                    stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false));
            }
            catch
            {
                stream.Dispose();
                throw;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }

    /// <summary>The bytes from offset to offset + length; valid until the file is closed.</summary>
    public ReadOnlySpan<byte> Slice(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(start == null, this);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (offset < 0 || offset > Length - length)
            throw new ArgumentOutOfRangeException(nameof(offset), offset, $"{length} bytes do not fit in {Length}");
        return new ReadOnlySpan<byte>(start + offset, length);
    }

    public void Dispose()
    {
        if (start == null)
            return;
        start = null;
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        file.Dispose();
    }
}
