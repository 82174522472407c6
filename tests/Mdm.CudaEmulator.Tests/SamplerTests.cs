using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Diffusion;
using Mdm.Model.Tests.Golden;
using Mdm.Tensors;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Every sampler on the emulated GPU, its steps recorded and replayed, beside the processor.</summary>
public sealed class SamplerTests
{
    [TestCase(SamplerKind.DpmSolver, false)]
    [TestCase(SamplerKind.Heun, true)]
    public void RecordedStepsEqualThoseOfTheProcessor(SamplerKind kind, bool masked)
    {
        float[] expected = Draw(Devices.Open("cpu"), kind, masked), found = Draw(Devices.Open("cuda"), kind, masked);
        Assert.That(Close.Error(found, expected), Is.LessThan(1e-3));
    }

    private static float[] Draw(IDevice device, SamplerKind kind, bool masked)
    {
        using DenoisingNetwork network = TinyNetwork.Nested(device).Awake();
        var config = new DiffusionConfig
        {
            NoUseResidual = true,
            SamplerConfig = new SamplerConfig
            {
                NumDiffusionSteps = 32,
                ScheduleType = ScheduleType.Deepfloyd,
                PredictionType = PredictionType.VPrediction,
                ScheduleShifted = true,
            },
        };
        using var sampler = new Sampler(network, new DiffusionProcess(config, network.NestRatios));
        using Scope scope = Scope.Enter();
        var shape = new Shape(2, 8, 8, 3);
        float[] mask = [.. Enumerable.Range(0, (int)shape.Count).Select(i => i / 3 % 8 < 4 ? 1f : 0)];
        var request = new SamplingRequest
        {
            Batch = 2,
            Height = 8,
            Width = 8,
            Steps = 4,
            Sampler = kind,
            Start = masked ? new StartingPicture(Tensor.Full(device, shape, 0.25f), 1, Tensor.From(device, mask, shape)) : null,
        };
        return sampler.Sample(request, new PictureNoise(4, [0, 1])).ToArray();
    }
}
