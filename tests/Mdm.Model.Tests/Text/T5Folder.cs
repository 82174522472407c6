using System.Runtime.InteropServices;
using System.Text.Json;
using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Tests;

/// <summary>Makes Hugging Face folders with random T5 models, of the names and shapes of the real ones.</summary>
internal sealed class T5Folder
{
    public int Vocabulary { get; init; } = 40;

    public int Width { get; init; } = 24;

    public int Heads { get; init; } = 3;

    public int HeadWidth { get; init; } = 8;

    public int FeedForward { get; init; } = 40;

    public int Layers { get; init; } = 2;

    public bool Gated { get; init; } = true;

    public int Seed { get; init; } = 1;

    /// <summary>Of the stored numbers: float32, bfloat16 or float16.</summary>
    public DType Type { get; init; } = DType.Float32;

    /// <summary>Also tensors of a decoder, which encoders ignore.</summary>
    public bool Decoder { get; init; }

    /// <summary>Every tensor's name and shape.</summary>
    public IEnumerable<(string Name, long[] Shape)> Tensors()
    {
        int inner = Heads * HeadWidth;
        yield return ("shared.weight", [Vocabulary, Width]);
        foreach (string stack in Decoder ? (string[])["encoder", "decoder"] : ["encoder"])
        {
            for (int i = 0; i < Layers; i++)
            {
                string layer = $"{stack}.block.{i}.layer";
                foreach (string part in "qkv".Select(c => c.ToString()))
                    yield return ($"{layer}.0.SelfAttention.{part}.weight", [inner, Width]);
                yield return ($"{layer}.0.SelfAttention.o.weight", [Width, inner]);
                if (i == 0)
                    yield return ($"{layer}.0.SelfAttention.relative_attention_bias.weight", [32, Heads]);
                yield return ($"{layer}.0.layer_norm.weight", [Width]);
                foreach (string wi in Gated ? (string[])["wi_0", "wi_1"] : ["wi"])
                    yield return ($"{layer}.1.DenseReluDense.{wi}.weight", [FeedForward, Width]);
                yield return ($"{layer}.1.DenseReluDense.wo.weight", [Width, FeedForward]);
                yield return ($"{layer}.1.layer_norm.weight", [Width]);
            }

            yield return ($"{stack}.final_layer_norm.weight", [Width]);
        }

        if (Decoder)
            yield return ("lm_head.weight", [Vocabulary, Width]);
    }

    /// <summary>A tensor's numbers: of the sizes that T5 starts training from, so that scores are about 1.</summary>
    public float[] Values(string name, long[] shape)
    {
        var random = new Random(name.Aggregate(Seed, (hash, c) => unchecked(hash * 31 + c)));
        double scale = name switch
        {
            "shared.weight" => 1,
            _ when name.EndsWith(".q.weight", StringComparison.Ordinal) => Math.Pow((double)Width * HeadWidth, -0.5),
            _ when shape.Length == 2 && name.Contains("relative") => 1,
            _ when shape.Length == 2 => Math.Pow(shape[1], -0.5),
            _ => 0.2,
        };
        double mean = shape.Length == 1 ? 1 : 0;
        float[] values = new float[shape.Aggregate(1L, (a, b) => a * b)];
        for (int i = 0; i < values.Length; i++)
            values[i] = Rounded((float)(mean + scale * Math.Sqrt(12) * (random.NextSingle() - 0.5)));
        return values;
    }

    /// <summary>config.json, in the form of newer files.</summary>
    public string Config() => JsonSerializer.Serialize(new Dictionary<string, object>
    {
        ["architectures"] = new[] { "T5ForConditionalGeneration" },
        ["model_type"] = "t5",
        ["d_model"] = Width,
        ["d_kv"] = HeadWidth,
        ["d_ff"] = FeedForward,
        ["num_heads"] = Heads,
        ["num_layers"] = Layers,
        ["vocab_size"] = Vocabulary,
        ["feed_forward_proj"] = Gated ? "gated-gelu" : "relu",
        ["layer_norm_epsilon"] = 1e-6,
    });

    /// <summary>Writes config.json and one file of weights.</summary>
    public T5Folder Write(string folder, string file = "model.safetensors")
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), Config());
        TensorFile.Save(Path.Combine(folder, file), [.. Tensors().Select(t => Stored(t.Name, t.Shape))]);
        return this;
    }

    /// <summary>Writes config.json, shards and their index.</summary>
    public T5Folder WriteShards(string folder, int shards, string ending = ".safetensors")
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), Config());
        string stem = ending == ".bin" ? "pytorch_model" : "model";
        string Name(int i) => $"{stem}-{i + 1:D5}-of-{shards:D5}{ending}";
        (string Name, long[] Shape)[] all = [.. Tensors()];
        for (int i = 0; i < shards; i++)
        {
            TensorFile.Save(Path.Combine(folder, Name(i)),
                [.. all.Where((_, at) => at * shards / all.Length == i).Select(t => Stored(t.Name, t.Shape))]);
        }

        var map = new Dictionary<string, string>();
        for (int at = 0; at < all.Length; at++)
            map[all[at].Name] = Name(at * shards / all.Length);
        File.WriteAllText(Path.Combine(folder, $"{stem}{ending}.index.json"),
            JsonSerializer.Serialize(new { metadata = new { total_size = 0 }, weight_map = map }));
        return this;
    }

    private StoredTensor Stored(string name, long[] shape) => new(name, Type, shape, () => Bytes(Values(name, shape)));

    private byte[] Bytes(float[] values) => Type switch
    {
        DType.BFloat16 => MemoryMarshal.AsBytes(
            Array.ConvertAll(values, v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)).AsSpan()).ToArray(),
        DType.Float16 => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (Half)v).AsSpan()).ToArray(),
        _ => MemoryMarshal.AsBytes(values.AsSpan()).ToArray(),
    };

    // To what the file's type can hold, so that all forms of a model are the same model.
    private float Rounded(float value) => Type switch
    {
        DType.BFloat16 => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000),
        DType.Float16 => (float)(Half)value,
        _ => value,
    };
}
