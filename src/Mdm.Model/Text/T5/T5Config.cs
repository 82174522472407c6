using System.Text.Json;
using Mdm.Kernels;

namespace Mdm.Model.Text.T5;

/// <summary>The sizes of a T5 encoder, as in the <c>config.json</c> of a Hugging Face folder.</summary>
public sealed record T5Config
{
    private const string PlainFeedForward = "relu", GatedFeedForward = "gated-gelu";

    private static readonly string[] s_kinds = ["t5", "mt5"];

    /// <summary>Rows of the embedding table, at least as many as the tokenizer has tokens.</summary>
    public required int VocabSize { get; init; }

    /// <summary>Numbers per token (<c>d_model</c>).</summary>
    public required int Width { get; init; }

    public required int Heads { get; init; }

    /// <summary>Numbers per head (<c>d_kv</c>); heads times this need not be the width.</summary>
    public required int HeadWidth { get; init; }

    /// <summary><c>d_ff</c>.</summary>
    public required int FeedForwardWidth { get; init; }

    public required int Layers { get; init; }

    /// <summary>Rows of the position bias, half of them for each direction.</summary>
    public int Buckets { get; init; } = 32;

    /// <summary>Distances from here on share a bucket.</summary>
    public int MaxDistance { get; init; } = 128;

    /// <summary>Added to the mean square in the norms.</summary>
    public float Epsilon { get; init; } = 1e-6f;

    /// <summary>Feed-forward wo(gelu(wi_0 x) · wi_1 x), as of T5 1.1; otherwise wo(relu(wi x)).</summary>
    public bool Gated { get; init; }

    /// <summary>Width of all heads together.</summary>
    public int InnerWidth => checked(Heads * HeadWidth);

    /// <summary>Reads a <c>config.json</c>.</summary>
    /// <exception cref="MdmException">It cannot be read, is of another architecture, or a size is missing or makes no
    /// sense.</exception>
    public static T5Config Read(string path)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
            return Read(path, json.RootElement);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }

    private static T5Config Read(string path, JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object)
            throw new MdmException($"{path}: found {root.ValueKind}, expected an object with the sizes of a T5 model");
        RequireKind(path, root);
        string feedForward = Text(root, "feed_forward_proj") ?? PlainFeedForward;
        if (feedForward is not (PlainFeedForward or GatedFeedForward))
            throw new MdmException(
                $"{path}: feed_forward_proj is '{feedForward}', expected {PlainFeedForward} or {GatedFeedForward}");
        int Size(string name, int? usual = null) => Integer(path, root, name, usual);
        var config = new T5Config
        {
            VocabSize = Size("vocab_size"),
            Width = Size("d_model"),
            Heads = Size("num_heads"),
            HeadWidth = Size("d_kv"),
            FeedForwardWidth = Size("d_ff"),
            Layers = Size("num_layers"),
            Buckets = Size("relative_attention_num_buckets", 32),
            MaxDistance = Size("relative_attention_max_distance", 128),
            Epsilon = Number(path, root, "layer_norm_epsilon", 1e-6f),
            Gated = feedForward == GatedFeedForward,
        };
        if (config.Buckets < 4 || config.Buckets % 2 != 0 || config.MaxDistance <= config.Buckets / 4)
            throw new MdmException($"{path}: found {config.Buckets} position buckets up to the distance {config.MaxDistance}, "
                + "expected an even number of at least 4, and distances that go beyond a quarter of it");
        return config;
    }

    private static void RequireKind(string path, JsonElement root)
    {
        string? kind = Text(root, "model_type");
        if (s_kinds.Contains(kind))
            return;
        string architecture = root.TryGetProperty("architectures", out JsonElement list) && list.ValueKind == JsonValueKind.Array
            && list.GetArrayLength() > 0
            ? $" ({list[0]})"
            : "";
        throw new MdmException($"{path}: model_type is '{kind}'{architecture}, expected {string.Join(" or ", s_kinds)}: "
            + "captions are read by a T5 encoder");
    }

    private static string? Text(JsonElement root, string name) =>
        root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static int Integer(string path, JsonElement root, string name, int? usual)
    {
        if (!root.TryGetProperty(name, out JsonElement value))
            return usual ?? throw new MdmException($"{path}: {name} is missing");
        // Beyond a million it is damage, and products of sizes would pass the range of an index.
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number is > 0 and <= 1_000_000
            ? number
            : throw new MdmException($"{path}: {name} is {value}, expected a whole number from 1 to 1000000");
    }

    private static float Number(string path, JsonElement root, string name, float usual)
    {
        if (!root.TryGetProperty(name, out JsonElement value))
            return usual;
        return value.ValueKind == JsonValueKind.Number && value.TryGetSingle(out float number) && number is > 0 and < 1
            ? number
            : throw new MdmException($"{path}: {name} is {value}, expected a number between 0 and 1");
    }
}
