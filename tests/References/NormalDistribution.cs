namespace Mdm.Tests;

/// <summary>The normal distribution in float64.</summary>
internal static class NormalDistribution
{
    /// <summary>φ(x).</summary>
    public static double Density(double x) => Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);

    /// <summary>Φ(x), by its series near 0 and its continued fraction in the tails.</summary>
    public static double Cdf(double x)
    {
        if (Math.Abs(x) < 4)
        {
            double sum = x, term = x;
            for (int k = 3; k < 200; k += 2)
                sum += term *= x * x / k;
            return 0.5 + Density(x) * sum;
        }

        double a = Math.Abs(x), fraction = a;
        for (int k = 60; k > 0; k--)
            fraction = a + k / fraction;
        return x < 0 ? Density(x) / fraction : 1 - Density(x) / fraction;
    }

    /// <summary>GELU: x·Φ(x).</summary>
    public static double Gelu(double x) => x * Cdf(x);

    /// <summary>The derivative of GELU: Φ(x) + x·φ(x).</summary>
    public static double GeluSlope(double x) => Cdf(x) + x * Density(x);
}
