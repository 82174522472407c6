namespace Mdm.Model.Tests.Golden;

/// <summary>Comparisons of arrays by their norms.</summary>
internal static class Close
{
    /// <summary>Forward passes, and everything computed like one.</summary>
    public const double Forward = 1e-5;

    /// <summary>Gradients, trajectories and trained weights.</summary>
    public const double Gradient = 1e-4;

    /// <summary>|found - expected| / |expected|.</summary>
    public static double Error(ReadOnlySpan<float> found, ReadOnlySpan<float> expected)
    {
        double difference = 0, size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double d = (double)found[i] - expected[i];
            difference += d * d;
            size += (double)expected[i] * expected[i];
        }

        double error = difference == 0 ? 0 : Math.Sqrt(difference / size);
        return double.IsNaN(error) ? double.PositiveInfinity : error; // NUnit takes NaN for less than any tolerance
    }

    public static double LargestDifference(ReadOnlySpan<float> found, ReadOnlySpan<float> expected)
    {
        double largest = 0;
        for (int i = 0; i < expected.Length; i++)
            largest = Math.Max(largest, Math.Abs((double)found[i] - expected[i]));
        return double.IsNaN(largest) ? double.PositiveInfinity : largest;
    }

    /// <summary>Asserts the relative error by norm.</summary>
    public static void Require(string what, ReadOnlySpan<float> found, ReadOnlySpan<float> expected, double tolerance)
    {
        Assert.That(found.Length, Is.EqualTo(expected.Length), $"{what}: number of elements");
        Assert.That(Error(found, expected), Is.LessThanOrEqualTo(tolerance), $"{what}: relative error by norm");
    }
}
