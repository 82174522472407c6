using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Golden;

[TestFixture]
public sealed class LossGoldenTests
{
    [TestCase("loss_64", "unet_c")]
    [TestCase("loss_vdm", "unet_b")]
    [TestCase("loss_rescaled_tanh", "unet_c")]
    [TestCase("loss_256", "nested_2")]
    [TestCase("loss_nested_single_noshift", "nested_2")]
    [TestCase("loss_1024", "nested_3")]
    [TestCase("temporal_loss", "temporal_2")]
    public void LossAndAllGradients(string name, string model)
    {
        using GoldenFile file = GoldenFile.Open($"{name}.safetensors");
        using DenoisingNetwork network = GoldenModel.Load(model, training: true);
        var process = new DiffusionProcess(Settings($"{name}.yaml"), network.NestRatios);
        bool nested = network.NestRatios.Count > 1;
        string[] suffixes = nested ? network.NestRatios.Select((_, k) => $".{k}").ToArray() : [""];
        int[] times = file.Integers("time");

        using Scope scope = Scope.Enter();
        using Tape tape = Tape.Start();
        LossResult result = new DiffusionLoss(process).Compute(network, file.Tensor(GoldenModel.Device, "images"),
            GoldenModel.TextOf(file), GoldenModel.ScaleOf(file), times,
            new RecordedNoise(file, suffixes.Select(suffix => $"eps{suffix}")));

        for (int k = 0; k < suffixes.Length; k++)
        {
            // Recorded for the whole batch; with mixed_ratio only the first samples of a level count.
            LevelLoss level = result.Levels[k];
            RequireFirst(file, $"x_t{suffixes[k]}", level.Noisy, Close.Forward);
            RequireFirst(file, $"target{suffixes[k]}", level.Target, Close.Forward);
            RequireFirst(file, $"model_output{suffixes[k]}", level.Output, Close.Forward);
            RequireFirst(file, $"pred{suffixes[k]}", level.Prediction, Close.Forward);
            if (file.Has($"gamma_shifted{suffixes[k]}"))
            {
                float[] gammas = Array.ConvertAll(times, t => process.Levels[k].Schedule[t + 1]);
                Close.Require($"gamma_shifted{suffixes[k]}", gammas, file.Floats($"gamma_shifted{suffixes[k]}"), Close.Forward);
            }
        }

        Close.Require("losses", result.PerSample.ToArray(), file.Floats("losses"), Close.Forward);
        Close.Require("loss", result.Loss.ToArray(), file.Floats("loss"), Close.Forward);
        if (file.Has("weights"))
        {
            float[] weights = process.Schedule.VdmWeights();
            Close.Require("weights", Array.ConvertAll(times, t => weights[t + 1]), file.Floats("weights"), Close.Gradient);
        }

        tape.Backward(result.Loss);
        Digest.RequireGradients(file, $"{name}.safetensors", network.Store);
    }

    private static void RequireFirst(GoldenFile file, string name, Tensor found, double tolerance) =>
        Close.Require(name, found.ToArray(), file.ChannelsLast(name)[..(int)found.Count], tolerance);

    // The files also name the model, in words of their own.
    private static DiffusionConfig Settings(string name)
    {
        string text = File.ReadAllText(GoldenFiles.Require(name));
        text = text[text.IndexOf("diffusion_config:", StringComparison.Ordinal)..];
        return ConfigLoader.Parse(text, name, Assert.Fail).DiffusionConfig;
    }
}
