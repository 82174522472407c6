using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

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

/// <summary>Conversions between what networks predict, for whole batches with a γ per sample.</summary>
public static class Prediction
{
    /// <summary>What a configured prediction type stands for.</summary>
    public static Parameterization ToParameterization(this PredictionType type) =>
        type == PredictionType.VPrediction ? Parameterization.Velocity : Parameterization.Noise;

    /// <summary>Turns predictions of one kind into another.</summary>
    /// <param name="output">What the network said, [B,H,W,C].</param>
    /// <param name="noisy">x_t, likewise.</param>
    /// <param name="from">What <paramref name="output"/> is.</param>
    /// <param name="to">What is wanted.</param>
    /// <param name="gammas">γ of every sample.</param>
    public static Tensor Convert(
        Tensor output, Tensor noisy, Parameterization from, Parameterization to, ReadOnlySpan<float> gammas)
    {
        if (from == to)
            return output;
        (Tensor a, Tensor b) = Coefficients(output, gammas, gamma =>
        {
            Conversion conversion = Conversion.Of(from, to, gamma);
            return (conversion.Output, conversion.Noisy);
        });
        return Op.PerSample(a, output, b, noisy);
    }

    /// <summary>x_t = √γ·x + √(1-γ)·ε, with x divided by <paramref name="imageScale"/>.</summary>
    public static Tensor AddNoise(Tensor image, Tensor noise, ReadOnlySpan<float> gammas, double imageScale = 1)
    {
        (Tensor a, Tensor b) = Coefficients(image, gammas, gamma => (Math.Sqrt(gamma) / imageScale, Math.Sqrt(1 - gamma)));
        return Op.PerSample(a, image, b, noise);
    }

    /// <summary>v = √γ·ε - √(1-γ)·x, with x divided by <paramref name="imageScale"/>.</summary>
    public static Tensor Velocity(Tensor image, Tensor noise, ReadOnlySpan<float> gammas, double imageScale = 1)
    {
        (Tensor a, Tensor b) = Coefficients(image, gammas, gamma => (-Math.Sqrt(1 - gamma) / imageScale, Math.Sqrt(gamma)));
        return Op.PerSample(a, image, b, noise);
    }

    private static (Tensor A, Tensor B) Coefficients(
        Tensor like, ReadOnlySpan<float> gammas, Func<double, (double A, double B)> of)
    {
        float[] a = new float[gammas.Length], b = new float[gammas.Length];
        for (int i = 0; i < gammas.Length; i++)
        {
            (double first, double second) = of(gammas[i]);
            (a[i], b[i]) = ((float)first, (float)second);
        }

        var shape = new Shape(gammas.Length);
        return (Tensor.From(like.Device, a, shape), Tensor.From(like.Device, b, shape));
    }
}
