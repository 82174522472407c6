using Mdm.Kernels.Cpu;

namespace Mdm.Kernels.Tests.Cpu;

public class CpuDeviceTests
{
    [Test]
    public void BlocksAreAlignedAndReused()
    {
        using var device = new CpuDevice();
        foreach (long bytes in new[] { 0L, 1, 64, 65, 1000, 4096, 5000, 3 << 20 })
        {
            nint address = device.Allocate(bytes);
            Assert.That((long)address % 64, Is.EqualTo(0L));
            device.Free(address, bytes);
            Assert.That(device.Allocate(bytes), Is.EqualTo(address));
            device.Free(address, bytes);
        }
    }

    [Test]
    public void LiveBlocksNeverOverlap()
    {
        using var device = new CpuDevice();
        var random = new Random(1);
        var live = new List<(nint Address, long Bytes)>();
        for (int i = 0; i < 2000; i++)
        {
            if (live.Count > 50 || (live.Count > 0 && random.Next(3) == 0))
            {
                int at = random.Next(live.Count);
                device.Free(live[at].Address, live[at].Bytes);
                live.RemoveAt(at);
                continue;
            }

            long bytes = random.Next(1, 1 << random.Next(1, 18));
            nint address = device.Allocate(bytes);
            Assert.That(live.Any(l => address < l.Address + l.Bytes && l.Address < address + bytes), Is.False);
            live.Add((address, bytes));
        }
    }

    [Test]
    public void StatisticsCountWhatIsInUse()
    {
        using var device = new CpuDevice();
        nint a = device.Allocate(1000), b = device.Allocate(500);
        device.Free(a, 1000);
        Assert.That(device.Memory.InUse, Is.EqualTo(500));
        Assert.That(device.Memory.Peak, Is.EqualTo(1500));
        Assert.That(device.Memory.Reserved, Is.EqualTo(1024 + 512));
        device.ResetPeak();
        Assert.That(device.Memory.Peak, Is.EqualTo(500));
        device.Free(b, 500);
        device.Trim();
        Assert.That(device.Memory, Is.EqualTo(new MemoryStatistics(0, 500, 0)));
    }

    [Test]
    public void RefusesMoreThanItMayHold()
    {
        using var device = new CpuDevice(limit: 10 << 20);
        nint held = device.Allocate(6 << 20);
        device.Free(device.Allocate(3 << 20), 3 << 20);
        Assert.That(
            () => device.Allocate(5 << 20),
            Throws.InstanceOf<OutOfMemoryException>().With.Message.Contains("5 MB").And.Message.Contains("6 MB").And
                .Message.Contains("batch size"));
        nint fits = device.Allocate(4 << 20);
        device.Free(fits, 4 << 20);
        device.Free(held, 6 << 20);
    }

    [Test]
    public void RefusesALargeBlockThatTheSystemHasNotLeft()
    {
        using var device = new CpuDevice(limit: 1L << 40, left: () => 300 << 20);
        nint small = device.Allocate(1 << 20);
        Assert.That(() => device.Allocate(400L << 20), Throws.TypeOf<OutOfDeviceMemoryException>()
            .With.Message.Contains("asked for 400 MB with 1 MB in use of 301 MB; lower the batch size"));
        device.Free(device.Allocate(260L << 20), 260L << 20);
        device.Free(small, 1 << 20);
    }

    [Test]
    public void TheSystemsMemoryIsWhatIsAvailableAndSwap()
    {
        string[] lines = ["MemTotal:       100 kB", "MemFree:  5 kB", "MemAvailable:   30 kB", "SwapFree:  2 kB", "Hugetlb: 9"];
        Assert.That(CpuMemory.Left(lines), Is.EqualTo(32 * 1024));
        Assert.That(CpuMemory.Left(lines[..2]), Is.EqualTo(long.MaxValue), "an old system does not say");
        Assert.That(CpuMemory.Left(), Is.Positive);
    }

    [Test]
    public void ManyThreadsMayAllocate()
    {
        using var device = new CpuDevice();
        Parallel.For(0, 8, t =>
        {
            for (int i = 1; i < 500; i++)
                device.Free(device.Allocate(i * (t + 1)), i * (t + 1));
        });
        Assert.That(device.Memory.InUse, Is.Zero);
    }

    [Test]
    public void CopiesBothWays()
    {
        using var device = new CpuDevice();
        byte[] sent = [1, 2, 3, 4, 5], back = new byte[5];
        nint at = device.Allocate(5);
        device.Upload(sent, at);
        device.Synchronize();
        device.Download(at, back);
        Assert.That(back, Is.EqualTo(sent));
        device.Free(at, 5);
    }

    [Test]
    public void SaysWhatItIs()
    {
        using var device = new CpuDevice();
        Assert.That(device.Name, Is.EqualTo("cpu"));
        Assert.That(device.Description, Does.Contain($"{CpuThreads.Count} threads"));
    }
}
