using Mdm.Model.Diffusion;

namespace Mdm.Model.Tests.Diffusion;

[TestFixture]
public sealed class PredictionTests
{
    [Test]
    public void ConversionsAgreeWithTheDefinitions(
        [Values] Parameterization from, [Values] Parameterization to, [Values(0.0123, 0.5, 0.987)] double gamma)
    {
        const double image = 0.3, noise = -1.7;
        double c = Math.Sqrt(gamma), s = Math.Sqrt(1 - gamma);
        double noisy = c * image + s * noise;

        Conversion conversion = Conversion.Of(from, to, gamma);

        Assert.That(conversion.Output * Value(from) + conversion.Noisy * noisy, Is.EqualTo(Value(to)).Within(1e-12));

        double Value(Parameterization p) => p switch
        {
            Parameterization.Image => image,
            Parameterization.Noise => noise,
            _ => c * noise - s * image,
        };
    }

    [Test]
    public void NoisyImageAndVelocityGiveTheImageBack([Values(0.04, 0.9)] double gamma, [Values(1, 2)] double scale)
    {
        const double image = 0.5, noise = -1.25;
        double c = Math.Sqrt(gamma), s = Math.Sqrt(1 - gamma);
        Mixture noisy = Mixture.Noisy(gamma, scale), velocity = Mixture.Velocity(gamma, scale);

        double x = noisy.Image * image + noisy.Noise * noise, v = velocity.Image * image + velocity.Noise * noise;

        Assert.That(x, Is.EqualTo(c * image / scale + s * noise).Within(1e-12));
        Assert.That(v, Is.EqualTo(c * noise - s * image / scale).Within(1e-12));
        Conversion back = Conversion.Of(Parameterization.Velocity, Parameterization.Image, gamma);
        Assert.That(back.Output * v + back.Noisy * x, Is.EqualTo(image / scale).Within(1e-12));
    }
}
