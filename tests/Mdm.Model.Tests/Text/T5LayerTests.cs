using System.Text.Json;
using Mdm.Model.Tests.Golden;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Tests.Text;

/// <summary>The inside of recorded encoders.</summary>
[TestFixture]
public sealed class T5LayerTests
{
    private const double Tolerance = 2e-5;

    [TestCaseSource(typeof(GoldenT5), nameof(GoldenT5.Models))]
    public void Every_layer_and_the_position_bias_agree(string model)
    {
        using T5Encoder encoder = GoldenT5.Load(model);
        using GoldenFile file = GoldenFile.Open($"text/{model}/io.safetensors");
        var states = new List<float[]>();
        using Scope scope = Scope.Enter();
        Action<Module, Tensor>? before = Module.Observer;
        Module.Observer = (module, value) =>
        {
            if (module is T5Block or T5Norm { Path: "encoder.final_layer_norm" })
                states.Add(value.ToArray());
        };
        try
        {
            encoder.Encode(GoldenT5.Ids(file, "full"), null);
        }
        finally
        {
            Module.Observer = before;
        }

        Assert.That(states, Has.Count.EqualTo(encoder.Config.Layers + 1));
        for (int layer = 1; layer <= encoder.Config.Layers; layer++)
        {
            // The recorded states have the final norm in the last one's place.
            float[] found = states[layer == encoder.Config.Layers ? layer : layer - 1];
            float[] expected = file.Floats($"full.hidden_states.{layer}");
            // States between the layers grow; their sizes are the scale of rounding.
            double size = Math.Max(1, expected.Max(Math.Abs));
            Assert.That(Close.LargestDifference(found, expected), Is.LessThan(Tolerance * size), $"layer {layer}");
        }

        Assert.That(encoder.BiasOf(12).ToArray(), Is.EqualTo(file.Floats("full.position_bias")));
        Tensor first = encoder.BiasOf(12);
        encoder.BiasOf(5);
        Assert.That(encoder.BiasOf(12), Is.SameAs(first), "made once");
    }

    [Test]
    public void Buckets_are_those_recorded()
    {
        int tables = 0;
        foreach (JsonElement table in GoldenFile.Json("text/relative_position_buckets.json").EnumerateArray())
        {
            if (!table.GetProperty("bidirectional").GetBoolean())
                continue;
            int buckets = table.GetProperty("num_buckets").GetInt32(), most = table.GetProperty("max_distance").GetInt32();
            int first = table.GetProperty("first_distance").GetInt32();
            int[] expected = table.GetProperty("buckets").EnumerateArray().Select(bucket => bucket.GetInt32()).ToArray();
            int[] found = Enumerable.Range(first, expected.Length).Select(d => T5Positions.Bucket(d, buckets, most)).ToArray();
            Assert.That(found, Is.EqualTo(expected), $"{buckets} buckets, {most}");
            tables++;
        }

        Assert.That(tables, Is.EqualTo(5));
    }
}
