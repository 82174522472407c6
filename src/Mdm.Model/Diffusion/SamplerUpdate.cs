namespace Mdm.Model.Diffusion;

/// <summary>One step of a sampler from time t to an earlier s: x_s = Image·x₀ + Noisy·x_t + Other·x₀' + Noise·z with z standard
/// normal, x₀ the picture that the network has just predicted and x₀' the one that it predicted before. All weights follow from
/// the signal powers γ; with α = √γ and σ = √(1-γ), x_t = α_t·x + σ_t·ε.</summary>
public readonly record struct SamplerUpdate(double Image, double Noisy, double Noise, double Other = 0)
{
    /// <summary>Ancestral sampling or DDIM, with a = γ_t/γ_s, β = 1-a, β̃ = β(1-γ_s)/(1-γ_t).</summary>
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

    /// <summary>DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2), with λ = ln(α/σ), h = λ_s - λ_t, r = (λ_t - λ_p)/h:
    /// x_s = (σ_s/σ_t)·x_t - α_s·(e^-h - 1)·((1 + 1/2r)·x₀ - 1/2r·x₀'), x₀' predicted at p. The first step has no x₀', and the
    /// last one an infinite h: both are of first order, which is DDIM without noise.</summary>
    /// <param name="gammaBefore">γ_p, smaller than γ_t; null in the first step.</param>
    /// <param name="gamma">γ_t.</param>
    /// <param name="gammaNext">γ_s, larger.</param>
    public static SamplerUpdate Multistep(double? gammaBefore, double gamma, double gammaNext)
    {
        if (gammaBefore is not { } before || gammaNext >= 1)
            return Of(gamma, gammaNext, eta: 0);
        double h = HalfLogSnr(gammaNext) - HalfLogSnr(gamma), r = (HalfLogSnr(gamma) - HalfLogSnr(before)) / h;
        double weight = -Math.Sqrt(gammaNext) * (Math.Exp(-h) - 1);
        return new(weight * (1 + 1 / (2 * r)), Math.Sqrt((1 - gammaNext) / (1 - gamma)), 0, -weight / (2 * r));
    }

    /// <summary>The second half of a step of Heun's method (arXiv 2206.00364) on d(x/α)/d(σ/α) = ε: the mean of ε at t and of ε at s,
    /// there predicted for the x_s of DDIM without noise, in place of the first alone. With ρ = (σ_t/α_t)/(σ_s/α_s) that is
    /// x_s = DDIM(x₀', x_t) + α_s·(ρ-1)/2·(x₀ - x₀'), x₀' predicted at t and x₀ at s.</summary>
    /// <param name="gamma">γ_t.</param>
    /// <param name="gammaNext">γ_s, larger and below 1: a step to s = 0 has no second half.</param>
    public static SamplerUpdate HeunCorrection(double gamma, double gammaNext)
    {
        SamplerUpdate first = Of(gamma, gammaNext, eta: 0);
        double ratio = Math.Exp(HalfLogSnr(gammaNext) - HalfLogSnr(gamma));
        double weight = Math.Sqrt(gammaNext) * (ratio - 1) / 2;
        return new(weight, first.Noisy, 0, first.Image - weight);
    }

    private static double HalfLogSnr(double gamma) => Math.Log(gamma / (1 - gamma)) / 2;
}
