using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Text;

/// <summary>Whether a caption is used, or why not.</summary>
public enum CaptionFate
{
    Kept,
    TooManyCharacters,
    TooManyTokens,
}

/// <summary>Captions and prompts to tokens, as <c>reader_config</c> says: spaces around them, the tokens that begin and end them, and
/// what happens to over-long ones (captions of a data set are dropped, prompts are cut).</summary>
/// <exception cref="MdmException">Captions are to begin with a token that the tokenizer does not have (prepad_bos).</exception>
public sealed class CaptionTokenizer(ITokenizer tokenizer, ReaderConfig config)
{
    /// <summary>What stands for "no caption": the tokens of an empty prompt.</summary>
    public int[] Empty { get; } = Cut(Encode(tokenizer, config, "", trailingSpace: false), config);

    public int Padding => tokenizer.PadId;

    /// <summary>Every batch's number of tokens, or 0 to pad to the longest of each batch.</summary>
    public int PaddedLength => config is { PadToMaxLength: true, MaxTokenLength: > 0 } ? config.MaxTokenLength : 0;

    /// <summary>The tokens of a data set's caption, which gets a space before and behind.</summary>
    public CaptionFate EncodeCaption(string caption, out int[] tokens)
    {
        tokens = [];
        if (config.MaxCaptionLength >= 0 && Length(caption) > config.MaxCaptionLength)
            return CaptionFate.TooManyCharacters;
        tokens = Encode(tokenizer, config, caption, trailingSpace: true);
        return IsTooLong(tokens, config) ? CaptionFate.TooManyTokens : CaptionFate.Kept;
    }

    /// <summary>The tokens of a prompt. Over-long ones are cut (the end token goes too, as in the original), unknown
    /// characters left out; a prompt of which nothing is left counts as empty.</summary>
    /// <param name="prompt">Any text.</param>
    /// <param name="warning">What the user should know about it, or null.</param>
    public int[] EncodePrompt(string prompt, out string? warning)
    {
        warning = null;
        string text = prompt;
        if (config.MaxCaptionLength >= 0 && Length(prompt) > config.MaxCaptionLength)
        {
            text = First(prompt, config.MaxCaptionLength);
            warning = $"the prompt has {Length(prompt)} characters, cut to {config.MaxCaptionLength} (max_caption_length)";
        }

        int[] tokens = Encode(tokenizer, config, text, trailingSpace: false);
        if (IsTooLong(tokens, config))
            warning = $"the prompt has {tokens.Length} tokens, cut to {config.MaxTokenLength} (max_token_length)";
        if (string.IsNullOrWhiteSpace(prompt))
            warning = "the prompt is empty: the picture can show anything";
        else if (IsUnknown(prompt))
            warning = $"no part of the prompt '{Start(prompt)}' is in the vocabulary: the picture can show anything";
        else if (warning == null && UnknownWords(text) is { Length: > 0 } unknown)
            warning = $"not in the vocabulary: {string.Join(", ", unknown.Select(Start))}";
        return Cut(tokens, config);
    }

    /// <summary>True if a prompt means no more than an empty one.</summary>
    public bool IsUnknown(string prompt) => !Means(config.PrepadCaptionWithSpace ? " " + prompt : prompt);

    /// <summary>The beginning of a prompt, for messages.</summary>
    public static string Start(string prompt) => First(prompt, 40);

    private string[] UnknownWords(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)
        .Where(word => !Means(" " + word) && !Means(word)).Select(Bare).Distinct().ToArray();

    // Without the commas and dots around it, unless it is nothing else.
    private static string Bare(string word)
    {
        string bare = string.Concat(word.SkipWhile(char.IsPunctuation).Reverse().SkipWhile(char.IsPunctuation).Reverse());
        return bare.Length > 0 ? bare : word;
    }

    private bool Means(string text) => tokenizer.Encode(text).Any(tokenizer.HasMeaning);

    private static int[] Encode(ITokenizer tokenizer, ReaderConfig config, string text, bool trailingSpace)
    {
        int[] tokens = tokenizer.Encode((config.PrepadCaptionWithSpace ? " " : "") + text + (trailingSpace ? " " : ""));
        if (config.PrepadBos)
            tokens = [Begin(tokenizer), .. tokens];
        return config.AppendEos ? [.. tokens, tokenizer.EndId] : tokens;
    }

    private static int Begin(ITokenizer tokenizer) => tokenizer.UnknownId
        ?? throw new MdmException("prepad_bos: found true, expected false: the tokenizer has no token <unk>");

    private static bool IsTooLong(int[] tokens, ReaderConfig config) =>
        config.MaxTokenLength >= 0 && tokens.Length > config.MaxTokenLength;

    private static int[] Cut(int[] tokens, ReaderConfig config) =>
        IsTooLong(tokens, config) ? tokens[..config.MaxTokenLength] : tokens;

    // Characters are Unicode code points; halves of a pair that stand alone count as one.
    private static int Length(string text) => text.EnumerateRunes().Count();

    private static string First(string text, int characters)
    {
        int end = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            if (characters-- == 0)
                return text[..end];
            end += rune.Utf16SequenceLength;
        }

        return text;
    }
}
