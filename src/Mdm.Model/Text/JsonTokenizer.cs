using System.Text;
using System.Text.Json;
using Mdm.Kernels;

namespace Mdm.Model.Text;

/// <summary>
/// The tokenizer of a Hugging Face <c>tokenizer.json</c> with a Unigram model. It works as the library that wrote the file does:
/// added tokens (a literal <c>&lt;/s&gt;</c>, for one) are cut out of the text first, what is between them is normalised and cut
/// into words, and each word into pieces. Unlike there, the table of a Precompiled normaliser is applied as SentencePiece applies
/// it, so that marks after a replaced character are kept. What the file says of padding, cutting and appending has no effect:
/// the caller does these.
/// </summary>
public sealed class JsonTokenizer : ITokenizer
{
    private readonly AddedTokens rawTokens, normalizedTokens;
    private readonly Func<string, string> normalize;
    private readonly Func<Word, IEnumerable<Word>> split;
    private readonly UnigramModel model;
    private readonly HashSet<int> meaningless = [];

    private JsonTokenizer(JsonNode file)
    {
        var ids = new Dictionary<string, int>();
        model = Model(file.Field("model"), ids);
        normalize = TextReplacement.Read(file.Optional("normalizer"));
        split = WordSplitting.Read(file.Optional("pre_tokenizer"));
        List<AddedToken> raw = [], normalized = [];
        foreach (JsonNode node in file.Optional("added_tokens")?.Items() ?? [])
        {
            AddedToken token = Added(node, ids);
            if (node.Flag("special", false))
                meaningless.Add(token.Id);
            if (node.Flag("normalized", true))
                normalized.Add(token with { Content = normalize(token.Content) });
            else
                raw.Add(token);
        }

        (rawTokens, normalizedTokens) = (new AddedTokens(raw), new AddedTokens(normalized));
        Size = ids.Values.Max() + 1;
        PadId = Require(file.File, VocabTokenizer.PadToken, ids);
        EndId = Require(file.File, VocabTokenizer.EndToken, ids);
        meaningless.UnionWith([model.UnknownId, PadId, EndId]);
        if (ids.TryGetValue("\u2581", out int space))
            meaningless.Add(space);
    }

    public int Size { get; }

    public int PadId { get; }

    public int EndId { get; }

    public int? UnknownId => model.UnknownId >= 0 ? model.UnknownId : null;

    /// <summary>Reads a tokenizer.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="MdmException">It cannot be read, is damaged, has parts that are not known, or lacks a special
    /// token.</exception>
    public static JsonTokenizer Load(string path)
    {
        byte[] bytes = Tokenizers.ReadFile(path);
        if (!System.Text.Unicode.Utf8.IsValid(bytes))
            throw new MdmException($"{path} is no complete JSON (damaged?): some of it is not UTF-8");
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes.AsMemory());
            return new JsonTokenizer(new JsonNode(path, "", document.RootElement));
        }
        catch (JsonException e)
        {
            string reason = e.Message.ReplaceLineEndings(" ");
            throw new MdmException($"{path} is no complete JSON (damaged or half-downloaded?): {reason}", e);
        }
    }

    public int[] Encode(string text)
    {
        // Halves of a pair that stand alone become U+FFFD.
        text = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
        var ids = new List<int>();
        foreach ((int token, int start, int end) in rawTokens.Split(text))
        {
            if (token >= 0)
                ids.Add(token);
            else
                EncodeNormalized(normalize(text[start..end]), start == 0, ids);
        }

        return [.. ids];
    }

    public bool HasMeaning(int token) => !meaningless.Contains(token);

    private void EncodeNormalized(string text, bool isFirst, List<int> ids)
    {
        foreach ((int token, int start, int end) in normalizedTokens.Split(text))
        {
            if (token >= 0)
                ids.Add(token);
            else
                foreach (Word word in split(new Word(text[start..end], isFirst && start == 0)))
                    model.Encode(Encoding.UTF8.GetBytes(word.Text), ids);
        }
    }

    private static UnigramModel Model(JsonNode node, Dictionary<string, int> ids)
    {
        const string expected = "Unigram";
        if (node.Type() != expected)
            throw node.Field("type").Error($"{expected}, which T5 has");
        var pieces = new List<(byte[] Text, double Score)>();
        foreach (JsonNode entry in node.Field("vocab").Items())
        {
            JsonNode[] pair = [.. entry.Items()];
            if (pair.Length != 2)
                throw entry.Error("a piece and its score");
            string piece = pair[0].Text();
            if (!ids.TryAdd(piece, pieces.Count))
                throw entry.Error($"a piece that is not already piece {ids[piece]}");
            pieces.Add((Encoding.UTF8.GetBytes(piece), pair[1].Number()));
        }

        if (pieces.Count == 0)
            throw node.Field("vocab").Error("pieces");
        int unknown = node.Optional("unk_id") is { } unknownId ? unknownId.Integer() : -1;
        if (unknown >= pieces.Count)
            throw node.Field("unk_id").Error($"one of {pieces.Count} pieces");
        // Unlike in SentencePiece, every piece matches, special ones too.
        var trie = new ByteTrie();
        for (int id = 0; id < pieces.Count; id++)
            trie.Add(pieces[id].Text, id);
        int[] bytes = [.. Enumerable.Range(0, 256).Select(b => ids.GetValueOrDefault(Tokenizers.ByteName(b), -1))];
        bool byteFallback = node.Flag("byte_fallback", false);
        if (byteFallback && bytes.Contains(-1))
        {
            throw new MdmException($"{node.File}: found pieces of {bytes.Count(id => id >= 0)} bytes, expected all 256 with "
                + "byte_fallback");
        }

        return new UnigramModel
        {
            Pieces = trie,
            Scores = [.. pieces.Select(piece => piece.Score)],
            UnknownScore = pieces.Min(piece => piece.Score) - UnigramModel.UnknownPenalty,
            UnknownId = unknown,
            ByteIds = byteFallback ? bytes : null,
        };
    }

    private static AddedToken Added(JsonNode node, Dictionary<string, int> ids)
    {
        string content = node.Field("content").Text();
        int id = node.Field("id").Integer();
        if (!ids.TryAdd(content, id) && ids[content] != id)
            throw node.Error($"the id {ids[content]}, which the vocabulary gives it");
        bool Is(string flag) => node.Flag(flag, false);
        return new AddedToken(content, id, Is("single_word"), Is("lstrip"), Is("rstrip"));
    }

    private static int Require(string path, string token, Dictionary<string, int> ids) => ids.TryGetValue(token, out int id)
        ? id
        : throw new MdmException($"{path}: token {token} is missing among {ids.Count} tokens");
}
