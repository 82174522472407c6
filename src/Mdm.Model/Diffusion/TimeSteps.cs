using Mdm.Kernels;

namespace Mdm.Model.Diffusion;

/// <summary>The times that a sampler visits.</summary>
public static class TimeSteps
{
    /// <summary>i·(T+1)/(N+1), rounded half to even, for i = N..0: N+1 falling times that end with 0, for N sampling steps out of
    /// T diffusion steps. With N = T these are T, T-1, .., 0; with fewer the first is a little below T.</summary>
    /// <exception cref="MdmException">N is not in 1..T.</exception>
    public static int[] Create(int diffusionSteps, int samplingSteps)
    {
        if (samplingSteps < 1 || samplingSteps > diffusionSteps)
            throw new MdmException($"{samplingSteps} sampling steps, expected 1 to {diffusionSteps} (num_diffusion_steps)");
        int[] times = new int[samplingSteps + 1];
        for (int i = 0; i <= samplingSteps; i++)
            times[samplingSteps - i] = RoundedQuotient((long)i * (diffusionSteps + 1), samplingSteps + 1);
        return times;
    }

    /// <summary>The times of the last steps, of which there are share·N rounded, and at least one.</summary>
    /// <param name="times">Those of all N steps, N+1 of them.</param>
    /// <param name="share">Above 0 and up to 1.</param>
    public static int[] Last(int[] times, double share)
    {
        int steps = Math.Clamp((int)Math.Round(share * (times.Length - 1)), 1, times.Length - 1);
        return times[^(steps + 1)..];
    }

    // In integers, because whether a quotient is exactly a half decides where it goes.
    private static int RoundedQuotient(long numerator, long denominator)
    {
        (long quotient, long rest) = Math.DivRem(numerator, denominator);
        bool up = 2 * rest > denominator || (2 * rest == denominator && quotient % 2 != 0);
        return (int)(up ? quotient + 1 : quotient);
    }
}
