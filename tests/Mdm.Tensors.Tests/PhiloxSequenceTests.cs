using Mdm.Kernels;

namespace Mdm.Tensors.Tests;

public class PhiloxSequenceTests
{
    [Test]
    public void It_gives_the_numbers_of_the_stream_and_goes_on_anywhere()
    {
        var sequence = new PhiloxSequence(5, 7);
        uint[] numbers = Enumerable.Range(0, 11).Select(_ => sequence.Next()).ToArray();
        Assert.That(numbers, Is.EqualTo(Enumerable.Range(0, 11).Select(i => Philox.Bits(new RandomKey(5, 7), i))));
        Assert.That(sequence.Position, Is.EqualTo(11));
        Assert.That(new PhiloxSequence(5, 7, 6).Next(), Is.EqualTo(numbers[6]));
    }

    [Test]
    public void Numbers_are_spread_as_they_should_be()
    {
        const int count = 60_000;
        var sequence = new PhiloxSequence(1, 2);
        int[] frequencies = new int[6];
        for (int i = 0; i < count; i++)
            frequencies[sequence.Below(6)]++;
        Assert.That(frequencies, Has.All.InRange(9_600, 10_400)); // 4.4 standard deviations
        double[] normal = Enumerable.Range(0, count).Select(_ => sequence.Normal()).ToArray();
        Assert.That(normal.Average(), Is.EqualTo(0).Within(0.02));
        Assert.That(normal.Average(x => x * x), Is.EqualTo(1).Within(0.03));
        Assert.That(normal.Count(x => Math.Abs(x) > 2) / (double)count, Is.EqualTo(0.0455).Within(0.005));
    }
}
