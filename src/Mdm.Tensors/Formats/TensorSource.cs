using System.Runtime.InteropServices;

namespace Mdm.Tensors.Formats;

/// <summary>Receives consecutive pieces of a tensor's bytes; the span is only valid during the call.</summary>
internal delegate void ChunkVisitor(ReadOnlySpan<byte> chunk);

/// <summary>Where the bytes of a stored tensor come from. Pieces are whole elements, in row-major order. Several threads may
/// read at once.</summary>
internal abstract class TensorSource
{
    /// <summary>Small enough to stay in a processor's cache while a piece is checked and converted.</summary>
    protected const int PieceBytes = 1 << 18;

    /// <summary>Hands over all bytes, in order.</summary>
    /// <param name="visitor">Gets the pieces.</param>
    /// <param name="unit">Every piece is a multiple of so many bytes; a divisor of the whole.</param>
    public abstract void Visit(ChunkVisitor visitor, int unit);

    /// <summary>All bytes where they already lie in one piece of at most 2 GB.</summary>
    public virtual bool TryWhole(out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        return false;
    }

    /// <summary>The length of pieces: about <see cref="PieceBytes"/>, a multiple of the unit.</summary>
    protected static int PieceLength(int unit) => Math.Max(1, PieceBytes / unit) * unit;
}

/// <summary>A range of a file.</summary>
/// <param name="file">The file.</param>
/// <param name="offset">Where the range begins, bytes.</param>
/// <param name="length">Its length, bytes.</param>
/// <param name="checksum">Of the range or of a larger one around it; null: nothing says what the bytes should be.</param>
internal sealed class FileSource(MappedFile file, long offset, long length, FileChecksum? checksum = null) : TensorSource
{
    /// <summary>Pieces are read into a buffer: mapped pages would count as this process's memory until the file is closed, and a
    /// file that shrinks meanwhile would end it.</summary>
    public override void Visit(ChunkVisitor visitor, int unit)
    {
        // The checksum of exactly this range is taken on the way, that of a larger one before.
        bool own = checksum?.Covers(offset, length) ?? false;
        if (!own)
            checksum?.Require();
        uint crc = 0;
        file.Read(offset, length, PieceLength(unit), piece =>
        {
            if (own)
                crc = Crc32.Append(crc, piece);
            visitor(piece);
        });
        if (own)
            checksum!.Confirm(crc);
    }

    public override bool TryWhole(out ReadOnlySpan<byte> bytes)
    {
        checksum?.Require();
        bytes = length <= int.MaxValue ? file.Slice(offset, (int)length) : default;
        return length <= int.MaxValue;
    }
}

/// <summary>Values fetched only when they are read, for instance from a device.</summary>
internal sealed class DeferredSource<T>(Func<ReadOnlyMemory<T>> content) : TensorSource
    where T : unmanaged
{
    public override void Visit(ChunkVisitor visitor, int unit)
    {
        int most = PieceLength(unit) / Marshal.SizeOf<T>();
        for (ReadOnlySpan<T> rest = content().Span; rest.Length > 0; rest = rest[Math.Min(most, rest.Length)..])
            visitor(MemoryMarshal.AsBytes(rest[..Math.Min(most, rest.Length)]));
    }
}
