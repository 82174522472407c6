using System.Buffers;
using System.IO.MemoryMappedFiles;
using Mdm.Kernels;
using Microsoft.Win32.SafeHandles;

namespace Mdm.Tensors.Formats;

/// <summary>A file of any length to read from: as memory whose pages are read when touched, or piece by piece. Several threads
/// may read.</summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly SafeFileHandle handle;
    private readonly MemoryMappedFile file;
    private readonly MemoryMappedViewAccessor view;
    private byte* start;

    private MappedFile(string path, FileStream stream, long length)
    {
        Path = path;
        Length = length;
        handle = stream.SafeFileHandle;
        file = MemoryMappedFile.CreateFromFile(
            stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
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
                return new MappedFile(path, stream, length);
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

    /// <summary>Hands over the bytes from offset to offset + length in pieces of <paramref name="pieceLength"/> (the last may be
    /// shorter), which are valid during the call only.</summary>
    /// <exception cref="MdmException">The file cannot be read, or was cut short since it was opened.</exception>
    public void Read(long offset, long length, int pieceLength, ChunkVisitor visitor)
    {
        ObjectDisposedException.ThrowIf(start == null, this);
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(pieceLength, length));
        try
        {
            for (long at = 0; at < length; at += pieceLength)
            {
                Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(pieceLength, length - at));
                Read(offset + at, piece);
                visitor(piece);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Fills a buffer with the bytes from offset on.</summary>
    /// <exception cref="MdmException">The file cannot be read, or was cut short since it was opened.</exception>
    public void Read(long offset, Span<byte> piece)
    {
        try
        {
            while (piece.Length > 0)
            {
                int read = RandomAccess.Read(handle, piece, offset);
                if (read == 0)
                    throw new MdmException($"{Path} ends at {offset} bytes; it had {Length} when it was opened");
                offset += read;
                piece = piece[read..];
            }
        }
        catch (IOException e)
        {
            throw new MdmException($"cannot read {Path}: {e.Message}", e);
        }
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
