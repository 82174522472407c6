using Mdm.Kernels.Cpu;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed unsafe class RandomTests(CpuLevel level) : LevelFixture(level)
{
    private static readonly RandomKey Key = new(0x0123456789ABCDEF, 7);

    /// <summary>The known answers published with Random123 (kat_vectors).</summary>
    [TestCase(0UL, 0UL, 0UL, "6627e8d5 e169c58d bc57ac4c 9b00dbd8")]
    [TestCase(ulong.MaxValue, ulong.MaxValue, ulong.MaxValue, "408f276d 41c83b0e a20bc7c6 6d5451fd")]
    [TestCase(0x85a308d3243f6a88UL, 0x0370734413198a2eUL, 0x299f31d0a4093822UL, "d16cfe09 94fdcceb 5001e420 24126ea1")]
    public void Philox_gives_the_published_words(ulong block, ulong stream, ulong seed, string expected)
    {
        uint* words = stackalloc uint[32];
        PhiloxBlocks.Fill(new RandomKey(seed, stream), block, 1, words);
        Assert.That(new Span<uint>(words, 4).ToArray(), Is.EqualTo(expected.Split().Select(w => Convert.ToUInt32(w, 16))));
    }

    [Test]
    public void A_sequence_can_be_entered_anywhere(
        [Values(1, 2, 3, 4, 5, 1023, 40_001)] long offset, [Values(1, 6, 37, 20_000)] int n)
    {
        float[] all = Zeros(offset + n), tail = Filled(n + 1, 9);
        Kernels.Normal(all.Length, Key, 0, Ptr(all));
        Kernels.Normal(n, Key, offset, Ptr(tail));
        Assert.That(tail.AsSpan(0, n).SequenceEqual(all.AsSpan((int)offset)));
        Assert.That(tail[n], Is.EqualTo(9));
        Kernels.Uniform(all.Length, Key, 0, Ptr(all));
        Kernels.Uniform(n, Key, offset, Ptr(tail));
        Assert.That(tail.AsSpan(0, n).SequenceEqual(all.AsSpan((int)offset)));
    }

    [Test]
    public void Every_level_gives_the_same_bits_and_the_documented_formula()
    {
        const int N = 4099;
        float[] normal = Zeros(N), uniform = Zeros(N), plain = Zeros(N);
        Kernels.Normal(N, Key, 0, Ptr(normal));
        Kernels.Uniform(N, Key, 0, Ptr(uniform));
        CpuFeatures.Level = CpuLevel.Plain;
        Kernels.Normal(N, Key, 0, Ptr(plain));
        Assert.That(normal.AsSpan().SequenceEqual(plain));
        uint* words = stackalloc uint[4 * 1032];
        PhiloxBlocks.Fill(Key, 0, 1025, words);
        for (int i = 0; i < N; i++)
        {
            Assert.That(uniform[i], Is.EqualTo((words[i] >> 8) / 16777216.0f));
            Assert.That(uniform[i], Is.EqualTo(Philox.Uniform(Key, i)), "the host's own generator");
            double u1 = ((words[i & ~1] >> 8) + 1) / 16777216.0, u2 = (words[i | 1] >> 8) / 16777216.0;
            double angle = 2 * Math.PI * u2, radius = Math.Sqrt(-2 * Math.Log(u1));
            Assert.That(normal[i], Is.EqualTo(radius * (i % 2 == 0 ? Math.Cos(angle) : Math.Sin(angle))).Within(1e-6));
        }
    }

    [Test]
    public void Normal_numbers_have_the_right_moments_and_tails()
    {
        const int N = 1 << 20;
        float[] x = Zeros(N);
        Kernels.Normal(N, Key, 0, Ptr(x));
        double mean = x.Average(v => (double)v), square = x.Average(v => (double)v * v);
        double third = x.Average(v => (double)v * v * v), fourth = x.Average(v => (double)v * v * v * v);
        double neighbours = x.Zip(x.Skip(1), (a, b) => (double)a * b).Average();
        Assert.Multiple(() =>
        {
            // Five standard errors each.
            Assert.That(mean, Is.Zero.Within(5.0 / 1024));
            Assert.That(square, Is.EqualTo(1).Within(5 * Math.Sqrt(2) / 1024));
            Assert.That(third, Is.Zero.Within(5 * Math.Sqrt(15) / 1024));
            Assert.That(fourth, Is.EqualTo(3).Within(5 * Math.Sqrt(96) / 1024));
            Assert.That(neighbours, Is.Zero.Within(5.0 / 1024));
        });
        (double, double)[] tails = [(1, 0.317310508), (2, 0.0455002639), (3, 0.00269979606), (4, 6.33424837e-5)];
        foreach ((double at, double beyond) in tails)
        {
            double expected = N * beyond;
            Assert.That(x.Count(v => Math.Abs(v) > at), Is.EqualTo(expected).Within(5 * Math.Sqrt(expected)), $"beyond {at}");
        }
    }

    [Test]
    public void Keys_and_streams_differ_and_repeat()
    {
        float[] a = Zeros(64), b = Zeros(64);
        Kernels.Uniform(64, Key, 0, Ptr(a));
        RandomKey[] others = [new(Key.Seed + 1, 7), new(Key.Seed ^ (1UL << 63), 7), new(Key.Seed, 8), new(Key.Seed, 7UL << 32)];
        foreach (RandomKey other in others)
        {
            Kernels.Uniform(64, other, 0, Ptr(b));
            Assert.That(a.Zip(b).Count(p => p.First == p.Second), Is.LessThan(2));
        }

        Kernels.Uniform(64, Key, 0, Ptr(b));
        Assert.That(b, Is.EqualTo(a));
    }

    [Test]
    public void Dropout([Values(5, 30_001)] int n, [Values(0f, 0.3f)] float p)
    {
        float[] x = Random(n, 1), u = Zeros(n), y = Filled(n, 1);
        Kernels.Uniform(n, Key, 2, Ptr(u));
        Kernels.Dropout(n, p, Key, 2, Ptr(x), AddTo(y));
        for (int i = 0; i < n; i++)
            Assert.That(y[i], Is.EqualTo(1 + (u[i] >= p ? x[i] / (1 - p) : 0)).Within(1e-6));
        Kernels.Dropout(n, p, Key, 2, Ptr(x), Into(x));
        Assert.That(x.Count(v => v == 0), Is.EqualTo(p * n).Within(5 * Math.Sqrt(n * p) + 3 * p));
    }
}
