using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tests;

namespace Mdm.Model.Tests.Golden;

/// <summary>A recorded network with its weights.</summary>
internal static class GoldenModel
{
    /// <summary>Where networks are computed; each test project says where.</summary>
    public static IDevice Device => Devices.Open(GoldenDevice.Name);

    /// <param name="name">E.g. <c>unet_c</c>: its <c>.yaml</c> and <c>.weights.safetensors</c>.</param>
    /// <param name="training">With gradients.</param>
    /// <param name="type">Of the activations.</param>
    public static DenoisingNetwork Load(string name, bool training, DType type = DType.Float32)
    {
        string path = GoldenFiles.Require($"{name}.yaml");
        ProgramConfig config = ConfigLoader.Parse(File.ReadAllText(path), path, Assert.Fail);
        DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, config.LanguageModelDim ?? 0);
        using GoldenFile weights = GoldenFile.Open($"{name}.weights.safetensors");
        Assert.That(network.Store.Parameters.Select(p => p.Name), Is.EquivalentTo(weights.Names));
        network.Store.Place(Device, training, computeType: type);
        foreach (Parameter parameter in network.Store.Parameters)
        {
            Assert.That(parameter.FileShape.ToArray(), Is.EqualTo(weights.ShapeOf(parameter.Name)), parameter.Name);
            network.Store.FromFileLayout(parameter, weights.Floats(parameter.Name));
        }

        return network;
    }

    /// <summary>Diffusion settings as recorded, read as the program reads its own.</summary>
    public static DiffusionConfig DiffusionOf(JsonElement settings) =>
        ConfigLoader.Parse($"diffusion_config: {JsonSerializer.Serialize(settings.GetProperty("diffusion_config"))}", "settings",
            Assert.Fail).DiffusionConfig;

    /// <summary>The text of a case; null where it has none.</summary>
    public static TextFeatures? TextOf(GoldenFile file, string prefix = "") => file.Has($"{prefix}lm_outputs")
        ? new TextFeatures(file.Tensor(Device, $"{prefix}lm_outputs"),
            file.Has($"{prefix}lm_mask") ? file.Tensor(Device, $"{prefix}lm_mask") : null)
        : null;

    /// <summary>The scale of a case where one was given.</summary>
    public static Dictionary<string, Tensor> ScaleOf(GoldenFile file, string prefix = "") =>
        file.Has($"{prefix}scale") ? new() { ["scale"] = file.Tensor(Device, $"{prefix}scale") } : [];
}
