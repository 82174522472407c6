using Mdm.Kernels;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Golden;

/// <summary>Recorded T5 encoders with their weights.</summary>
internal static class GoldenT5
{
    /// <summary>One file of safetensors, several with an index, PyTorch's, and bfloat16.</summary>
    public static readonly string[] Models = ["t5_flan", "t5_relu", "t5_bin", "t5_bf16"];

    public static T5Encoder Load(string model)
    {
        string folder = Path.GetDirectoryName(GoldenFiles.Require($"text/{model}/config.json"))!;
        var encoder = new T5Encoder(T5Config.Read(Path.Combine(folder, "config.json")), GoldenModel.Device, DType.Float32);
        using T5Weights weights = T5Weights.Open(folder);
        weights.CopyTo(encoder);
        return encoder;
    }

    public static Tensor Ids(GoldenFile file, string name) => Tensor.From(
        GoldenModel.Device, file.Integers($"{name}.input_ids"), new Shape(file.ShapeOf($"{name}.input_ids")));

    public static Tensor? Mask(GoldenFile file, string name)
    {
        string mask = $"{name}.attention_mask";
        return file.Has(mask)
            ? Tensor.From(GoldenModel.Device, Array.ConvertAll(file.Integers(mask), n => (float)n), new Shape(file.ShapeOf(mask)))
            : null;
    }
}
