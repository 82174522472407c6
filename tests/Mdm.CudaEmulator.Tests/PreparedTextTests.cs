using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Diffusion;
using Mdm.Model.Tests.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Keys and values of the text, computed once for all steps, on the emulated GPU.</summary>
public sealed class PreparedTextTests
{
    private static IDevice Gpu => Devices.Open("cuda");

    [TestCase(TextNetwork.Frames, DType.Float32)]
    [TestCase(TextNetwork.Nested, DType.BFloat16)]
    public void PredictionsAreThoseOfTheTextItself(TextNetwork kind, DType type)
    {
        using DenoisingNetwork network = TextNetworks.Create(Gpu, kind, type: type);
        using Scope scope = Scope.Enter();
        Tensor[] images = [.. network.NestRatios.Select((ratio, k) =>
            new RandomStream(1, (ulong)k).Normal(Gpu, new Shape(2, 4 * ratio, 4 * ratio, 3)))];
        Tensor times = Tensor.From(Gpu, [3f, 700f], new Shape(2));
        TextFeatures text = TextNetworks.Text(Gpu, 5, 2);
        float[][] Predict(TextFeatures? told, EncodedText? prepared) => [.. network.Call(
            new NetworkInput(images, times, told, TinyNetwork.NoMicros, prepared)).Predictions.Select(y => y.ToArray())];

        EncodedText ready = network.Prepare(text)!;
        Assert.That(ready.KeysValues.Values.Select(kv => kv.Type), Is.All.EqualTo(type));
        Assert.That(Predict(null, ready), Is.EqualTo(Predict(text, null)));
    }

    /// <summary>Guided and unguided steps, and a second batch with another text.</summary>
    [Test]
    public void RecordedStepsReadTheTextOfTheirOwnBatch()
    {
        var device = new CaptureCounter(Gpu);
        using DenoisingNetwork network = TextNetworks.Create(device, TextNetwork.Plain, type: DType.BFloat16);
        var process = new DiffusionProcess(new DiffusionConfig(), network.NestRatios);
        using var queued = new Sampler(network, process, record: false);
        float[][] expected = [Draw(queued, 0), Draw(queued, 1)];
        Assert.That(expected[0], Is.Not.EqualTo(expected[1]).Within(1e-3));

        using var replayed = new Sampler(network, process);
        Assert.That(Draw(replayed, 0), Is.EqualTo(expected[0]));
        Assert.That(Draw(replayed, 1), Is.EqualTo(expected[1]), "the second batch");
        Assert.That(device.Captures, Is.EqualTo(2), "with and without guidance");
        Assert.That(device.Replays, Is.EqualTo(2 * 6 - 2 * 2), "all steps but two of each kind");

        float[] Draw(Sampler sampler, ulong prompt)
        {
            using Scope scope = Scope.Enter();
            var request = new SamplingRequest
            {
                Batch = 1,
                Height = 4,
                Width = 4,
                Steps = 6,
                Eta = 0,
                Guidance = 3,
                GuidanceSchedule = GuidanceSchedule.Parse("interval:0-0.5"),
                Text = TextNetworks.Text(device, prompt, 1),
                NegativeText = TextNetworks.Text(device, 20, 1),
            };
            return sampler.Sample(request, new PictureNoise(5, [0])).ToArray();
        }
    }

    [Test]
    public void ConstantsAreCopiedWhenTheyAreOtherTensors()
    {
        using Scope scope = Scope.Enter();
        using var recorder = new StepRecorder(Gpu);
        Tensor Three(float value) => Tensor.Full(Gpu, new Shape(3), value);
        Tensor x = Three(1), first = Three(10), second = Three(20);
        float Sum(Tensor constant) =>
            recorder.Run("sum", [x], tensors => [Op.Add(tensors[0], tensors[1])], [constant])[0].ToArray()[2];

        Assert.That(Enumerable.Range(0, 4).Select(_ => Sum(first)), Is.All.EqualTo(11));
        Assert.That(recorder.Recordings, Is.EqualTo(1));
        // Against the rules, so that a copy would show.
        first.CopyFrom([30, 30, 30]);
        Assert.That(Sum(first), Is.EqualTo(11));
        Assert.That(Sum(second), Is.EqualTo(21));
        Assert.That(Sum(first), Is.EqualTo(31));
    }
}
