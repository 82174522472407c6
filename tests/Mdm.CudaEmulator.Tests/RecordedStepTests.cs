using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Diffusion;
using Mdm.Model.Tests.Training;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Steps that are recorded and replayed do what the same steps do when each kernel is queued anew.</summary>
public sealed class RecordedStepTests
{
    [TestCase(1, false)]
    [TestCase(2, true)]
    public void TrainingGivesTheSameBits(int accumulations, bool bfloat16)
    {
        using var run = new TinyRun();
        long before = Devices.Open("cuda").Memory.InUse;
        Trained queued = Train(run, "queued", accumulations, bfloat16, graphs: false);
        Trained replayed = Train(run, "replayed", accumulations, bfloat16, graphs: true);

        Assert.That((queued.Captures, queued.Replays), Is.EqualTo((0, 0)));
        Assert.That(replayed.Captures, Is.GreaterThan(0), "captures");
        Assert.That(replayed.Replays, Is.GreaterThan(0), "replays");
        Assert.That(replayed.Losses, Is.EqualTo(queued.Losses));
        TinyRun.AssertSame(replayed.Weights, queued.Weights);
        TinyRun.AssertSame(replayed.Average, queued.Average);
        Assert.That(replayed.State, Is.EqualTo(queued.State));
        Assert.That(Devices.Open("cuda").Memory.InUse, Is.EqualTo(before), "bytes in use afterwards");
    }

    [Test]
    public void DropoutIsNotRecorded()
    {
        using var run = new TinyRun();
        var device = new CaptureCounter(Devices.Open("cuda"));
        using var trainer = new Trainer(run.Config(change: c => c.NumTrainingSteps = 4), device, new TrainerOptions());
        trainer.Run();
        Assert.That(device.Captures, Is.Zero);
    }

    [TestCase(null, ThresholdType.Dynamic)]
    [TestCase(0.0, ThresholdType.Clip)]
    public void SamplingGivesTheSameBits(double? eta, ThresholdType threshold)
    {
        var device = new CaptureCounter(Devices.Open("cuda"));
        using DenoisingNetwork network = TinyNetwork.Nested(device).Awake();
        var process = new DiffusionProcess(new DiffusionConfig { NoUseResidual = true }, network.NestRatios);
        var request = new SamplingRequest
        {
            Batch = 2,
            Height = 16,
            Width = 16,
            Steps = 6,
            Eta = eta,
            Threshold = threshold,
        };
        using var queued = new Sampler(network, process, record: false);
        float[][] expected = [Draw(queued, 0), Draw(queued, 2)];
        Assert.That(device.Captures, Is.Zero);

        using var replayed = new Sampler(network, process);
        Assert.That(Draw(replayed, 0), Is.EqualTo(expected[0]));
        int first = device.Replays;
        Assert.That(Draw(replayed, 2), Is.EqualTo(expected[1]), "the second batch");
        Assert.That(first, Is.GreaterThan(0));
        Assert.That(device.Replays - first, Is.GreaterThan(first), "the second batch is replayed from its first step");
        Assert.That(device.Captures, Is.EqualTo(1));

        float[] Draw(Sampler sampler, int picture)
        {
            using Scope scope = Scope.Enter();
            return sampler.Sample(request, new PictureNoise(5, [picture, picture + 1])).ToArray();
        }
    }

    [Test]
    public void TwoRunsOfOneSamplerDoNotDisturbEachOther()
    {
        IDevice device = Devices.Open("cuda");
        using DenoisingNetwork network = TinyNetwork.Plain(device).Awake();
        using var sampler = new Sampler(network, new DiffusionProcess(new DiffusionConfig(), network.NestRatios));
        var request = new SamplingRequest { Batch = 1, Height = 8, Width = 8, Steps = 6 };
        float[][] alone = [.. Enumerable.Range(0, 2).Select(i => Pictures(i).Last())];
        using IEnumerator<float[]> a = Pictures(0).GetEnumerator(), b = Pictures(1).GetEnumerator();
        while (a.MoveNext() && b.MoveNext())
        {
        }

        Assert.That(a.Current, Is.EqualTo(alone[0]));
        Assert.That(b.Current, Is.EqualTo(alone[1]));

        IEnumerable<float[]> Pictures(int picture)
        {
            foreach (SamplingState state in sampler.Steps(request, new PictureNoise(1, [picture])))
                yield return state.Noisy[0].ToArray();
        }
    }

    [Test]
    public void EveryShapeIsRecordedOnItsOwnAndOnlySoMany()
    {
        var device = new CaptureCounter(Devices.Open("cuda"));
        long before = device.Memory.InUse;
        using (var recorder = new StepRecorder(device))
        {
            for (int round = 0; round < 4; round++)
                for (int n = 1; n <= 6; n++)
                {
                    using Scope scope = Scope.Enter();
                    float[] values = [.. Enumerable.Range(0, n).Select(i => i + 10f * round)];
                    Tensor y = recorder.Run("double", [Tensor.From(device, values, new Shape(n))], x => [Op.Scale(x[0], 2)])[0];
                    Assert.That(y.ToArray(), Is.EqualTo(values.Select(v => 2 * v)), $"{n} numbers, round {round}");
                }

            Assert.That(device.Captures, Is.EqualTo(4));
            Assert.That(device.Replays, Is.EqualTo(2 * 4), "rounds 2 and 3");
        }

        Assert.That(device.Live, Is.Zero);
        Assert.That(device.Memory.InUse, Is.EqualTo(before));
    }

    private sealed record Trained(int Captures, int Replays, double[] Losses, Dictionary<string, float[]> Weights,
        Dictionary<string, float[]> Average, double[] State);

    private static Trained Train(TinyRun run, string output, int accumulations, bool bfloat16, bool graphs)
    {
        var device = new CaptureCounter(Devices.Open("cuda"));
        var seen = new Recorder();
        ProgramConfig config = run.Config(output, c =>
        {
            (c.NumTrainingSteps, c.NumGradientAccumulations, c.Fp16, c.UseGraphs) = (6, accumulations, bfloat16, graphs);
            // Captions of one length: one shape for all steps.
            (c.ReaderConfig.PadToMaxLength, c.ReaderConfig.MaxTokenLength) = (true, 32);
            foreach (UNetConfig level in c.UnetConfig.Chain())
                level.ResnetConfig.Dropout = 0;
        });
        using var trainer = new Trainer(config, device, new TrainerOptions { Observer = seen });
        trainer.Run();
        return new Trained(device.Captures, device.Replays, [.. seen.Steps.Select(step => step.Loss)],
            TinyRun.Weights(trainer.Network.Store), TinyRun.Weights(trainer.Network.Store, trainer.Optimizer.Ema),
            trainer.Optimizer.ReadState());
    }
}
