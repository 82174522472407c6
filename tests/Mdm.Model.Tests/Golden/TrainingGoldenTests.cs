using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Tests.Golden;

[TestFixture]
public sealed class TrainingGoldenTests
{
    [TestCase("train_unet_adam")]
    [TestCase("train_unet_adamw")]
    [TestCase("train_unet_accum")]
    [TestCase("train_nested")]
    public void SixSteps(string name)
    {
        JsonElement settings = GoldenFile.Json($"{name}.json");
        using GoldenFile file = GoldenFile.Open($"{name}.safetensors");
        string model = Path.GetFileNameWithoutExtension(settings.GetProperty("model_config").GetString()!);
        using DenoisingNetwork network = GoldenModel.Load(model, training: true);
        var loss = new DiffusionLoss(new DiffusionProcess(GoldenModel.DiffusionOf(settings), network.NestRatios));
        int accumulated = settings.GetProperty("num_gradient_accumulations").GetInt32();
        double decay = settings.GetProperty("ema_decay").GetDouble();
        var rate = new LearningRate(settings.GetProperty("lr").GetDouble(), settings.GetProperty("warmup_steps").GetInt32());
        using var adam = new Adam(network.Store, new AdamOptions(0.9f, 0.999f, 1e-8f, 0,
            Decoupled: settings.GetProperty("optimizer").GetString() == "AdamW",
            settings.GetProperty("gradient_clip_norm").GetSingle(), 1));
        float[] losses = file.Floats("loss"), norms = file.Floats("grad_norm");
        double[] rates = file.Doubles("lr");

        for (int step = 0; step < rates.Length; step++)
        {
            network.Store.ZeroGradients();
            for (int k = step * accumulated; k < (step + 1) * accumulated; k++)
                Close.Require($"loss {k}", [MicroStep(network, loss, file, k, accumulated)], losses.AsSpan(k, 1), Close.Gradient);
            Assert.That(rate.At(step), Is.EqualTo(rates[step]).Within(1e-12), $"lr {step}");
            // The original sums accumulated gradients where it means to average them, hence the factor in MicroStep.
            adam.Step(rate.At(step), decay, 1f / accumulated);
            double norm = adam.Read().GradientNorm / accumulated;
            Assert.That(norm, Is.EqualTo(norms[step]).Within(Close.Gradient * norms[step]), $"gradient norm {step}");
        }

        Assert.That(adam.Read().Steps, Is.EqualTo(rates.Length));
        string[] rounded = GoldenFile.Json("noise.json").GetProperty($"{name}.safetensors").GetProperty("tensors_beyond_2e-5")
            .EnumerateObject().Select(tensor => tensor.Name).ToArray();
        Assert.Multiple(() =>
        {
            foreach (Parameter parameter in network.Store.Parameters)
            {
                Require("final", parameter, network.Store.Values);
                Require("ema", parameter, adam.Ema!);
            }
        });

        void Require(string kind, Parameter parameter, Tensor arena)
        {
            float[] found = network.Store.ToFileLayout(parameter, arena);
            if (rounded.Contains($"final.{parameter.Name}"))
                RequireBesideKeys($"{kind}.{parameter.Name}", found, file.Floats($"{kind}.{parameter.Name}"), 2 * rates.Sum());
            else
                Digest.Require(file, kind, parameter.Name, found, 0, 0);
        }
    }

    private static float MicroStep(DenoisingNetwork network, DiffusionLoss loss, GoldenFile file, int k, int factor)
    {
        string prefix = $"micro{k:00}.";
        using Scope scope = Scope.Enter();
        using Tape tape = Tape.Start();
        IEnumerable<string> noise = file.Names.Where(name => name.StartsWith($"{prefix}eps")).Order(StringComparer.Ordinal);
        LossResult result = loss.Compute(network, file.Tensor(GoldenModel.Device, $"{prefix}images"),
            GoldenModel.TextOf(file, prefix), GoldenModel.ScaleOf(file, prefix), file.Integers($"{prefix}time"),
            new RecordedNoise(file, noise));
        Close.Require($"{prefix}losses", result.PerSample.ToArray(), file.Floats($"{prefix}losses"), Close.Gradient);
        tape.Backward(factor == 1 ? result.Loss : Op.Scale(result.Loss, factor));
        return result.Loss.ToArray()[0];
    }

    // Softmax does not see the bias of the keys: its gradient is rounding only, which Adam turns into steps of the size of the
    // learning rate. Keys are the second third of qkv and the first half of kv_cond.
    private static void RequireBesideKeys(string name, float[] found, float[] expected, double farthest)
    {
        int parts = name.EndsWith("qkv.bias") ? 3 : 2, width = found.Length / parts, keys = parts == 3 ? 1 : 0;
        for (int part = 0; part < parts; part++)
        {
            ReadOnlySpan<float> here = found.AsSpan(part * width, width), there = expected.AsSpan(part * width, width);
            if (part == keys)
                Assert.That(Close.LargestDifference(here, there), Is.LessThanOrEqualTo(farthest), $"{name}, keys");
            else
                Close.Require($"{name}, part {part}", here, there, Close.Gradient);
        }
    }
}
