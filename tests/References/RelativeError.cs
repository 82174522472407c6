namespace Mdm.Tests;

/// <summary>How far a kernel's result is from a reference.</summary>
internal static class RelativeError
{
    /// <summary>‖found - expected‖ / ‖expected‖; infinite if NaN, which NUnit takes for less than any tolerance. Of zeros, the
    /// numerator.</summary>
    public static double Of(ReadOnlySpan<double> found, ReadOnlySpan<double> expected)
    {
        Assert.That(found.Length, Is.EqualTo(expected.Length), "number of elements");
        double difference = 0, norm = 0;
        for (int i = 0; i < found.Length; i++)
        {
            difference += (found[i] - expected[i]) * (found[i] - expected[i]);
            norm += expected[i] * expected[i];
        }

        double error = Math.Sqrt(norm == 0 ? difference : difference / norm);
        return double.IsNaN(error) ? double.PositiveInfinity : error;
    }
}
