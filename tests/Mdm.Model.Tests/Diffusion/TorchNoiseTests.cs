using System.Globalization;
using System.Text.Json;
using Mdm.Kernels.Cpu;
using Mdm.Model.Diffusion;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Diffusion;

/// <summary>The numbers of PyTorch's generator on a CPU, recorded with PyTorch 1.13 and, where it is installed, asked for.</summary>
public sealed class TorchNoiseTests
{
    private static readonly CpuDevice s_device = new();

    [Test]
    public void DrawsAreThoseRecorded()
    {
        using JsonDocument json = Recorded();
        foreach (JsonElement draw in json.RootElement.GetProperty("draws").EnumerateArray())
        {
            (ulong seed, int count) = (draw.GetProperty("seed").GetUInt64(), draw.GetProperty("count").GetInt32());
            var generator = new TorchGenerator(seed);
            RequireClose(generator.Normal(count), Numbers(draw, "first"), $"seed {seed}, {count} numbers");
            RequireClose(generator.Normal(3), Numbers(draw, "second"), $"seed {seed}, after {count} numbers");
        }
    }

    [Test]
    public void PicturesAreDrawnChannelByChannelWithASeedEach()
    {
        using JsonDocument json = Recorded();
        JsonElement image = json.RootElement.GetProperty("image");
        using Scope scope = Scope.Enter();
        ulong seed = image.GetProperty("seed").GetUInt64();
        var noise = new TorchNoise([7, seed]);
        foreach ((string name, int side) in new[] { ("top", 8), ("lower", 4) })
        {
            float[] found = noise.Draw(s_device, new Shape(2, side, side, 3)).ToArray(), planes = Numbers(image, name);
            for (int i = 0; i < side * side; i++)
                for (int c = 0; c < 3; c++)
                    Assert.That(found[3 * (side * side + i) + c], Is.EqualTo(planes[c * side * side + i]).Within(3e-6), name);
        }
    }

    [Test]
    public void DrawsAreThoseOfTorchHere()
    {
        int[] counts = [1, 5, 16, 33, 768, 1000];
        string script = "import torch\ng = torch.Generator().manual_seed(987654)\n"
            + $"for n in ({string.Join(", ", counts)}):\n  print(' '.join(repr(float(x)) for x in torch.randn(n, generator=g)))";
        string[] lines = Python.Run(script, "torch").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var generator = new TorchGenerator(987654);
        foreach ((int count, string line) in counts.Zip(lines))
        {
            float[] expected = [.. line.Split(' ').Select(number => float.Parse(number, CultureInfo.InvariantCulture))];
            RequireClose(generator.Normal(count), expected, $"{count} numbers");
        }
    }

    [Test]
    public void NumbersAreNormal()
    {
        float[] numbers = new TorchGenerator(1).Normal(100_000);
        double mean = numbers.Average(), variance = numbers.Average(x => (x - mean) * (x - mean));
        Assert.That(mean, Is.Zero.Within(0.015));
        Assert.That(variance, Is.EqualTo(1).Within(0.02));
    }

    private static JsonDocument Recorded() => JsonDocument.Parse(File.ReadAllBytes(GoldenFiles.Require("torch_noise.json")));

    private static float[] Numbers(JsonElement owner, string name) =>
        [.. owner.GetProperty(name).EnumerateArray().Select(number => number.GetSingle())];

    // Logarithm, cosine and sine differ by an ulp or two between libraries.
    private static void RequireClose(float[] found, float[] expected, string what) =>
        Assert.That(found, Is.EqualTo(expected).Within(3e-6), what);
}
