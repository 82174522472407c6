using Mdm.Kernels;
using Mdm.Tensors.Checks;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Tests;

[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.Names))]
public sealed class RandomStreamTests(string name)
{
    private IDevice Device => Devices.Open(name);
    private Scope? _scope;

    [SetUp]
    public void Begin() => _scope = Scope.Enter();

    [TearDown]
    public void End() => _scope!.Dispose();

    [Test]
    public void PhiloxGivesThePublishedAnswers()
    {
        // The known answers that the authors publish with their Random123 library.
        Assert.That(PhiloxReference.Block([0, 0, 0, 0], [0, 0]),
            Is.EqualTo(new uint[] { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 }));
        Assert.That(PhiloxReference.Block([~0u, ~0u, ~0u, ~0u], [~0u, ~0u]),
            Is.EqualTo(new uint[] { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd }));
        Assert.That(PhiloxReference.Block([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            Is.EqualTo(new uint[] { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 }));
    }

    [Test]
    public void AStreamContinuesFromItsPosition()
    {
        var whole = new RandomStream(1, 2);
        float[] first = whole.Normal(Device, new Shape(3, 7)).ToArray();
        long position = whole.Position;
        float[] second = whole.Uniform(Device, new Shape(10)).ToArray();
        var resumed = new RandomStream(1, 2);
        resumed.Rewind(position);
        Assert.That(resumed.Uniform(Device, new Shape(10)).ToArray(), Is.EqualTo(second));
        Assert.That(resumed.Position, Is.EqualTo(whole.Position));
        Assert.That(resumed.Rewind(0), Is.EqualTo(whole.Position));
        Assert.That(resumed.Normal(Device, new Shape(21)).ToArray(), Is.EqualTo(first));
        Assert.That(position % 4, Is.EqualTo(0));
    }

    [Test]
    public void SeedsAndStreamsDiffer()
    {
        float[] a = Draw(1, 2);
        Assert.That(Draw(1, 3), Is.Not.EqualTo(a));
        Assert.That(Draw(2, 2), Is.Not.EqualTo(a));
        Assert.That(Draw(2, 1), Is.Not.EqualTo(a));

        float[] Draw(ulong seed, ulong stream) => new RandomStream(seed, stream).Uniform(Device, new Shape(8)).ToArray();
    }

    [Test]
    public void NormalNumbersHaveTheMomentsOfTheNormalDistribution()
    {
        const int n = 1 << 18;
        double[] x = Array.ConvertAll(new RandomStream(7, 0).Normal(Device, new Shape(n)).ToArray(), v => (double)v);
        double sigma = 1 / Math.Sqrt(n);
        Assert.Multiple(() =>
        {
            Assert.That(x.Average(), Is.Zero.Within(4 * sigma));
            Assert.That(x.Average(v => v * v), Is.EqualTo(1).Within(4 * Math.Sqrt(2) * sigma));
            Assert.That(x.Average(v => v * v * v), Is.Zero.Within(4 * Math.Sqrt(15) * sigma));
            Assert.That(x.Average(v => v * v * v * v), Is.EqualTo(3).Within(4 * Math.Sqrt(96) * sigma));
            Assert.That(x.Count(v => v > 1.959964) / (double)n, Is.EqualTo(0.025).Within(4 * Math.Sqrt(0.025) * sigma));
            Assert.That(x.Zip(x.Skip(1), (a, b) => a * b).Average(), Is.Zero.Within(4 * sigma), "neighbours");
        });
    }

    [Test]
    public void UniformNumbersFillTheUnitIntervalEvenly()
    {
        const int n = 1 << 18, bins = 64;
        float[] x = new RandomStream(7, 1).Uniform(Device, new Shape(n)).ToArray();
        Assert.That(x, Is.All.InRange(0f, 1f - 1f / (1 << 24)));
        double chiSquared = x.GroupBy(v => (int)(v * bins)).Sum(g => Math.Pow(g.Count() - n / bins, 2) / (n / bins));
        Assert.That(chiSquared, Is.InRange(25, 115), "63 degrees of freedom: beyond this range once in 10,000");
    }

    [Test]
    public void DropoutDropsTheShareAskedForAndKeepsTheMean()
    {
        const int n = 100_000;
        const float p = 0.3f;
        RandomStream.Current = new RandomStream(4, 4);
        try
        {
            Tensor ones = Tensor.Empty(Device, new Shape(n));
            Device.Kernels.Fill(n, 1, ones.Ptr);
            Tensor x = ones.AsLeaf();
            using Tape tape = Tape.Start();
            Tensor y = Op.Dropout(x, p);
            float[] dropped = y.ToArray();
            Assert.That(dropped.Count(v => v == 0) / (double)n, Is.EqualTo(p).Within(4 * Math.Sqrt(p * (1 - p) / n)));
            Assert.That(dropped.Where(v => v != 0), Is.All.EqualTo(1 / (1 - p)).Within(1e-6));
            tape.Backward(y);
            Assert.That(x.Gradient!.ToArray(), Is.EqualTo(dropped), "the gradient passes through the same mask");
            Assert.That(Op.Dropout(x, p).ToArray(), Is.Not.EqualTo(dropped), "the next call draws another mask");
            x.FreeGradient();
        }
        finally
        {
            RandomStream.Current = null;
        }
    }
}
