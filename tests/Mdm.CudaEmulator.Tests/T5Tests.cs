using Mdm.Kernels;
using Mdm.Model.Tests.Golden;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.CudaEmulator.Tests;

/// <summary>T5 in bfloat16, weights and activations, beside recorded float32 states.</summary>
[TestFixture]
public sealed class T5Tests
{
    [TestCase("t5_relu")]
    [TestCase("t5_bin")]
    [TestCase("t5_bf16")]
    public void BFloat16_is_near_the_recorded_states(string model)
    {
        string folder = Path.GetDirectoryName(GoldenFiles.Require($"text/{model}/config.json"))!;
        using var encoder =
            new T5Encoder(T5Config.Read(Path.Combine(folder, "config.json")), GoldenModel.Device, DType.BFloat16);
        using (T5Weights weights = T5Weights.Open(folder))
            weights.CopyTo(encoder);
        using GoldenFile file = GoldenFile.Open($"text/{model}/io.safetensors");
        foreach (string name in (string[])["full", "right", "holes", "len1"])
        {
            using Scope scope = Scope.Enter();
            Tensor found = encoder.Encode(GoldenT5.Ids(file, name), GoldenT5.Mask(file, name));
            Assert.That(found.Type, Is.EqualTo(DType.BFloat16));
            Close.Require(name, Tensors.Operations.Op.Cast(found, DType.Float32).ToArray(),
                file.Floats($"{name}.last_hidden_state"), 2e-2);
        }
    }
}
