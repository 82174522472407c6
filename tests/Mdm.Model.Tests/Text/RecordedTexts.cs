using System.Text.Json;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

/// <summary>A text and what SentencePiece makes of it.</summary>
/// <param name="Name">Its name in the record.</param>
/// <param name="Text">What is tokenised.</param>
/// <param name="Normalized">With U+2581 for spaces.</param>
/// <param name="Ids">Of the model asked for, without an end.</param>
/// <param name="Pieces">Of the model asked for, or null if not recorded.</param>
internal sealed record RecordedText(string Name, string Text, string Normalized, int[] Ids, string[]? Pieces);

/// <summary>The record of texts: tests/golden/text/tokenizer_cases.json and the one of Hugging Face's differences.</summary>
internal static class RecordedTexts
{
    public static string Path(string name) => GoldenFiles.Require($"text/{name}");

    /// <summary>All texts with the ids of a model (sp_t5 or sp_byte).</summary>
    public static List<RecordedText> Of(string model)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Path("tokenizer_cases.json")));
        return json.RootElement.GetProperty("cases").EnumerateArray().Select(item =>
        {
            JsonElement found = item.GetProperty(model);
            string[]? pieces = found.TryGetProperty("pieces", out JsonElement list)
                ? [.. list.EnumerateArray().Select(piece => piece.GetString()!)]
                : null;
            return new RecordedText(item.GetProperty("name").GetString()!, item.GetProperty("text").GetString()!,
                item.GetProperty("normalized").GetString()!, Integers(found.GetProperty("ids")), pieces);
        }).ToList();
    }

    /// <summary>Where Hugging Face's library differs from SentencePiece with a file: name of the text to ids (without the end
    /// that it appends) and the reason.</summary>
    public static Dictionary<string, (int[] Ids, string Why)> Differences(string file)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Path("tokenizer_hf_differences.json")));
        return json.RootElement.GetProperty("hf").GetProperty(file).EnumerateObject().ToDictionary(entry => entry.Name,
            entry => (Integers(entry.Value.GetProperty("ids"))[..^1], entry.Value.GetProperty("why").GetString()!));
    }

    private static int[] Integers(JsonElement element) => [.. element.EnumerateArray().Select(item => item.GetInt32())];
}
