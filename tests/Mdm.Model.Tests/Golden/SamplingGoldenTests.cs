using System.Text.Json;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Tests.Golden;

[TestFixture]
public sealed class SamplingGoldenTests
{
    [TestCase("sample_unet_ddpm")]
    [TestCase("sample_unet_ddim_g5_dynamic")]
    [TestCase("sample_unet_eta05_g5_dynamic_if")]
    [TestCase("sample_unet_full_none")]
    [TestCase("sample_unet_rescale")]
    [TestCase("sample_nested2_ddpm")]
    [TestCase("sample_nested2_ddim_g5_dynamic")]
    [TestCase("sample_nested2_noshift")]
    [TestCase("sample_nested3_eta05_dynamic_if")]
    [TestCase("sample_nested3_full_none")]
    public void WholeTrajectory(string name)
    {
        JsonElement settings = GoldenFile.Json($"{name}.json");
        using GoldenFile file = GoldenFile.Open($"{name}.safetensors");
        string model = Path.GetFileNameWithoutExtension(settings.GetProperty("model_config").GetString()!);
        using DenoisingNetwork network = GoldenModel.Load(model, training: false);
        var process = new DiffusionProcess(GoldenModel.DiffusionOf(settings), network.NestRatios);
        string[] suffixes = network.NestRatios.Count > 1 ? network.NestRatios.Select((_, k) => $".{k}").ToArray() : [""];
        int[] times = file.Integers("timesteps");

        using Scope scope = Scope.Enter();
        int draws = settings.GetProperty("draws").GetArrayLength();
        var noise = new RecordedNoise(file, Enumerable.Range(0, draws).Select(i => $"draw.{i:000}"));
        int step = 0;
        using var sampler = new Sampler(network, process);
        foreach (SamplingState state in sampler.Steps(Request(file, settings), noise))
        {
            Assert.That((state.Time, state.NextTime), Is.EqualTo((times[step], times[step + 1])));
            for (int k = 0; k < suffixes.Length; k++)
            {
                string x0 = $"step{step:000}.x0{suffixes[k]}", xt = $"step{step:000}.x_t{suffixes[k]}";
                Close.Require(x0, state.Denoised[k].ToArray(), file.ChannelsLast(x0), Close.Gradient);
                Close.Require(xt, state.Noisy[k].ToArray(), file.ChannelsLast(xt), Close.Gradient);
            }

            step++;
            if (!state.IsLast)
                continue;
            Close.Require("final", state.Picture().ToArray(), file.ChannelsLast("final"), Close.Gradient);
            const string inner = "final_output_inner";
            if (file.Has(inner))
                Close.Require(inner, state.SideBySide().ToArray(), file.ChannelsLast(inner), Close.Gradient);
        }

        Assert.That(step, Is.EqualTo(settings.GetProperty("steps").GetInt32()));
    }

    private static SamplingRequest Request(GoldenFile file, JsonElement settings)
    {
        int batch = settings.GetProperty("batch").GetInt32(), side = settings.GetProperty("image_side").GetInt32();
        double guidance = settings.GetProperty("guidance_scale").GetDouble();
        bool resampled = settings.GetProperty("resample_steps").GetBoolean();
        TextFeatures? text = GoldenModel.TextOf(file);
        // Recorded as the network got it: the unconditional half first.
        return new SamplingRequest
        {
            Batch = batch,
            Height = side,
            Width = side,
            Text = guidance == 1 ? text : Half(text!, batch, batch),
            NegativeText = guidance == 1 ? null : Half(text!, 0, batch),
            Micros = GoldenModel.ScaleOf(file).ToDictionary(m => m.Key, m => Op.BatchSlice(m.Value, 0, batch)),
            Steps = resampled ? settings.GetProperty("num_inference_steps").GetInt32() : null,
            Eta = settings.GetProperty("ddim_eta") is { ValueKind: JsonValueKind.Number } eta ? eta.GetDouble() : null,
            Guidance = guidance,
        };
    }

    private static TextFeatures Half(TextFeatures text, int first, int count) =>
        new(Op.BatchSlice(text.Values, first, count), text.Mask == null ? null : Op.BatchSlice(text.Mask, first, count));
}
