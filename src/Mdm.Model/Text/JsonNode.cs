using System.Text.Json;
using Mdm.Kernels;

namespace Mdm.Model.Text;

/// <summary>Part of a JSON file, with messages that say where it is. Every reading method throws <see cref="MdmException"/> where
/// something else is found than it expects.</summary>
/// <param name="File">Path of the file.</param>
/// <param name="Where">Names and indices from the top, such as <c>model.vocab[3]</c>.</param>
/// <param name="Element">What is there.</param>
internal readonly record struct JsonNode(string File, string Where, JsonElement Element)
{
    /// <summary>A field of an object, null where it is absent or null.</summary>
    public JsonNode? Optional(string name)
    {
        if (Element.ValueKind != JsonValueKind.Object)
            throw Error("an object");
        return Element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null
            ? new JsonNode(File, Where.Length == 0 ? name : $"{Where}.{name}", value)
            : null;
    }

    /// <summary>A field of an object that must be there.</summary>
    public JsonNode Field(string name) => Optional(name)
        ?? throw new MdmException($"{File}: {(Where.Length == 0 ? "" : $"{Where} has no ")}{name}"
            + $"{(Where.Length == 0 ? " is missing" : "")}, expected a Hugging Face tokenizer");

    /// <summary>The name of an object's kind.</summary>
    public string Type() => Field("type").Text();

    /// <summary>A field that says yes or no; absent: as given.</summary>
    public bool Flag(string name, bool otherwise) => Optional(name) is not { } field ? otherwise
        : field.Element.ValueKind is JsonValueKind.True or JsonValueKind.False ? field.Element.GetBoolean()
        : throw field.Error("true or false");

    public string Text()
    {
        try
        {
            return Element.ValueKind == JsonValueKind.String ? Element.GetString()! : throw Error("a string");
        }
        catch (InvalidOperationException)
        {
            throw Error("Unicode text");
        }
    }

    /// <summary>An integer that is not negative.</summary>
    public int Integer() => Element.ValueKind == JsonValueKind.Number && Element.TryGetInt32(out int value) && value >= 0
        ? value : throw Error("an integer from 0");

    public double Number() => Element.ValueKind == JsonValueKind.Number && Element.TryGetDouble(out double value)
        && double.IsFinite(value) ? value : throw Error("a number");

    /// <summary>The members of an array.</summary>
    public IEnumerable<JsonNode> Items()
    {
        if (Element.ValueKind != JsonValueKind.Array)
            throw Error("an array");
        int i = 0;
        foreach (JsonElement item in Element.EnumerateArray())
            yield return new JsonNode(File, $"{Where}[{i++}]", item);
    }

    /// <summary>That this is not what it should be.</summary>
    public MdmException Error(string expected)
    {
        const int longest = 60;
        string raw = Element.GetRawText();
        string shown = new([.. raw.Take(longest).Select(c => char.IsControl(c) ? ' ' : c)]);
        return new MdmException($"{File}: {(Where.Length == 0 ? "the file" : Where)} is {shown}"
            + $"{(raw.Length > longest ? "..." : "")}, expected {expected}");
    }
}
