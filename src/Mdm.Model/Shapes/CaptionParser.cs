using Mdm.Kernels;

namespace Mdm.Model.Shapes;

/// <summary>Reads the captions of <see cref="CaptionWriter"/> back. Case, commas, full stops, the articles "a", "an" and
/// "the" and repeated spaces do not matter; "gray" is "grey" and a size may be called "big" or "little".</summary>
public static class CaptionParser
{
    private const int LongestQuote = 80;

    private static readonly Dictionary<string, ShapeColour> Colours =
        Enum.GetValues<ShapeColour>().ToDictionary(CaptionWriter.Word);

    private static readonly Dictionary<string, ShapeKind> Kinds = Enum.GetValues<ShapeKind>().ToDictionary(CaptionWriter.Word);

    private static readonly Dictionary<string, ShapeSize> Sizes = new()
    {
        ["small"] = ShapeSize.Small,
        ["little"] = ShapeSize.Small,
        ["large"] = ShapeSize.Large,
        ["big"] = ShapeSize.Large,
    };

    private static readonly Dictionary<string, ShapeBackground> Backgrounds = new()
    {
        ["black"] = ShapeBackground.Black,
        ["grey"] = ShapeBackground.Grey,
        ["gray"] = ShapeBackground.Grey,
        ["white"] = ShapeBackground.White,
    };

    /// <summary>What a caption says.</summary>
    /// <exception cref="MdmException">The caption is not of the grammar; the message names the word at fault.</exception>
    public static SceneDescription Parse(string caption)
    {
        var reader = new Reader(caption);
        ShapeBackground background = ReadBackground(reader);
        ShapeWords first = ReadShape(reader);
        ShapeRelation? relation = ReadRelation(reader);
        ShapeWords? second = relation == null ? null : ReadShape(reader);
        if (background == ShapeBackground.Unsaid)
            background = ReadBackground(reader);
        if (reader.Word != null)
            throw reader.Wrong("a relation (above, below, left of, right of), \"on a ... background\" or the end");
        return new SceneDescription(first, relation, second, background);
    }

    private static ShapeWords ReadShape(Reader reader)
    {
        ShapeSize size = reader.Take(Sizes, out ShapeSize said) ? said : ShapeSize.Unsaid;
        if (!reader.Take(Colours, out ShapeColour colour))
            throw reader.Wrong($"a colour ({string.Join(", ", Colours.Keys)})");
        if (!reader.Take(Kinds, out ShapeKind kind))
            throw reader.Wrong($"a kind of shape ({string.Join(", ", Kinds.Keys)})");
        return new ShapeWords(size, colour, kind);
    }

    private static ShapeRelation? ReadRelation(Reader reader)
    {
        if (reader.Take("above"))
            return ShapeRelation.Above;
        if (reader.Take("below"))
            return ShapeRelation.Below;
        bool to = reader.Take("to");
        bool left = reader.Take("left");
        if (!left && !reader.Take("right"))
            return to ? throw reader.Wrong("\"left of\" or \"right of\"") : null;
        if (!reader.Take("of"))
            throw reader.Wrong("\"of\"");
        return left ? ShapeRelation.LeftOf : ShapeRelation.RightOf;
    }

    private static ShapeBackground ReadBackground(Reader reader)
    {
        if (!reader.Take("on"))
            return ShapeBackground.Unsaid;
        if (!reader.Take(Backgrounds, out ShapeBackground background))
            throw reader.Wrong("a background (black, grey, white)");
        if (!reader.Take("background"))
            throw reader.Wrong("\"background\"");
        return background;
    }

    /// <summary>The words that carry meaning, from left to right.</summary>
    private sealed class Reader(string caption)
    {
        private readonly string[] _words = caption.ToLowerInvariant()
            .Split([' ', '\t', '\r', '\n', ',', '.'], StringSplitOptions.RemoveEmptyEntries)
            .Where(word => word is not ("a" or "an" or "the"))
            .ToArray();

        private int _next;

        public string? Word => _next < _words.Length ? _words[_next] : null;

        public bool Take(string word)
        {
            if (Word != word)
                return false;
            _next++;
            return true;
        }

        public bool Take<T>(Dictionary<string, T> meanings, out T value)
            where T : struct
        {
            value = default;
            if (Word == null || !meanings.TryGetValue(Word, out value))
                return false;
            _next++;
            return true;
        }

        public MdmException Wrong(string expected)
        {
            string found = Word == null ? "the caption ends" : $"found \"{Short(Word)}\"";
            return new MdmException($"caption \"{Short(caption)}\": {found} where {expected} was expected");
        }

        private static string Short(string text) =>
            text.Length <= LongestQuote ? text : string.Concat(text.AsSpan(0, LongestQuote), "...");
    }
}
