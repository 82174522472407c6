using Mdm.Kernels;
using Mdm.Model.Tests.Golden;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

/// <summary>Encoders of many sizes against float64.</summary>
[TestFixture]
public sealed class T5EncoderTests
{
    // The second has the widths of flan-t5-xl.
    private static readonly (T5Folder Model, int Length)[] s_models =
    [
        (new() { Width = 96, Heads = 5, HeadWidth = 24, FeedForward = 200, Layers = 3, Gated = false }, 200),
        (new() { Width = 2048, Heads = 32, HeadWidth = 64, FeedForward = 5120, Layers = 1 }, 512),
        (new() { Width = 1024, Heads = 16, HeadWidth = 64, FeedForward = 2816, Layers = 2 }, 77),
        (new() { Width = 20, Heads = 1, HeadWidth = 7, FeedForward = 9, Layers = 5 }, 1),
    ];

    [Test]
    public void Agrees_with_float64([Range(0, 3)] int which)
    {
        (T5Folder model, int length) = s_models[which];
        using var folder = new TemporaryFolder();
        model.Write(folder.Path);
        int[] ids = Enumerable.Range(0, length).Select(i => (i * 17 + 5) % model.Vocabulary).ToArray();
        // Some tokens are not attended to.
        bool[] mask = [.. Enumerable.Range(0, length).Select(i => i < Math.Max(1, 2 * length / 3) && i % 11 != 7)];
        using T5Encoder encoder = Load(folder.Path);
        using Scope scope = Scope.Enter();
        float[] found = encoder.Encode(Tensor.From(GoldenModel.Device, ids, new Shape(1, length)),
            Tensor.From(GoldenModel.Device, Array.ConvertAll(mask, kept => kept ? 1f : 0f), new Shape(1, length))).ToArray();
        double[] expected = T5Reference.Encode(model, ids, mask);
        double error = Math.Sqrt(expected.Select((value, i) => Math.Pow(value - found[i], 2)).Sum() / expected.Sum(v => v * v));
        double largest = expected.Select((value, i) => Math.Abs(value - found[i])).Max();
        TestContext.Out.WriteLine($"relative error {error:e1}, largest difference {largest:e1}");
        Assert.That(error, Is.LessThan(1e-5));
        Assert.That(largest, Is.LessThan(5e-5));
    }

    private static T5Encoder Load(string folder)
    {
        var encoder = new T5Encoder(T5Config.Read(Path.Combine(folder, "config.json")), GoldenModel.Device, DType.Float32);
        using T5Weights weights = T5Weights.Open(folder);
        weights.CopyTo(encoder);
        return encoder;
    }
}
