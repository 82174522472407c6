using System.Text.Encodings.Web;
using System.Text.Json;
using Mdm.Kernels;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>All that a picture was made of, as it stands in its file.</summary>
public sealed record Recipe
{
    /// <summary>Keyword of the text in a PNG.</summary>
    public const string Keyword = "recipe";

    private static readonly JsonSerializerOptions s_json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull,
    };

    private static readonly JsonSerializerOptions s_indented = new(s_json) { WriteIndented = true };

    /// <summary>Version of the program.</summary>
    public required string Version { get; init; }

    /// <summary>As given, without the words of a style.</summary>
    public required string Prompt { get; init; }

    /// <summary>As given, without the words of a style.</summary>
    public required string NegativePrompt { get; init; }

    /// <summary>Name of a <see cref="PromptStyle"/>, or null.</summary>
    public string? Style { get; init; }

    /// <summary>Of this picture.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Which generator: a name of <see cref="NoiseKind"/>.</summary>
    public required string Noise { get; init; }

    public required string Sampler { get; init; }

    public required int Steps { get; init; }

    /// <summary>Null where the sampler has none.</summary>
    public double? Eta { get; init; }

    public required double Guidance { get; init; }

    public required string GuidanceSchedule { get; init; }

    public required string Threshold { get; init; }

    /// <summary>Side in pixels.</summary>
    public required int Size { get; init; }

    /// <summary>The picture that it started from, or null.</summary>
    public RecipeFile? InitImage { get; init; }

    /// <summary>What was drawn anew of it, or null.</summary>
    public RecipeFile? Mask { get; init; }

    /// <summary>Null without an init image.</summary>
    public double? Strength { get; init; }

    /// <summary>The weights.</summary>
    public required RecipeFile Checkpoint { get; init; }

    /// <summary>SHA-256 of what the configuration says of network, noise and text.</summary>
    public required string ConfigSha256 { get; init; }

    /// <summary>Other configuration fields given on the command line, as <c>--path=value</c>, and the configuration's file where it
    /// was named.</summary>
    public IReadOnlyList<string> Settings { get; init; } = [];

    /// <summary>What it was computed on.</summary>
    public required string Device { get; init; }

    /// <summary>Pictures computed at once: the last bits depend on it.</summary>
    public required int Batch { get; init; }

    /// <summary>Which of them this one was.</summary>
    public required int Place { get; init; }

    /// <summary>Tokens of the prompts with their padding; 0 without text.</summary>
    public required int Tokens { get; init; }

    /// <summary>One line of JSON, or one for each value.</summary>
    public string ToJson(bool indented = false) => JsonSerializer.Serialize(this, indented ? s_indented : s_json);

    /// <summary>The recipe of a picture.</summary>
    /// <exception cref="MdmException">The file cannot be read, is no PNG or damaged, or has no recipe.</exception>
    public static Recipe Read(string path) => Find(path)
        ?? throw new MdmException($"{path}: the picture has no recipe, expected one that 'mdm sample' wrote");

    /// <summary>The same, or null where the picture has no recipe.</summary>
    /// <exception cref="MdmException">The file cannot be read, is no PNG, or damaged.</exception>
    public static Recipe? Find(string path)
    {
        try
        {
            return PngTexts.Read(File.ReadAllBytes(path)).TryGetValue(Keyword, out string? json)
                ? JsonSerializer.Deserialize<Recipe>(json, s_json)
                : null;
        }
        catch (JsonException e)
        {
            throw new MdmException($"{path}: the recipe is damaged: {e.Message.Split('\n')[0]}", e);
        }
        catch (MdmException e)
        {
            throw new MdmException($"{path}: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }

    /// <summary>Whether two recipes are of the same picture but for the last bits.</summary>
    public bool DrawsAs(Recipe other) => Comparable(this) == Comparable(other);

    private static string Comparable(Recipe recipe) =>
        (recipe with { Version = "", Device = "", Batch = 0, Place = 0, Tokens = 0, Settings = [] }).ToJson();
}

/// <summary>A file that a picture depends on.</summary>
/// <param name="Path">Where it was.</param>
/// <param name="Sha256">Of its bytes, in hexadecimal.</param>
public sealed record RecipeFile(string Path, string Sha256)
{
    /// <summary>Reads a file and computes its hash.</summary>
    /// <exception cref="MdmException">The file cannot be read.</exception>
    public static RecipeFile Of(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            byte[] hash = System.Security.Cryptography.SHA256.HashData(stream);
            return new RecipeFile(System.IO.Path.GetFullPath(path), Convert.ToHexStringLower(hash));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }

    /// <summary>Refuses another file than this.</summary>
    /// <exception cref="MdmException">The hashes differ.</exception>
    public void Require(RecipeFile found, string what, string picture)
    {
        if (found.Sha256 != Sha256)
            throw new MdmException($"{picture} was drawn with another {what}: {found.Path} has the SHA-256 {found.Sha256[..16]}.., "
                + $"expected {Sha256[..Math.Min(16, Sha256.Length)]}.. ({Path})");
    }
}
