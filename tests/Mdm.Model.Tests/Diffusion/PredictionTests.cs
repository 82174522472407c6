using Mdm.Kernels.Cpu;
using Mdm.Model.Diffusion;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Diffusion;

[TestFixture]
public sealed class PredictionTests
{
    private static readonly CpuDevice s_device = new();

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
    public void BatchesUseEverySamplesOwnGamma()
    {
        float[] gammas = [0.9f, 0.04f], image = [0.5f, -1, 0.25f, 1], noise = [1, 2, -1, 0.5f];
        using Scope scope = Scope.Enter();
        Tensor x = Tensor.From(s_device, image, new Shape(2, 1, 1, 2)), e = Tensor.From(s_device, noise, x.Shape);

        Tensor noisy = Prediction.AddNoise(x, e, gammas, imageScale: 2);
        Tensor velocity = Prediction.Velocity(x, e, gammas, imageScale: 2);
        float[] noisyHere = noisy.ToArray(), velocityHere = velocity.ToArray();
        float[] restored = Prediction.Convert(velocity, noisy, Parameterization.Velocity, Parameterization.Image, gammas).ToArray();

        for (int i = 0; i < 4; i++)
        {
            double c = Math.Sqrt(gammas[i / 2]), s = Math.Sqrt(1 - gammas[i / 2]);
            Assert.That(noisyHere[i], Is.EqualTo(c * image[i] / 2 + s * noise[i]).Within(1e-6));
            Assert.That(velocityHere[i], Is.EqualTo(c * noise[i] - s * image[i] / 2).Within(1e-6));
            Assert.That(restored[i], Is.EqualTo(image[i] / 2).Within(1e-6));
        }
    }
}
