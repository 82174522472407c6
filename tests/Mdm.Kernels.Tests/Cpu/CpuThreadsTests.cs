using Mdm.Kernels.Cpu;

namespace Mdm.Kernels.Tests.Cpu;

[NonParallelizable]
public unsafe class CpuThreadsTests
{
    private int before;

    [SetUp]
    public void Remember() => before = CpuThreads.Count;

    [TearDown]
    public void Restore() => CpuThreads.Count = before;

    [Test]
    public void EveryIndexIsVisitedOnce(
        [Values(0, 1, 2, 7, 100, 1001)] int count, [Values(1, 3, 64)] int grain, [Values(1, 2, 5)] int threads)
    {
        CpuThreads.Count = threads;
        int[] visits = new int[count + 1];
        for (int round = 1; round <= 20; round++)
        {
            fixed (int* p = visits)
                CpuThreads.For(count, grain, &CountVisits, p);
            Assert.That(visits.Take(count), Is.All.EqualTo(round));
            Assert.That(visits[count], Is.Zero);
        }
    }

    [Test]
    public void PiecesAreAtMostOneGrain()
    {
        CpuThreads.Count = 3;
        int longest = 0;
        CpuThreads.For(1000, 7, &LongestPiece, &longest);
        Assert.That(longest, Is.EqualTo(7));
    }

    [Test]
    public void LoopsMayNest()
    {
        CpuThreads.Count = 2;
        int[] visits = new int[50];
        fixed (int* p = visits)
            CpuThreads.For(20, 1, &Nested, p);
        Assert.That(visits, Is.All.EqualTo(20));
    }

    [Test]
    public void CallersOnSeveralThreadsTakeTurns()
    {
        CpuThreads.Count = 2;
        Parallel.For(0, 4, _ =>
        {
            int[] visits = new int[100];
            for (int round = 0; round < 200; round++)
                fixed (int* p = visits)
                    CpuThreads.For(100, 3, &CountVisits, p);
            Assert.That(visits, Is.All.EqualTo(200));
        });
    }

    [Test]
    public void AnExceptionReachesTheCallerAndTheNextLoopRuns()
    {
        CpuThreads.Count = 2;
        Assert.That(() => CpuThreads.For(100, 1, &Fail, null), Throws.InvalidOperationException);
        int longest = 0;
        CpuThreads.For(10, 2, &LongestPiece, &longest);
        Assert.That(longest, Is.EqualTo(2));
    }

    [Test]
    public void AThreadIsNeeded() => Assert.That(() => CpuThreads.Count = 0, Throws.InstanceOf<ArgumentException>());

    private static void CountVisits(void* context, int start, int end, int worker)
    {
        for (int i = start; i < end; i++)
            Interlocked.Increment(ref ((int*)context)[i]);
    }

    private static void LongestPiece(void* context, int start, int end, int worker)
    {
        ref int longest = ref *(int*)context;
        for (int seen = longest; end - start > seen; seen = longest)
            Interlocked.CompareExchange(ref longest, end - start, seen);
    }

    private static void Nested(void* context, int start, int end, int worker)
    {
        for (int i = start; i < end; i++)
            CpuThreads.For(50, 9, &CountVisits, context);
    }

    private static void Fail(void* context, int start, int end, int worker)
    {
        if (start == 50)
            throw new InvalidOperationException("piece 50");
    }
}
