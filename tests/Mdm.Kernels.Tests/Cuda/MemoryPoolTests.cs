using Mdm.Kernels.Cuda;

namespace Mdm.Kernels.Tests.Cuda;

public sealed class MemoryPoolTests
{
    private const long Mebibyte = 1 << 20;

    [Test]
    public void AFreedBlockIsGivenOutAgainWithoutAskingTheDevice()
    {
        var heap = new Heap(1L << 30);
        var pool = new MemoryPool(heap, direct: false);
        nint a = pool.Allocate(5 * Mebibyte), b = pool.Allocate(3000);
        int reserved = heap.Reservations;
        pool.Free(a, 5 * Mebibyte);
        pool.Free(b, 3000);
        Assert.That(pool.Allocate(5 * Mebibyte), Is.EqualTo(a));
        Assert.That(pool.Allocate(2900), Is.EqualTo(b));
        Assert.That(heap.Reservations, Is.EqualTo(reserved));
    }

    [Test]
    public void BlocksNeverOverlapAndAllComesTogetherAgain([Values(1, 2, 3)] int seed)
    {
        var heap = new Heap(1L << 32);
        var pool = new MemoryPool(heap, direct: false);
        var random = new Random(seed);
        var live = new SortedDictionary<long, long>();
        for (int i = 0; i < 4000; i++)
        {
            if (live.Count > 0 && random.Next(5) < 2)
            {
                KeyValuePair<long, long> block = live.ElementAt(random.Next(live.Count));
                live.Remove(block.Key);
                pool.Free((nint)block.Key, block.Value);
                continue;
            }

            long bytes = random.Next(3) == 0 ? random.NextInt64(4 * Mebibyte) : random.NextInt64(5000);
            long address = pool.Allocate(bytes);
            Assert.That(address % 256, Is.Zero);
            Assert.That(heap.Contains(address, bytes), Is.True);
            live.Add(address, bytes);
        }

        (long last, long end) = (0, 0);
        foreach ((long address, long bytes) in live)
        {
            Assert.That(address, Is.GreaterThanOrEqualTo(end), $"{address} and {last}");
            (last, end) = (address, address + bytes);
        }

        Assert.That(pool.Statistics.InUse, Is.EqualTo(live.Values.Sum()));
        Assert.That(pool.Statistics.Reserved, Is.EqualTo(heap.Held));
        foreach ((long address, long bytes) in live)
            pool.Free((nint)address, bytes);
        pool.Trim();
        Assert.That(heap.Held, Is.Zero);
        Assert.That(pool.Statistics.Reserved, Is.Zero);
    }

    [Test]
    public void UnusedMemoryIsGivenBackBeforeTheDeviceIsCalledFull()
    {
        var pool = new MemoryPool(new Heap(100 * Mebibyte), direct: false);
        nint a = pool.Allocate(60 * Mebibyte);
        Assert.That(pool.Allocate(50 * Mebibyte), Is.EqualTo(nint.Zero));
        pool.Free(a, 60 * Mebibyte);
        Assert.That(pool.Allocate(90 * Mebibyte), Is.Not.EqualTo(nint.Zero));
        Assert.That(pool.Allocate(20 * Mebibyte), Is.EqualTo(nint.Zero));
    }

    [Test]
    public void FreeingTwiceIsAMistakeThatIsTold([Values] bool direct)
    {
        var pool = new MemoryPool(new Heap(Mebibyte * 100), direct);
        nint a = pool.Allocate(10);
        pool.Free(a, 10);
        Assert.That(() => pool.Free(a, 10), Throws.InvalidOperationException.With.Message.Contains("10 bytes"));
    }

    [Test]
    public void MemoryOfCapturedWorkIsItsOwn([Values] bool direct)
    {
        var heap = new Heap(1L << 30);
        var pool = new MemoryPool(heap, direct);
        nint before = pool.Allocate(2 * Mebibyte);
        pool.Free(pool.Allocate(9 * Mebibyte), 9 * Mebibyte);
        MemoryPool.Capture capture = pool.BeginCapture();
        nint temporary = pool.Allocate(3 * Mebibyte);
        pool.Free(temporary, 3 * Mebibyte);
        pool.Free(before, 2 * Mebibyte);
        nint result = pool.Allocate(Mebibyte / 2);
        pool.EndCapture();
        var mine = new List<nint>();
        for (int i = 0; i < 20; i++)
            mine.Add(pool.Allocate(2 * Mebibyte));
        Assert.That(mine, Does.Not.Contain(before).And.Not.Contain(temporary).And.Not.Contain(result));
        pool.Free(result, Mebibyte / 2);
        nint small = pool.Allocate(Mebibyte / 2);
        Assert.That(small, Is.Not.EqualTo(result));

        pool.Release(capture);
        foreach (nint block in mine)
            pool.Free(block, 2 * Mebibyte);
        pool.Free(small, Mebibyte / 2);
        Assert.That(pool.Statistics.InUse, Is.Zero);
        pool.Trim();
        Assert.That(heap.Held, Is.Zero);
        Assert.That(pool.Statistics.Reserved, Is.Zero);
    }

    [Test]
    public void AResultOutlivesTheCapturedWork([Values] bool direct)
    {
        var heap = new Heap(1L << 30);
        var pool = new MemoryPool(heap, direct);
        MemoryPool.Capture capture = pool.BeginCapture();
        nint result = pool.Allocate(Mebibyte);
        pool.EndCapture();
        pool.Release(capture);
        Assert.That(pool.Allocate(Mebibyte), Is.Not.EqualTo(result));
        Assert.That(heap.Contains(result, Mebibyte), Is.True);
        pool.Free(result, Mebibyte);
        Assert.That(pool.Statistics.InUse, Is.EqualTo(Mebibyte));
    }

    [Test]
    public void ACaptureUsesWhatWarmUpLeftAndGivesTheRestBack()
    {
        var heap = new Heap(200 * Mebibyte);
        var pool = new MemoryPool(heap, direct: false);
        nint a = pool.Allocate(90 * Mebibyte), b = pool.Allocate(90 * Mebibyte);
        pool.Free(a, 90 * Mebibyte);
        pool.Free(b, 90 * Mebibyte);
        MemoryPool.Capture capture = pool.BeginCapture();
        Assert.That(pool.Allocate(90 * Mebibyte), Is.Not.EqualTo(nint.Zero));
        pool.EndCapture();
        Assert.That(pool.Allocate(90 * Mebibyte), Is.Not.EqualTo(nint.Zero));
        Assert.That(heap.Reservations, Is.EqualTo(2));
        Assert.That(pool.Statistics.Reserved, Is.EqualTo(heap.Held));
        pool.Release(capture);
        Assert.That(pool.Statistics.Reserved, Is.EqualTo(heap.Held));
    }

    /// <summary>Addresses that nobody follows.</summary>
    private sealed class Heap(long limit) : IDeviceHeap
    {
        private readonly Dictionary<nint, long> _segments = [];
        private long _next = 4096;

        public int Reservations { get; private set; }

        public long Held => _segments.Values.Sum();

        public bool Contains(long address, long bytes) =>
            _segments.Any(s => address >= s.Key && address + bytes <= s.Key + s.Value);

        public bool TryReserve(long bytes, out nint address)
        {
            address = 0;
            if (Held + bytes > limit)
                return false;
            Reservations++;
            address = (nint)_next;
            _next += bytes + (1 << 24);
            _next -= _next % 256;
            _segments.Add(address, bytes);
            return true;
        }

        public void Release(nint address) => Assert.That(_segments.Remove(address), Is.True);
    }
}
