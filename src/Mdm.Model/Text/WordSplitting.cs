namespace Mdm.Model.Text;

/// <summary>A stretch of text that is tokenised on its own.</summary>
/// <param name="Text">Not empty.</param>
/// <param name="IsFirst">Whether the whole text begins with it.</param>
internal readonly record struct Word(string Text, bool IsFirst);

/// <summary>The pre-tokenizers of a <c>tokenizer.json</c>, which cut text into words.</summary>
internal static class WordSplitting
{
    /// <summary>The function that a pre-tokenizer is; none: all text is one word.</summary>
    public static Func<Word, IEnumerable<Word>> Read(JsonNode? splitter)
    {
        if (splitter is not { } node)
            return word => [word];
        switch (node.Type())
        {
            case "Sequence":
                Func<Word, IEnumerable<Word>>[] steps = [.. node.Field("pretokenizers").Items().Select(step => Read(step))];
                return word => steps.Aggregate((IEnumerable<Word>)[word], (words, step) => words.SelectMany(step));
            case "WhitespaceSplit":
                return AtSpaces;
            case "Metaspace":
                return Metaspace(node);
            case var type:
                throw node.Error($"a pre_tokenizer of type Sequence, WhitespaceSplit or Metaspace, not {type}");
        }
    }

    private static IEnumerable<Word> AtSpaces(Word word)
    {
        for (int at = 0; at < word.Text.Length;)
        {
            int start = at;
            while (at < word.Text.Length && !char.IsWhiteSpace(word.Text[at]))
                at++;
            if (at > start)
                yield return new Word(word.Text[start..at], word.IsFirst && start == 0);
            at++;
        }
    }

    /// <summary>Spaces become a mark; one is put in front where there is none; every mark begins a word.</summary>
    private static Func<Word, IEnumerable<Word>> Metaspace(JsonNode node)
    {
        string mark = node.Optional("replacement")?.Text() ?? "\u2581";
        if (mark.Length == 0)
            throw node.Error("a replacement that is not empty");
        bool split = node.Flag("split", true);
        // Old files only say whether there is a prefix.
        JsonNode? scheme = node.Optional("prepend_scheme");
        string prefix = scheme?.Text() ?? (node.Flag("add_prefix_space", true) ? "always" : "never");
        if (prefix is not ("always" or "first" or "never"))
            throw scheme!.Value.Error("always, first or never");
        return word =>
        {
            string text = word.Text.Replace(" ", mark, StringComparison.Ordinal);
            bool wanted = prefix == "always" || (prefix == "first" && word.IsFirst);
            if (wanted && !text.StartsWith(mark, StringComparison.Ordinal))
                text = mark + text;
            return split ? BeforeMarks(new Word(text, word.IsFirst), mark) : [new Word(text, word.IsFirst)];
        };
    }

    private static IEnumerable<Word> BeforeMarks(Word word, string mark)
    {
        for (int start = 0; start < word.Text.Length;)
        {
            int search = Math.Min(word.Text.Length, start + (word.Text.AsSpan(start).StartsWith(mark) ? mark.Length : 1));
            int end = word.Text.IndexOf(mark, search, StringComparison.Ordinal);
            end = end < 0 ? word.Text.Length : end;
            yield return new Word(word.Text[start..end], word.IsFirst && start == 0);
            start = end;
        }
    }
}
