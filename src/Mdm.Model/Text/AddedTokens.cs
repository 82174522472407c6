using System.Globalization;
using System.Text;

namespace Mdm.Model.Text;

/// <summary>A token that is looked for in the text itself, before it is cut into words.</summary>
/// <param name="Content">The text that becomes the token.</param>
/// <param name="Id">Its number.</param>
/// <param name="SingleWord">Only where no letter or digit stands beside it.</param>
/// <param name="TakesLeft">Takes the spaces in front with it.</param>
/// <param name="TakesRight">Takes the spaces behind with it.</param>
internal sealed record AddedToken(string Content, int Id, bool SingleWord, bool TakesLeft, bool TakesRight);

/// <summary>Finds added tokens: the leftmost, of those that begin together the longest.</summary>
internal sealed class AddedTokens
{
    // By first character, longest first.
    private readonly Dictionary<char, AddedToken[]> tokens;

    public AddedTokens(IEnumerable<AddedToken> tokens) => this.tokens = tokens.Where(token => token.Content.Length > 0)
        .GroupBy(token => token.Content[0])
        .ToDictionary(group => group.Key, group => group.OrderByDescending(token => token.Content.Length).ToArray());

    /// <summary>The tokens of a text (with an id) and what is between them (id -1, never empty), from left to right.</summary>
    public IEnumerable<(int Id, int Start, int End)> Split(string text)
    {
        int done = 0;
        for (int at = 0; at < text.Length;)
        {
            if (Find(text, at) is not { } token)
            {
                at++;
                continue;
            }

            int start = at, end = at + token.Content.Length;
            at = end;
            if (token.SingleWord && (IsWord(Before(text, start)) || IsWord(After(text, end))))
                continue;
            while (token.TakesLeft && start > done && char.IsWhiteSpace(text[start - 1]))
                start--;
            while (token.TakesRight && end < text.Length && char.IsWhiteSpace(text[end]))
                end++;
            if (done < start)
                yield return (-1, done, start);
            yield return (token.Id, start, end);
            at = Math.Max(at, end);
            done = end;
        }

        if (done < text.Length)
            yield return (-1, done, text.Length);
    }

    private AddedToken? Find(string text, int at)
    {
        if (tokens.TryGetValue(text[at], out AddedToken[]? candidates))
            foreach (AddedToken token in candidates)
                if (string.CompareOrdinal(text, at, token.Content, 0, token.Content.Length) == 0)
                    return token;
        return null;
    }

    private static Rune? Before(string text, int at) =>
        Rune.DecodeLastFromUtf16(text.AsSpan(0, at), out Rune rune, out _) == System.Buffers.OperationStatus.Done ? rune : null;

    private static Rune? After(string text, int at) =>
        Rune.DecodeFromUtf16(text.AsSpan(at), out Rune rune, out _) == System.Buffers.OperationStatus.Done ? rune : null;

    private static bool IsWord(Rune? character) => character is { } rune && (Rune.IsLetterOrDigit(rune)
        || Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark
            or UnicodeCategory.EnclosingMark or UnicodeCategory.ConnectorPunctuation or UnicodeCategory.LetterNumber);
}
