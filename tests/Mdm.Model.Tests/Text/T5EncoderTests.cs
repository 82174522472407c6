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

    [TestCase(DType.Float32, 1, ".safetensors")]
    [TestCase(DType.Float32, 4, ".safetensors")]
    [TestCase(DType.BFloat16, 2, ".safetensors")]
    [TestCase(DType.Float16, 1, ".safetensors")]
    [TestCase(DType.Float32, 1, ".bin")]
    [TestCase(DType.Float16, 3, ".bin")]
    public void Weights_are_read_however_they_are_stored(DType type, int shards, string ending)
    {
        using var folder = new TemporaryFolder();
        var model = new T5Folder { Type = type, Decoder = true };
        if (shards == 1)
            model.Write(folder.Path, ending == ".bin" ? "pytorch_model.bin" : "model.safetensors");
        else
            model.WriteShards(folder.Path, shards, ending);
        var told = new List<double>();
        var encoder = new T5Encoder(T5Config.Read(folder["config.json"]), GoldenModel.Device, DType.Float32);
        using (T5Weights weights = T5Weights.Open(folder.Path))
            weights.CopyTo(encoder, told.Add);
        using Scope scope = Scope.Enter();
        int[] ids = [4, 9, 30, 7, 1];
        float[] found = encoder.Encode(Tensor.From(GoldenModel.Device, ids, new Shape(1, 5)), null).ToArray();
        double[] expected = T5Reference.Encode(model, ids, [true, true, true, true, true]);
        Assert.That(expected.Select((value, i) => Math.Abs(value - found[i])).Max(), Is.LessThan(1e-5));
        Assert.That(told, Is.Ordered.And.Count.GreaterThan(10));
        Assert.That(told[^1], Is.EqualTo(1));
        encoder.Dispose();
    }

    [TestCase("model.safetensors")]
    [TestCase("pytorch_model.bin")]
    public void Loading_makes_no_second_copy(string file)
    {
        using var folder = new TemporaryFolder();
        new T5Folder { Width = 512, Heads = 8, HeadWidth = 64, FeedForward = 1024, Layers = 4, Type = DType.BFloat16 }
            .Write(folder.Path, file);
        IDevice device = Devices.Open("cpu");
        T5Config config = T5Config.Read(folder["config.json"]);
        device.ResetPeak();
        long before = device.Memory.InUse;
        using var encoder = new T5Encoder(config, device, DType.Float32);
        long model = device.Memory.InUse - before, allocated = GC.GetAllocatedBytesForCurrentThread();
        using (T5Weights weights = T5Weights.Open(folder.Path))
            weights.CopyTo(encoder);
        Assert.That(model, Is.GreaterThan(40_000_000));
        Assert.That(device.Memory.Peak - before - model, Is.LessThan(model / 20), "one tensor at a time");
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - allocated, Is.LessThan(model / 20), "nor on the host");
    }

    private static T5Encoder Load(string folder)
    {
        var encoder = new T5Encoder(T5Config.Read(Path.Combine(folder, "config.json")), GoldenModel.Device, DType.Float32);
        using T5Weights weights = T5Weights.Open(folder);
        weights.CopyTo(encoder);
        return encoder;
    }
}
