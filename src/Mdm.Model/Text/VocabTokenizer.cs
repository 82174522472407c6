using System.Buffers.Text;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Model.Text;

/// <summary>The tokenizer of <c>.vocab</c> files: a line <c>token TAB log-probability</c> each, id = line number from 0, U+2581
/// stands for a space. It works on the bytes of the text, without any normalisation, and finds the tokens of least total
/// cost, the cost of a token being minus its log-probability.</summary>
public sealed class VocabTokenizer : ITokenizer
{
    public const string PadToken = "<pad>";
    public const string EndToken = "</s>";

    private const string UnknownToken = "<unk>";

    private const byte Space = (byte)' ';
    private readonly ByteTrie trie = new();
    private readonly List<double> costs = [];
    private readonly List<bool> isSpace = [];

    private VocabTokenizer(string path, bool useScores)
    {
        byte[] bytes = Read(path);
        for (int at = 0; at < bytes.Length;)
        {
            int end = bytes.AsSpan(at).IndexOf((byte)'\n') is >= 0 and int length ? at + length : bytes.Length;
            AddLine(path, bytes.AsSpan(at..end), useScores);
            at = end + 1;
        }

        PadId = Require(path, PadToken);
        EndId = Require(path, EndToken);
        UnknownId = Find(UnknownToken) is >= 0 and int unknown ? unknown : null;
    }

    /// <summary>Number of tokens.</summary>
    public int Size => costs.Count;

    /// <summary>Fills up shorter texts of a batch.</summary>
    public int PadId { get; }

    /// <summary>Ends a text.</summary>
    public int EndId { get; }

    /// <summary><c>&lt;unk&gt;</c>, which <see cref="Encode"/> never gives unless it stands in the text; null: there is none.</summary>
    public int? UnknownId { get; }

    /// <summary>Reads a vocabulary.</summary>
    /// <param name="path">The file.</param>
    /// <param name="useScores">Off: every token costs 1, so that the fewest tokens win.</param>
    /// <exception cref="MdmException">The file cannot be read, a line is damaged, or a special token is missing.</exception>
    public static VocabTokenizer Load(string path, bool useScores = true) => new(path, useScores);

    /// <summary>The id of a token (with U+2581 or a space for spaces), or -1.</summary>
    public int Find(string token) => trie.Find(TokenBytes(Encoding.UTF8.GetBytes(token)));

    /// <summary>The tokens of a text, without any space in front and without an end token. Bytes at which no token
    /// continues are dropped, together with everything since the last place where a token ended, and matching starts anew
    /// after them; literal special tokens in the text are tokens like any other and cost nothing.</summary>
    public int[] Encode(string text)
    {
        // A node is a place where some token ends: what the cheapest way there costs, its last token, and where that began.
        var nodes = new List<(double Cost, int Token, int Previous)> { (0, -1, -1) };
        // Tokens that have begun: at which node, and how far the trie has been followed. In order of the nodes.
        var live = new List<(int Node, int State)> { (0, ByteTrie.Root) };
        foreach (byte b in Encoding.UTF8.GetBytes(text))
        {
            (double Cost, int Token, int Previous) best = (0, -1, -1);
            int kept = 0;
            for (int i = 0; i < live.Count; i++)
            {
                (int node, int state) = live[i];
                state = trie.Next(state, b);
                if (state < 0)
                    continue;
                int token = trie.Token(state);
                // Only a strictly cheaper way replaces one that begins earlier.
                if (token >= 0 && (best.Token < 0 || nodes[node].Cost + costs[token] < best.Cost))
                    best = (nodes[node].Cost + costs[token], token, node);
                if (trie.Continues(state))
                    live[kept++] = (node, state);
            }

            live.RemoveRange(kept, live.Count - kept);
            if (best.Token >= 0)
                nodes.Add(best);
            if (best.Token >= 0 || kept == 0)
                live.Add((nodes.Count - 1, ByteTrie.Root));
        }

        var tokens = new List<int>();
        for (int node = nodes.Count - 1; node > 0; node = nodes[node].Previous)
            tokens.Add(nodes[node].Token);
        tokens.Reverse();
        return [.. tokens];
    }

    public bool HasMeaning(int token) => !isSpace[token] && token != PadId && token != EndId;

    private static byte[] Read(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read vocabulary {path}: {e.Message}", e);
        }
    }

    private void AddLine(string path, ReadOnlySpan<byte> line, bool useScores)
    {
        line = line.TrimEnd((byte)'\r');
        int tab = line.LastIndexOf((byte)'\t');
        if (tab < 1 || !Utf8Parser.TryParse(line[(tab + 1)..], out double score, out int used) || used != line.Length - tab - 1
            || !double.IsFinite(score))
            throw new MdmException($"{path}, line {costs.Count + 1}: found '{Shown(line)}', expected a token, a tab and a "
                + "log-probability");
        byte[] token = TokenBytes(line[..tab]);
        trie.Add(token, costs.Count);
        isSpace.Add(!token.AsSpan().ContainsAnyExcept(Space));
        costs.Add(useScores ? -score : 1);
    }

    private int Require(string path, string token)
    {
        int id = Find(token);
        return id >= 0 ? id : throw new MdmException($"vocabulary {path}: token {token} is missing among {Size} tokens");
    }

    /// <summary>U+2581 turned into a space.</summary>
    private static byte[] TokenBytes(ReadOnlySpan<byte> token)
    {
        ReadOnlySpan<byte> mark = "\u2581"u8;
        var result = new List<byte>(token.Length);
        while (token.Length > 0)
        {
            bool isMark = token.StartsWith(mark);
            result.Add(isMark ? Space : token[0]);
            token = token[(isMark ? mark.Length : 1)..];
        }

        return [.. result];
    }

    private static string Shown(ReadOnlySpan<byte> line)
    {
        string text = Encoding.UTF8.GetString(line[..Math.Min(line.Length, 60)]);
        return new string([.. text.Select(c => char.IsControl(c) ? '?' : c)]);
    }
}
