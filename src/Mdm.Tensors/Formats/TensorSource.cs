using System.Runtime.InteropServices;

namespace Mdm.Tensors.Formats;

/// <summary>Receives consecutive pieces of a tensor's bytes; the span is only valid during the call.</summary>
internal delegate void ChunkVisitor(ReadOnlySpan<byte> chunk);

/// <summary>Where the bytes of a stored tensor come from. Pieces are whole elements, in row-major order.</summary>
internal abstract class TensorSource
{
    /// <summary>Hands over all bytes, in order, in pieces small enough for a span.</summary>
    public abstract void Visit(ChunkVisitor visitor);

    /// <summary>All bytes where they already lie in one piece of at most 2 GB.</summary>
    public virtual bool TryWhole(out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        return false;
    }
}

/// <summary>A range of a mapped file.</summary>
internal sealed class MappedSource(MappedFile file, long offset, long length, Action? beforeFirstUse = null) : TensorSource
{
    private const int ChunkBytes = 1 << 26;
    private Action? check = beforeFirstUse;

    public override void Visit(ChunkVisitor visitor)
    {
        Check();
        for (long done = 0; done < length; done += ChunkBytes)
            visitor(file.Slice(offset + done, (int)Math.Min(ChunkBytes, length - done)));
    }

    public override bool TryWhole(out ReadOnlySpan<byte> bytes)
    {
        Check();
        bytes = length <= int.MaxValue ? file.Slice(offset, (int)length) : default;
        return length <= int.MaxValue;
    }

    private void Check()
    {
        check?.Invoke();
        check = null;
    }
}

/// <summary>Values fetched only when they are read, for instance from a device.</summary>
internal sealed class DeferredSource<T>(Func<ReadOnlyMemory<T>> content) : TensorSource
    where T : unmanaged
{
    private const int ChunkElements = 1 << 24;

    public override void Visit(ChunkVisitor visitor)
    {
        for (ReadOnlySpan<T> rest = content().Span; rest.Length > 0; rest = rest[Math.Min(ChunkElements, rest.Length)..])
            visitor(MemoryMarshal.AsBytes(rest[..Math.Min(ChunkElements, rest.Length)]));
    }
}
