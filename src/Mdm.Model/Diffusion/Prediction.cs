using Mdm.Model.Configuration;

namespace Mdm.Model.Diffusion;

/// <summary>What a network predicts, or a loss compares, of a picture with noise.</summary>
public enum Parameterization
{
    /// <summary>x, the picture.</summary>
    Image,

    /// <summary>ε, the noise.</summary>
    Noise,

    /// <summary>v = √γ·ε - √(1-γ)·x.</summary>
    Velocity,
}

/// <summary>A linear form Output·(network output) + Noisy·x_t.</summary>
public readonly record struct Conversion(double Output, double Noisy)
{
    /// <summary>A network predicts <paramref name="from"/> from x_t; this turns that into <paramref name="to"/>.
    /// All follow from x_t = √γ·x + √(1-γ)·ε and v = √γ·ε - √(1-γ)·x.</summary>
    public static Conversion Of(Parameterization from, Parameterization to, double gamma)
    {
        double signal = Math.Sqrt(gamma), noise = Math.Sqrt(1 - gamma);
        return (from, to) switch
        {
            _ when from == to => new(1, 0),
            (Parameterization.Noise, Parameterization.Image) => new(-noise / signal, 1 / signal),
            (Parameterization.Noise, Parameterization.Velocity) => new(1 / signal, -noise / signal),
            (Parameterization.Velocity, Parameterization.Image) => new(-noise, signal),
            (Parameterization.Velocity, Parameterization.Noise) => new(signal, noise),
            (Parameterization.Image, Parameterization.Noise) => new(-signal / noise, 1 / noise),
            (Parameterization.Image, Parameterization.Velocity) => new(-1 / noise, signal / noise),
            _ => throw new ArgumentOutOfRangeException(nameof(from), $"no conversion from {from} to {to}"),
        };
    }
}

/// <summary>A linear form Image·x + Noise·ε.</summary>
public readonly record struct Mixture(double Image, double Noise)
{
    /// <summary>x_t = √γ·x + √(1-γ)·ε, with x divided by <paramref name="imageScale"/>.</summary>
    public static Mixture Noisy(double gamma, double imageScale = 1) => new(Math.Sqrt(gamma) / imageScale, Math.Sqrt(1 - gamma));

    /// <summary>v = √γ·ε - √(1-γ)·x, with x divided by <paramref name="imageScale"/>.</summary>
    public static Mixture Velocity(double gamma, double imageScale = 1) =>
        new(-Math.Sqrt(1 - gamma) / imageScale, Math.Sqrt(gamma));
}

/// <summary>What configured prediction types stand for.</summary>
public static class PredictionTypes
{
    /// <summary>What a network of that type predicts, or a loss compares.</summary>
    public static Parameterization ToParameterization(this PredictionType type) =>
        type == PredictionType.VPrediction ? Parameterization.Velocity : Parameterization.Noise;
}
