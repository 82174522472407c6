using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Training;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Training;

public sealed class GradientPassTests
{
    private static IDevice Cpu => Devices.Open("cpu");

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    [TestCase(1e30f)] // its square is no float32 number, though its gradient may be
    public void ALossThatIsNotFiniteChangesNoWeight(float pixel)
    {
        using DenoisingNetwork network = Placed();
        using var adam = new Adam(network.Store, new AdamOptions(0.9f, 0.999f, 1e-8f, 0, true, 2, 1));
        float[] before = network.Store.Values.ToArray();
        Assert.That(float.IsFinite(Pass(network, pixel)), Is.False);
        adam.Step(1e-3);
        (long steps, long skipped, _) = adam.Read();
        Assert.That((steps, skipped), Is.EqualTo((0L, 1L)));
        Assert.That(network.Store.Values.ToArray(), Is.EqualTo(before));
    }

    [Test]
    public void TheFactorMultipliesGradientsButNotTheLoss()
    {
        using DenoisingNetwork network = Placed();
        float once = Pass(network, 0.5f);
        float[] gradients = network.Store.Gradients!.ToArray();
        network.Store.ZeroGradients();
        float twice = Pass(network, 0.5f, factor: 2);
        Assert.That(twice, Is.EqualTo(once));
        Assert.That(network.Store.Gradients.ToArray(), Is.EqualTo(Array.ConvertAll(gradients, g => 2 * g)));
        Assert.That(gradients, Has.Some.Not.Zero);
    }

    private static DenoisingNetwork Placed()
    {
        DenoisingNetwork network = NetworkBuilder.Build(TinyRun.Plain(), 0);
        network.Store.Place(Cpu, training: true, seed: 1);
        return network;
    }

    private static float Pass(DenoisingNetwork network, float pixel, double factor = 1)
    {
        var loss = new DiffusionLoss(new DiffusionProcess(
            new DiffusionConfig { SamplerConfig = new SamplerConfig { LossTargetType = PredictionType.VPrediction } },
            network.NestRatios));
        using var pass = new GradientPass(network, loss, factor, record: true);
        using Scope scope = Scope.Enter();
        Tensor images = Tensor.Full(Cpu, new Shape(2, 8, 8, 3), pixel);
        return pass.Add(loss.Prepare(images, null, new Dictionary<string, Tensor>(), new RandomStream(1, 2))).ToArray()[0];
    }
}
