using Mdm.Kernels;

namespace Mdm.Tensors.Tests.Formats;

/// <summary>Feeds damaged files to a reader: each must be read or refused in one line, quickly and without huge
/// memory.</summary>
internal static class Damage
{
    private const long MostMemory = 64 << 20;

    /// <summary>Cuts the file at many lengths and flips single bits at seeded places.</summary>
    /// <returns>How many damaged files were refused.</returns>
    public static int Inflict(byte[] good, Action<byte[]> read, int flips = 300, int cuts = 60)
    {
        var random = new Random(20240607);
        int refused = 0;
        for (int i = 0; i < cuts; i++)
        {
            int length = i < 20 ? Math.Min(i, good.Length - 1) : random.Next(good.Length);
            refused += Attempt(good[..length], read, $"cut to {length} bytes");
        }

        for (int i = 0; i < flips; i++)
        {
            byte[] damaged = [.. good];
            int place = random.Next(damaged.Length), bit = random.Next(8);
            damaged[place] ^= (byte)(1 << bit);
            refused += Attempt(damaged, read, $"bit {bit} of byte {place} flipped");
        }

        return refused;
    }

    private static int Attempt(byte[] bytes, Action<byte[]> read, string what)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        var clock = System.Diagnostics.Stopwatch.StartNew();
        int refused = 0;
        try
        {
            read(bytes);
        }
        catch (MdmException e)
        {
            refused = 1;
            Assert.That(e.Message, Does.Not.Contain('\n'), what);
            Assert.That(e.Message, Has.Length.LessThan(1000), what);
        }
        catch (Exception e)
        {
            Assert.Fail($"{what}: {e}");
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(MostMemory), what);
        Assert.That(clock.Elapsed.TotalSeconds, Is.LessThan(5), what);
        return refused;
    }
}
