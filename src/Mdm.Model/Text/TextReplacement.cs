using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Mdm.Model.Text;

/// <summary>The normalisers of a <c>tokenizer.json</c>.</summary>
internal static class TextReplacement
{
    private const string Known =
        "Sequence, Precompiled, Nmt, NFC, NFD, NFKC, NFKD, Replace, Strip, StripAccents, Lowercase or Prepend";

    /// <summary>The function that a normaliser is; none: the text itself.</summary>
    public static Func<string, string> Read(JsonNode? normaliser)
    {
        if (normaliser is not { } node)
            return text => text;
        switch (node.Type())
        {
            case "NFC" or "NFD" or "NFKC" or "NFKD":
                bool compatible = node.Type()[2] == 'K', compose = node.Type()[^1] == 'C';
                return text => UnicodeForms.Normalize(text, compatible, compose);
            case "Sequence":
                Func<string, string>[] steps = [.. node.Field("normalizers").Items().Select(step => Read(step))];
                return text => steps.Aggregate(text, (soFar, step) => step(soFar));
            case "Precompiled":
                return Precompiled(node.Field("precompiled_charsmap"));
            case "Nmt":
                return Nmt;
            case "Replace":
                return Replace(node);
            case "Strip":
                bool left = node.Flag("strip_left", true), right = node.Flag("strip_right", true);
                return text => (left, right) switch
                {
                    (true, true) => text.Trim(),
                    (true, false) => text.TrimStart(),
                    (false, true) => text.TrimEnd(),
                    _ => text,
                };
            case "StripAccents":
                return text => Characters(text, (rune, result) =>
                {
                    if (!IsMark(rune))
                        result.Append(rune.ToString());
                });
            case "Lowercase":
                // The one letter whose lower case is two characters.
                return text => text.ToLowerInvariant().Replace("\u0130", "i\u0307", StringComparison.Ordinal);
            case "Prepend":
                string prefix = node.Field("prepend").Text();
                return text => text.Length == 0 ? text : prefix + text;
            case var type:
                throw node.Error($"a normalizer of type {Known}, not {type}");
        }
    }

    /// <summary>A space for every kind of it and for signs without a width, nothing for control characters: what text is
    /// given before it is translated by a neural network.</summary>
    internal static string Nmt(string text)
    {
        return Characters(text, (rune, result) =>
        {
            switch (rune.Value)
            {
                case (>= 0x01 and <= 0x08) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or 0x8F or 0x9F:
                    break;
                case 0x09 or 0x0A or 0x0C or 0x0D or 0x1680 or (>= 0x200B and <= 0x200F) or 0x2028 or 0x2029 or 0x2581 or 0xFEFF
                    or 0xFFFD:
                    result.Append(' ');
                    break;
                default:
                    result.Append(rune.ToString());
                    break;
            }
        });
    }

    private static Func<string, string> Precompiled(JsonNode table)
    {
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(table.Text());
        }
        catch (FormatException)
        {
            throw table.Error("base64");
        }

        if (bytes.Length == 0)
            return text => text;
        CharacterMap map = CharacterMap.Read(bytes) ?? throw table.Error("a table of characters and their replacements");
        return text =>
        {
            ReadOnlySpan<byte> rest = Encoding.UTF8.GetBytes(text);
            var result = new List<byte>(rest.Length);
            while (rest.Length > 0)
            {
                int length = map.Match(rest, out ReadOnlySpan<byte> replacement);
                if (length == 0)
                    replacement = rest[..(length = Utf8.CharacterLength(rest))];
                result.AddRange(replacement);
                rest = rest[length..];
            }

            return Encoding.UTF8.GetString([.. result]);
        };
    }

    private static Func<string, string> Replace(JsonNode node)
    {
        JsonNode pattern = node.Field("pattern");
        string content = node.Field("content").Text();
        if (pattern.Optional("Regex") is not { } expression)
        {
            string plain = pattern.Field("String").Text();
            return plain.Length == 0 ? text => text : text => text.Replace(plain, content, StringComparison.Ordinal);
        }

        try
        {
            // Without backtracking the time stays proportional to the text, whatever the pattern.
            var regex = new Regex(expression.Text(), RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
            return text => regex.Replace(text, _ => content);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw expression.Error("a regular expression without look-around and back-references");
        }
    }

    private static bool IsMark(Rune rune) => Rune.GetUnicodeCategory(rune)
        is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark;

    private static string Characters(string text, Action<Rune, StringBuilder> append)
    {
        var result = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
            append(rune, result);
        return result.ToString();
    }
}
