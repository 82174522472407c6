using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Golden;
using Mdm.Model.Tests.Training;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Checks;
using Mdm.Tensors.Modules;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Networks whose activations are bfloat16, beside the same in float32.</summary>
public sealed class BFloat16Tests
{
    private static IDevice Gpu => Devices.Open("cuda");

    [Test]
    public void TrainingFollowsThatInFloat32AndKeepsItsWeightsInFloat32()
    {
        using var run = new TinyRun();
        using Trainer single = Train(run, "single", fp16: false, out float[] expected);
        using Trainer half = Train(run, "half", fp16: true, out float[] losses);
        Assert.That(Close.Error(losses, expected), Is.InRange(1e-7, 2e-2));
        ParameterStore store = half.Network.Store;
        Assert.That((store.ComputeType, store.Values.Type, store.Gradients!.Type, half.Optimizer.Ema!.Type),
            Is.EqualTo((DType.BFloat16, DType.Float32, DType.Float32, DType.Float32)));
        Assert.That(Close.Error(half.Optimizer.Ema.ToArray(), single.Optimizer.Ema!.ToArray()), Is.LessThan(2e-2));

        // What products read is what training has made of the weights, rounded.
        double[] master = CaseInput.Read(store.Values), copy = CaseInput.Read(store.Copy!);
        Assert.That(copy.AsSpan().SequenceEqual(Array.ConvertAll(master, CaseInput.ToBFloat16)));
        Assert.That(master.AsSpan().SequenceEqual(copy), Is.False);
    }

    [Test]
    public void AResumedRunEqualsAnUninterruptedOne()
    {
        using var run = new TinyRun();
        using Trainer whole = Train(run, "whole", fp16: true, out _, steps: 3);
        Train(run, "parts", fp16: true, out _, steps: 2).Dispose();
        using Trainer second = Train(run, "parts", fp16: true, out _, steps: 3, resume: true);
        TinyRun.AssertSame(TinyRun.Weights(second.Network.Store), TinyRun.Weights(whole.Network.Store));
        Assert.That(CaseInput.Read(second.Network.Store.Copy!).AsSpan().SequenceEqual(CaseInput.Read(whole.Network.Store.Copy!)));
    }

    [Test]
    public void ANetworkForInferenceHoldsItsMatricesInBFloat16Only()
    {
        long before = Gpu.Memory.InUse;
        using DenoisingNetwork single = Network(training: false, DType.Float32);
        long full = Gpu.Memory.InUse - before;
        before = Gpu.Memory.InUse;
        using DenoisingNetwork half = Network(training: false, DType.BFloat16);
        Assert.That(Gpu.Memory.InUse - before, Is.LessThan(0.6 * full), "bytes of the weights");
        using DenoisingNetwork trained = Network(training: true, DType.BFloat16);
        var random = new Random(3);
        foreach (Parameter parameter in single.Store.Parameters)
        {
            float[] values = [.. Enumerable.Repeat(0, (int)parameter.Shape.Count).Select(_ => random.NextSingle() / 4 - 0.125f)];
            single.Store.FromFileLayout(parameter, values);
            half.Store.FromFileLayout(half.Store.ByName[parameter.Name], values);
            trained.Store.FromFileLayout(trained.Store.ByName[parameter.Name], values);
            float[] kept = parameter.Shape.Rank > 1 ? Array.ConvertAll(values, v => (float)CaseInput.ToBFloat16(v)) : values;
            Assert.That(half.Store.ToFileLayout(half.Store.ByName[parameter.Name]), Is.EqualTo(kept), parameter.Name);
            Assert.That(trained.Store.ToFileLayout(trained.Store.ByName[parameter.Name]), Is.EqualTo(values), parameter.Name);
        }

        float[] exact = Predict(single), rounded = Predict(half);
        Assert.That(Predict(trained), Is.EqualTo(rounded), "the copy beside float32 weights");
        Assert.That(Close.Error(rounded, exact), Is.InRange(1e-7, 2e-2));
    }

    private static DenoisingNetwork Network(bool training, DType type)
    {
        DenoisingNetwork network = NetworkBuilder.Build(TinyRun.Nested(), 16);
        network.Store.Place(Gpu, training, seed: 1, type);
        return network;
    }

    private static float[] Predict(DenoisingNetwork network)
    {
        using Scope scope = Scope.Enter();
        var random = new RandomStream(1, 2);
        Tensor[] images = [random.Normal(Gpu, new Shape(2, 16, 16, 3)), random.Normal(Gpu, new Shape(2, 8, 8, 3))];
        var text = new TextFeatures(random.Normal(Gpu, new Shape(2, 5, 16)), null);
        var input = new NetworkInput(
            images, Tensor.From(Gpu, [3f, 700f], new Shape(2)), text, new Dictionary<string, Tensor>());
        NetworkOutput output = network.Call(input);
        Assert.That(output.Predictions.Select(p => p.Type), Is.All.EqualTo(DType.Float32));
        return [.. output.Predictions.SelectMany(p => p.ToArray())];
    }

    private static Trainer Train(TinyRun run, string output, bool fp16, out float[] losses, int steps = 3, bool resume = false)
    {
        var seen = new Recorder();
        ProgramConfig config = run.Config(output, c => (c.NumTrainingSteps, c.Fp16) = (steps, fp16));
        var trainer = new Trainer(config, Gpu, new TrainerOptions { Observer = seen, Resume = resume });
        trainer.Run();
        losses = [.. seen.Steps.Select(s => (float)s.Loss)];
        return trainer;
    }
}
