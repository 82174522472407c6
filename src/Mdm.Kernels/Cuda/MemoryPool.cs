namespace Mdm.Kernels.Cuda;

/// <summary>A device's memory for tensors: freed blocks are kept and given out again at once, which is right because all work
/// is in one stream. What is allocated while work is captured comes from arenas of the capture's own.</summary>
/// <param name="heap">The device.</param>
/// <param name="direct">Every block is an allocation of its own, so that a checking heap sees each tensor's bounds and its
/// end.</param>
internal sealed class MemoryPool(IDeviceHeap heap, bool direct)
{
    private readonly Lock gate = new();
    private readonly Dictionary<nint, Block> used = [];
    private readonly Arenas shared = new(heap);
    private Capture? capture;
    private long inUse;
    private long peak;
    private long directBytes;
    private long captured;

    public MemoryStatistics Statistics
    {
        get
        {
            lock (gate)
                return new MemoryStatistics(inUse, peak, directBytes + shared.Reserved + captured);
        }
    }

    /// <summary>Memory of at least so many bytes; 0 if there is none.</summary>
    public nint Allocate(long bytes)
    {
        lock (gate)
        {
            Block? block = direct ? Direct(bytes) : Pooled(Math.Max(1, (bytes + Arena.Unit - 1) / Arena.Unit) * Arena.Unit);
            if (block == null)
                return 0;
            used.Add(block.Address, block);
            inUse += bytes;
            peak = Math.Max(peak, inUse);
            return block.Address;
        }
    }

    /// <exception cref="InvalidOperationException">Nothing is allocated there.</exception>
    public void Free(nint address, long bytes)
    {
        lock (gate)
        {
            if (!used.Remove(address, out Block? block))
                throw new InvalidOperationException($"freeing {bytes} bytes at 0x{address:x}, where nothing is allocated");
            inUse -= bytes;
            if (capture is { } current && (direct || !current.Owns(block.Segment.Arena)))
                current.Held.Add(block); // captured work may use this memory at every replay
            else if (block.Segment.Holder is { } holder)
                holder.Held.Add(block);
            else
                Return(block);
        }
    }

    public void ResetPeak()
    {
        lock (gate)
            peak = inUse;
    }

    /// <summary>Gives the unused memory back to the device.</summary>
    public void Trim()
    {
        lock (gate)
            shared.Trim();
    }

    /// <summary>Gives all memory back, also what is still in use.</summary>
    public void Clear()
    {
        lock (gate)
        {
            if (direct)
            {
                foreach (Block block in used.Values)
                    heap.Release(block.Address);
            }

            used.Clear();
            shared.ReleaseAll();
        }
    }

    /// <summary>From now on allocations are the capture's, until <see cref="EndCapture"/>.</summary>
    public Capture BeginCapture()
    {
        lock (gate)
        {
            capture = new Capture(new Arenas(heap));
            // What warm-up left behind is room enough, as a rule.
            shared.LendTo(capture.Own);
            captured += capture.Own.Reserved;
            return capture;
        }
    }

    public void EndCapture()
    {
        lock (gate)
        {
            captured -= capture!.Own.Reserved;
            capture.Own.GiveBackUntouched(shared);
            captured += capture.Own.Reserved;
            capture = null;
        }
    }

    /// <summary>The captured work is gone: its memory is everybody's.</summary>
    public void Release(Capture ended)
    {
        lock (gate)
        {
            captured -= ended.Own.Reserved;
            ended.Own.MoveTo(shared);
            foreach (Segment segment in ended.Direct)
                segment.Holder = null;
            foreach (Block block in ended.Held)
                Return(block);
            ended.Held.Clear();
        }
    }

    private void Return(Block block)
    {
        if (!direct)
        {
            block.Segment.Arena.Return(block);
            return;
        }

        directBytes -= block.Bytes;
        heap.Release(block.Address);
    }

    private Block? Direct(long bytes)
    {
        long size = Math.Max(1, bytes);
        if (!heap.TryReserve(size, out nint address))
            return null;
        directBytes += size;
        var segment = new Segment(shared.Small, address, size) { Holder = capture };
        capture?.Direct.Add(segment);
        return new Block(segment, address, size);
    }

    private Block? Pooled(long bytes)
    {
        Arena arena = (capture?.Own ?? shared).For(bytes);
        if (arena.TryTake(bytes) is { } block)
            return block;
        long before = arena.Reserved;
        if (!arena.TryGrow(bytes))
        {
            if (capture != null) // giving memory back waits for the stream, which is not possible now
                return null;
            shared.Trim();
            before = arena.Reserved;
            if (!arena.TryGrow(bytes))
                return null;
        }

        if (capture != null)
            captured += arena.Reserved - before;
        return arena.TryTake(bytes);
    }

    /// <summary>Memory of captured work.</summary>
    /// <param name="own">What it allocates.</param>
    internal sealed class Capture(Arenas own)
    {
        public Arenas Own => own;

        /// <summary>Other memory that was freed inside; where every block stands alone, all that was freed.</summary>
        public List<Block> Held { get; } = [];

        /// <summary>Where every block stands alone: those that were allocated inside.</summary>
        public List<Segment> Direct { get; } = [];

        public bool Owns(Arena arena) => arena == own.Small || arena == own.Large;
    }

    /// <summary>Small blocks are kept apart, so that they do not break up the room for large ones.</summary>
    internal sealed class Arenas(IDeviceHeap heap)
    {
        private const long SmallBlock = 1 << 20;

        public Arena Small { get; } = new(heap, 8 << 20);

        public Arena Large { get; } = new(heap, 64 << 20);

        public long Reserved => Small.Reserved + Large.Reserved;

        public Arena For(long bytes) => bytes <= SmallBlock ? Small : Large;

        public void Trim()
        {
            Small.Trim();
            Large.Trim();
        }

        public void ReleaseAll()
        {
            Small.ReleaseAll();
            Large.ReleaseAll();
        }

        /// <summary>Lends the segments that nobody uses.</summary>
        public void LendTo(Arenas other)
        {
            Small.MoveUnused(other.Small, lend: true);
            Large.MoveUnused(other.Large, lend: true);
        }

        /// <summary>Gives the lent segments back from which nothing was taken.</summary>
        public void GiveBackUntouched(Arenas other)
        {
            Small.MoveUnused(other.Small, lend: false);
            Large.MoveUnused(other.Large, lend: false);
        }

        public void MoveTo(Arenas other)
        {
            Small.MoveTo(other.Small);
            Large.MoveTo(other.Large);
        }
    }
}
