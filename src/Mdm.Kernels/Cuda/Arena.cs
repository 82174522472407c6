using System.Numerics;

namespace Mdm.Kernels.Cuda;

/// <summary>Where a pool gets its memory from.</summary>
internal interface IDeviceHeap
{
    /// <summary>Memory of the device, 256-byte aligned; false if there is none left.</summary>
    bool TryReserve(long bytes, out nint address);

    /// <summary>Gives back what was reserved. Work that uses it has been queued before, and is waited for.</summary>
    void Release(nint address);
}

/// <summary>Consecutive blocks of memory that were reserved at once.</summary>
internal sealed class Segment(Arena arena, nint address, long bytes)
{
    /// <summary>Where its free blocks are.</summary>
    public Arena Arena { get; set; } = arena;

    public nint Address => address;

    public long Bytes => bytes;

    /// <summary>Whether nothing has been taken from it since it was lent to a capture.</summary>
    public bool IsUntouched { get; set; }

    /// <summary>Captured work that needs the segment as long as it lives, where every block stands alone.</summary>
    public MemoryPool.Capture? Holder { get; set; }
}

/// <summary>A part of a segment, in use or free. Free neighbours are always joined.</summary>
internal sealed class Block(Segment segment, nint address, long bytes)
{
    public Segment Segment { get; } = segment;

    public nint Address { get; } = address;

    public long Bytes { get; set; } = bytes;

    public bool IsFree { get; set; }

    /// <summary>Neighbours in the segment.</summary>
    public Block? Before { get; set; }

    public Block? After { get; set; }

    /// <summary>Neighbours in the list of free blocks.</summary>
    public Block? PreviousFree { get; set; }

    public Block? NextFree { get; set; }
}

/// <summary>Segments and their free blocks, in lists by size (16 for each power of two). The block that fits best is taken and
/// cut; freed neighbours are joined. Not safe for several threads.</summary>
internal sealed class Arena(IDeviceHeap heap, long segmentBytes)
{
    /// <summary>Addresses and sizes are multiples of this.</summary>
    public const int Unit = 256;

    private const int SubClassBits = 4;
    private const int Classes = 768;

    private readonly Block?[] lists = new Block?[Classes];
    private readonly ulong[] filled = new ulong[Classes / 64];
    private readonly List<Segment> segments = [];

    /// <summary>Bytes of all segments.</summary>
    public long Reserved { get; private set; }

    /// <summary>A block of at least so many bytes (a multiple of <see cref="Unit"/>) from what is there; null if nothing
    /// fits.</summary>
    public Block? TryTake(long bytes)
    {
        Block? best = BestFit(bytes);
        if (best == null)
            return null;
        Unlink(best);
        best.Segment.IsUntouched = false;
        if (best.Bytes > bytes)
        {
            var rest = new Block(best.Segment, best.Address + (nint)bytes, best.Bytes - bytes) { Before = best, After = best.After };
            if (rest.After != null)
                rest.After.Before = rest;
            best.After = rest;
            best.Bytes = bytes;
            Link(rest);
        }

        return best;
    }

    /// <summary>Reserves a segment for a block of so many bytes; false if the heap is exhausted.</summary>
    public bool TryGrow(long bytes)
    {
        const long granularity = 2 << 20;
        long exact = (bytes + granularity - 1) / granularity * granularity;
        long size = Math.Max(segmentBytes, exact);
        if (!heap.TryReserve(size, out nint address))
        {
            size = exact;
            if (size == segmentBytes || !heap.TryReserve(size, out address))
                return false;
        }

        var segment = new Segment(this, address, size);
        segments.Add(segment);
        Reserved += size;
        Link(new Block(segment, address, size));
        return true;
    }

    /// <summary>Takes a block back.</summary>
    public void Return(Block block)
    {
        if (block.After is { IsFree: true } after)
        {
            Unlink(after);
            block.Bytes += after.Bytes;
            block.After = after.After;
            if (block.After != null)
                block.After.Before = block;
        }

        if (block.Before is { IsFree: true } before)
        {
            Unlink(before);
            before.Bytes += block.Bytes;
            before.After = block.After;
            if (before.After != null)
                before.After.Before = before;
            block = before;
        }

        Link(block);
    }

    /// <summary>Releases the segments that nobody uses.</summary>
    public void Trim()
    {
        foreach (Block block in FreeBlocks().Where(b => b.Before == null && b.After == null).ToArray())
        {
            Unlink(block);
            segments.Remove(block.Segment);
            Reserved -= block.Segment.Bytes;
            heap.Release(block.Segment.Address);
        }
    }

    /// <summary>Releases all segments, in use or not.</summary>
    public void ReleaseAll()
    {
        foreach (Segment segment in segments)
            heap.Release(segment.Address);
        segments.Clear();
        Array.Clear(lists);
        Array.Clear(filled);
        Reserved = 0;
    }

    /// <summary>Hands the segments over that nobody uses: lent ones get the mark that nothing has been taken from them, and
    /// otherwise only those go that still have it.</summary>
    public void MoveUnused(Arena other, bool lend)
    {
        foreach (Block block in FreeBlocks().Where(b => b.Before == null && b.After == null).ToArray())
        {
            Segment segment = block.Segment;
            if (!lend && !segment.IsUntouched)
                continue;
            Unlink(block);
            segments.Remove(segment);
            Reserved -= segment.Bytes;
            segment.IsUntouched = lend;
            segment.Arena = other;
            other.segments.Add(segment);
            other.Reserved += segment.Bytes;
            other.Link(block);
        }
    }

    /// <summary>Hands all segments over to another arena, with the blocks in use there.</summary>
    public void MoveTo(Arena other)
    {
        foreach (Block block in FreeBlocks().ToArray())
        {
            Unlink(block);
            other.Link(block);
        }

        foreach (Segment segment in segments)
            segment.Arena = other;
        other.segments.AddRange(segments);
        other.Reserved += Reserved;
        segments.Clear();
        Reserved = 0;
    }

    private Block? BestFit(long bytes)
    {
        for (int c = NextFilled(ClassOf(bytes)); c >= 0; c = NextFilled(c + 1))
        {
            Block? best = null;
            for (Block? block = lists[c]; block != null; block = block.NextFree)
            {
                if (block.Bytes >= bytes && (best == null || block.Bytes < best.Bytes))
                    best = block;
            }

            if (best != null)
                return best;
        }

        return null;
    }

    private int NextFilled(int from)
    {
        for (int word = from / 64; word < filled.Length; word++)
        {
            ulong bits = filled[word];
            if (word == from / 64)
                bits &= ulong.MaxValue << (from % 64);
            if (bits != 0)
                return word * 64 + BitOperations.TrailingZeroCount(bits);
        }

        return -1;
    }

    private void Link(Block block)
    {
        int c = ClassOf(block.Bytes);
        block.IsFree = true;
        block.PreviousFree = null;
        block.NextFree = lists[c];
        if (block.NextFree != null)
            block.NextFree.PreviousFree = block;
        lists[c] = block;
        filled[c / 64] |= 1UL << (c % 64);
    }

    private void Unlink(Block block)
    {
        int c = ClassOf(block.Bytes);
        block.IsFree = false;
        if (block.PreviousFree != null)
            block.PreviousFree.NextFree = block.NextFree;
        else
            lists[c] = block.NextFree;
        if (block.NextFree != null)
            block.NextFree.PreviousFree = block.PreviousFree;
        if (lists[c] == null)
            filled[c / 64] &= ~(1UL << (c % 64));
        block.PreviousFree = block.NextFree = null;
    }

    private IEnumerable<Block> FreeBlocks()
    {
        foreach (Block? first in lists)
        {
            for (Block? block = first; block != null; block = block.NextFree)
                yield return block;
        }
    }

    private static int ClassOf(long bytes)
    {
        ulong units = (ulong)(bytes / Unit);
        int log = BitOperations.Log2(units | 1);
        return log < SubClassBits
            ? (int)units
            : ((log - SubClassBits + 1) << SubClassBits) + (int)((units >> (log - SubClassBits)) & ((1 << SubClassBits) - 1));
    }
}
