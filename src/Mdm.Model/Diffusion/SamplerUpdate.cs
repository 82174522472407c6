namespace Mdm.Model.Diffusion;

/// <summary>One step of a sampler from time t to an earlier s: x_s = Image·x₀ + Noisy·x_t + Noise·z, z standard normal.</summary>
public readonly record struct SamplerUpdate(double Image, double Noisy, double Noise)
{
    /// <summary>With α = γ_t/γ_s, β = 1-α, β̃ = β(1-γ_s)/(1-γ_t).</summary>
    /// <param name="gamma">γ_t.</param>
    /// <param name="gammaNext">γ_s, larger.</param>
    /// <param name="eta">Null: ancestral sampling (arXiv 2006.11239). Otherwise DDIM (arXiv 2010.02502) with that share of the
    /// ancestral noise: x_s = √γ_s·x₀ + √(1-γ_s-η²β̃)·ε + η√β̃·z, where ε follows from x_t and x₀.</param>
    public static SamplerUpdate Of(double gamma, double gammaNext, double? eta)
    {
        double alpha = gamma / gammaNext, beta = 1 - alpha;
        double variance = beta * (1 - gammaNext) / (1 - gamma);
        if (eta is not { } share)
        {
            return new(beta * Math.Sqrt(gammaNext) / (1 - gamma), Math.Sqrt(alpha) * (1 - gammaNext) / (1 - gamma),
                Math.Sqrt(variance));
        }

        double added = share * share * variance;
        double direction = Math.Sqrt(Math.Max(0, 1 - gammaNext - added));
        Conversion epsilon = Conversion.Of(Parameterization.Image, Parameterization.Noise, gamma);
        return new(Math.Sqrt(gammaNext) + direction * epsilon.Output, direction * epsilon.Noisy, Math.Sqrt(added));
    }
}
