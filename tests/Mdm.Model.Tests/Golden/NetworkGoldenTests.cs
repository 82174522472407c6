using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;
using Mdm.Tests;

namespace Mdm.Model.Tests.Golden;

[TestFixture]
public sealed class NetworkGoldenTests
{
    [TestCase("unet_a", "unet_a")]
    [TestCase("unet_b", "unet_b")]
    [TestCase("unet_c", "unet_c")]
    [TestCase("unet_c_nomask", "unet_c")]
    [TestCase("nested_2", "nested_2")]
    [TestCase("nested_2_mixed", "nested_2")]
    [TestCase("nested_3", "nested_3")]
    [TestCase("temporal_2", "temporal_2")]
    public void OutputsAndAllGradients(string name, string model)
    {
        using GoldenFile file = GoldenFile.Open($"{name}.io.safetensors");
        using DenoisingNetwork network = GoldenModel.Load(model, training: true);
        int levels = network.NestRatios.Count;
        string[] suffixes = levels == 1 ? [""] : Enumerable.Range(0, levels).Select(k => $".{k}").ToArray();

        using Scope scope = Scope.Enter();
        using Tape tape = Tape.Start();
        NetworkInput input = Input(file, suffixes);
        IReadOnlyList<Tensor> outputs = network.Call(input).Predictions;
        Tensor? loss = null;
        for (int k = 0; k < levels; k++)
        {
            Close.Require($"output{suffixes[k]}", outputs[k].ToArray(), file.ChannelsLast($"output{suffixes[k]}"), Close.Forward);
            Tensor one = Op.Mean(Op.MeanSquaredError(outputs[k], file.Tensor(GoldenModel.Device, $"target{suffixes[k]}")));
            loss = loss == null ? one : Op.Add(loss, one);
        }

        Close.Require("loss", loss!.ToArray(), file.Floats("loss"), Close.Forward);
        tape.Backward(loss);
        for (int k = 0; k < levels; k++)
        {
            Close.Require($"grad_x_t{suffixes[k]}", input.Images[k].Gradient!.ToArray(),
                file.ChannelsLast($"grad_x_t{suffixes[k]}"), Close.Gradient);
        }

        if (input.Text is { } text)
            Close.Require("grad_lm_outputs", text.Values.Gradient!.ToArray(), file.Floats("grad_lm_outputs"), Close.Gradient);
        Digest.RequireGradients(file, $"{name}.io.safetensors", network.Store);
        foreach (Tensor leaf in input.Images.Append(input.Text?.Values ?? input.Images[0]))
            leaf.FreeGradient();
    }

    [Test]
    public void InnerActivations()
    {
        using GoldenFile io = GoldenFile.Open("unet_c.io.safetensors"), file = GoldenFile.Open("unet_c.acts.safetensors");
        using DenoisingNetwork network = GoldenModel.Load("unet_c", training: false);
        var found = new Dictionary<string, float[]>();
        using Scope scope = Scope.Enter();
        Module.Observer = (module, result) => found[module.Path] = result.ToArray();
        try
        {
            network.Call(Input(io, [""]));
        }
        finally
        {
            Module.Observer = null;
        }

        Assert.Multiple(() =>
        {
            foreach (string path in file.Names)
                Close.Require(path, found.GetValueOrDefault(path, []), file.ChannelsLast(path), Close.Forward);
        });
    }

    [TestCase("cc12m_64x64", "keys_64")]
    [TestCase("cc12m_256x256", "keys_256")]
    [TestCase("cc12m_1024x1024", "keys_1024")]
    public void ParametersOfThePublishedModels(string config, string keys)
    {
        var golden = GoldenFile.Json($"{keys}.json");
        string path = Path.Combine(GoldenFiles.Root, "configs", "models", $"{config}.yaml");
        ProgramConfig program = ConfigLoader.Parse(File.ReadAllText(path), path, _ => { });

        using DenoisingNetwork network =
            NetworkBuilder.Build(program.UnetConfig, golden.GetProperty("language_model_dim").GetInt32());

        string[] expected = golden.GetProperty("keys").EnumerateArray()
            .Select(key => $"{key[0].GetString()} [{string.Join(", ", key[1].EnumerateArray())}]").ToArray();
        Assert.That(network.Store.Parameters.Select(p => $"{p.Name} {p.FileShape}"), Is.EqualTo(expected));
        Assert.That(network.Store.ParameterCount, Is.EqualTo(golden.GetProperty("parameter_count").GetInt64()));
        Assert.That(network.Store.IsPlaced, Is.False);
        int[] ratios = golden.GetProperty("nest_ratio").EnumerateArray().Select(r => r.GetInt32()).Append(1).ToArray();
        Assert.That(network.NestRatios, Is.EqualTo(ratios));
    }

    internal static NetworkInput Input(GoldenFile file, string[] suffixes)
    {
        TextFeatures? text = GoldenModel.TextOf(file);
        float[] times = Array.ConvertAll(file.Integers("times"), t => (float)t);
        return new NetworkInput(
            suffixes.Select(suffix => file.Tensor(GoldenModel.Device, $"x_t{suffix}").AsLeaf()).ToArray(),
            Tensor.From(GoldenModel.Device, times, new Shape(times.Length)),
            text == null ? null : text with { Values = text.Values.AsLeaf() },
            file.Names.Where(name => name.StartsWith("micros."))
                .ToDictionary(name => name["micros.".Length..], name => file.Tensor(GoldenModel.Device, name)));
    }
}
