using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Kernels.Profiling;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Diffusion;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Tests.Networks;

/// <summary>Keys and values of the text, computed once for all steps.</summary>
public sealed class PreparedTextTests
{
    private static readonly CpuDevice s_device = new();

    [Test]
    public void PredictionsAreThoseOfTheTextItself(
        [Values] TextNetwork kind, [Values] bool masked, [Values] bool mask)
    {
        using DenoisingNetwork network = TextNetworks.Create(s_device, kind, masked);
        using Scope scope = Scope.Enter();
        // The highest resolution has the first sample only, as in training with a mixed ratio.
        Tensor[] images = [.. network.NestRatios.Select((ratio, k) =>
            new RandomStream(1, (ulong)k).Normal(s_device, new Shape(k == 0 && ratio > 1 ? 1 : 2, 8 * ratio, 8 * ratio, 3)))];
        Tensor times = Tensor.From(s_device, [3f, 700f], new Shape(2));
        TextFeatures text = TextNetworks.Text(s_device, 5, 2, mask);
        float[][] Predict(TextFeatures? told, EncodedText? prepared) => [.. network.Call(
            new NetworkInput(images, times, told, TinyNetwork.NoMicros, prepared)).Predictions.Select(y => y.ToArray())];

        float[][] expected = Predict(text, null);
        Assert.That(Predict(null, network.Prepare(text)), Is.EqualTo(expected));
        TextFeatures other = TextNetworks.Text(s_device, 6, 2, mask);
        Assert.That(Predict(null, network.Prepare(other))[0], Is.Not.EqualTo(expected[0]).Within(1e-3));
    }

    [TestCase(TextNetwork.Plain, 3)]
    [TestCase(TextNetwork.Nested, 6)]
    [TestCase(TextNetwork.Frames, 6)]
    public void EveryAttentionFindsItsOwn(TextNetwork kind, int expected)
    {
        using DenoisingNetwork network = TextNetworks.Create(s_device, kind);
        using Scope scope = Scope.Enter();
        EncodedText prepared = network.Prepare(TextNetworks.Text(s_device, 5, 2))!;

        Assert.That(prepared.KeysValues, Has.Count.EqualTo(expected));
        Assert.That(prepared.KeysValues.Keys.Select(path => $"{path}.kv_cond.weight"), Is.EquivalentTo(
            network.Store.Parameters.Select(p => p.Name).Where(name => name.EndsWith("kv_cond.weight"))));
        Assert.That(prepared.Tensors.Skip(3), Is.EqualTo(prepared.KeysValues.OrderBy(p => p.Key, StringComparer.Ordinal)
            .Select(p => p.Value)), "behind tokens, mask and embedding");
    }

    /// <summary>Guided and unguided steps of one run, and of a second batch.</summary>
    [TestCase("constant")]
    [TestCase("interval:0.3-0.7")]
    [TestCase("interval:0-0.3")]
    public void ARunComputesWithItsTextOnce(string schedule)
    {
        var device = new ProfilingDevice(s_device, () => Module.Running?.Path ?? "");
        using DenoisingNetwork network = TextNetworks.Create(device, TextNetwork.Nested);
        long before = device.Memory.InUse;
        using var sampler = new Sampler(network, Process(network));
        for (int run = 0; run < 2; run++)
        {
            using Scope scope = Scope.Enter();
            device.Reset();
            int steps = sampler.Steps(Request(device, schedule, run), new PictureNoise(1, [0, 1])).Count();
            Assert.That(steps, Is.EqualTo(4));
            KernelRecord[] ofText = [.. device.Records.Where(call => call.Where.Contains("cond") || call.Where.Contains("lm_"))];
            Assert.That(ofText.Select(call => (call.Where, call.Kernel)), Is.Unique);
            Assert.That(Calls(ofText, ".kv_cond"), Is.EqualTo(6));
            Assert.That(Calls(device.Records.Except(ofText), ".qkv"), Is.EqualTo(steps * 6));
        }

        Assert.That(device.Memory.InUse, Is.EqualTo(before));

        static int Calls(IEnumerable<KernelRecord> calls, string end) => calls.Count(call => call.Where.EndsWith(end));
    }

    [Test]
    public void GuidedStepsAreThoseOfAPredictionWithTheTextItself()
    {
        using DenoisingNetwork network = TextNetworks.Create(s_device, TextNetwork.Plain);
        DiffusionProcess process = Process(network);
        using var sampler = new Sampler(network, process);
        using Scope scope = Scope.Enter();
        SamplingRequest request = Request(s_device, "interval:0.3-1", 0) with { Eta = 0, Threshold = ThresholdType.None };
        Tensor x = Scope.Detach(new PictureNoise(1, [0, 1]).Draw(s_device, new Shape(2, 8, 8, 3)));
        foreach (SamplingState state in sampler.Steps(request, new PictureNoise(1, [0, 1])))
        {
            Tensor t = Tensor.Full(s_device, new Shape(2), state.Time - 1);
            float[] Predicted(TextFeatures text) =>
                network.Call(new NetworkInput([x], t, text, TinyNetwork.NoMicros)).Predictions[0].ToArray();
            float[] with = Predicted(request.Text!), without = Predicted(request.NegativeText!), noisy = x.ToArray();
            double w = state.Step == 1 ? 1 : request.Guidance;
            Conversion image = Conversion.Of(process.Predicted, Parameterization.Image, process.Schedule[state.Time]);
            float[] expected = [.. with.Zip(without).Select((y, i) =>
                (float)(image.Output * (y.Second + w * (y.First - y.Second)) + image.Noisy * noisy[i]))];
            Assert.That(Golden.Close.Error(state.Denoised[0].ToArray(), expected), Is.LessThan(1e-5), $"step {state.Step}");
            x = Tensor.From(s_device, state.Noisy[0].ToArray(), x.Shape);
        }
    }

    private static DiffusionProcess Process(DenoisingNetwork network) => new(
        new DiffusionConfig
        {
            NoUseResidual = true,
            SamplerConfig = new SamplerConfig
            {
                NumDiffusionSteps = 32,
                ScheduleType = ScheduleType.Deepfloyd,
                PredictionType = PredictionType.VPrediction,
            },
        }, network.NestRatios);

    private static SamplingRequest Request(IDevice device, string schedule, int run) => new()
    {
        Batch = 2,
        Height = 8,
        Width = 8,
        Steps = 4,
        Guidance = 3,
        GuidanceSchedule = GuidanceSchedule.Parse(schedule),
        Text = TextNetworks.Text(device, (ulong)(10 + run), 2),
        NegativeText = TextNetworks.Text(device, 20, 2),
    };
}
