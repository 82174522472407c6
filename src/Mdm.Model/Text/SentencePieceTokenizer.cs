using System.Runtime.InteropServices;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Model.Text;

/// <summary>
/// The tokenizer of SentencePiece's Unigram models (<c>spiece.model</c>), which T5 was trained with: gives exactly the ids that
/// SentencePiece gives. A text is normalised (characters replaced by the model's own table, spaces tidied, one put in front) and
/// cut into the pieces of greatest total score. Control pieces never match: a literal <c>&lt;/s&gt;</c> is four characters.
/// </summary>
public sealed class SentencePieceTokenizer : ITokenizer
{
    private readonly SentencePieceFile file;
    private readonly UnigramModel model;
    // Pieces that the normaliser leaves as they are; null: the model has none.
    private readonly ByteTrie? verbatim;

    private SentencePieceTokenizer(string path, SentencePieceFile file)
    {
        this.file = file;
        model = Model(path, file);
        if (file.Pieces.Any(piece => piece.Type == PieceType.UserDefined))
            verbatim = Trie(file, piece => piece.Type == PieceType.UserDefined);
        EndId = Require(path, file.EndPiece);
        PadId = Require(path, file.PadPiece);
    }

    public int Size => file.Pieces.Count;

    public int PadId { get; }

    public int EndId { get; }

    public int? UnknownId => model.UnknownId;

    /// <summary>Reads a model.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="MdmException">It cannot be read, is damaged or of another type, or lacks a special piece.</exception>
    public static SentencePieceTokenizer Load(string path) =>
        new(path, SentencePieceFile.Parse(path, Tokenizers.ReadFile(path)));

    public int[] Encode(string text)
    {
        var ids = new List<int>();
        model.Encode(NormalizedBytes(text), ids);
        return [.. ids];
    }

    public bool HasMeaning(int token)
    {
        SentencePiece piece = file.Pieces[token];
        return piece.Type is not (PieceType.Unknown or PieceType.Control) && !piece.Text.AsSpan().SequenceEqual(Utf8.SpaceMark);
    }

    /// <summary>A text as the model sees it, with U+2581 for spaces.</summary>
    public string Normalize(string text) => Encoding.UTF8.GetString(NormalizedBytes(text));

    /// <summary>The pieces of a text; together they are what <see cref="Normalize"/> gives. Unknown characters in a row are one
    /// piece.</summary>
    public string[] Pieces(string text)
    {
        byte[] normalized = NormalizedBytes(text);
        return model.Split(normalized).Select(part => Encoding.UTF8.GetString(normalized.AsSpan(part.Start..part.End))).ToArray();
    }

    private byte[] NormalizedBytes(string text)
    {
        ReadOnlySpan<byte> rest = Encoding.UTF8.GetBytes(text);
        ReadOnlySpan<byte> space = file.MarksSpaces ? Utf8.SpaceMark : " "u8;
        bool tidy = file.RemovesSpaces, afterSpace = tidy;
        var result = new List<byte>(rest.Length + space.Length);
        bool empty = true;
        while (rest.Length > 0)
        {
            ReadOnlySpan<byte> next = NextReplaced(ref rest);
            if (empty && tidy && next is [(byte)' '])
                continue;
            if (empty && file is { AddsSpace: true, SpaceIsSuffix: false })
                result.AddRange(space);
            empty = false;
            if (afterSpace)
                next = next.TrimStart((byte)' ');
            foreach (byte b in next)
            {
                if (b == ' ')
                    result.AddRange(space);
                else
                    result.Add(b);
            }

            if (next.Length > 0)
                afterSpace = tidy && next[^1] == ' ';
        }

        while (tidy && CollectionsMarshal.AsSpan(result).EndsWith(space))
            result.RemoveRange(result.Count - space.Length, space.Length);
        if (!empty && file is { AddsSpace: true, SpaceIsSuffix: true })
            result.AddRange(space);
        return [.. result];
    }

    /// <summary>Takes the next character, or the longest string that is replaced as one, off a text.</summary>
    private ReadOnlySpan<byte> NextReplaced(ref ReadOnlySpan<byte> text)
    {
        ReadOnlySpan<byte> result = default;
        int length = verbatim?.LongestMatch(text) ?? 0;
        if (length == 0)
            length = file.Characters?.Match(text, out result) ?? 0;
        else
            result = text[..length];
        if (length == 0)
        {
            length = Utf8.CharacterLength(text);
            result = text[..length];
        }

        text = text[length..];
        return result;
    }

    private static UnigramModel Model(string path, SentencePieceFile file)
    {
        float worst = float.MaxValue, best = 0;
        var bytes = new Dictionary<int, int>();
        int unknown = -1;
        for (int id = 0; id < file.Pieces.Count; id++)
        {
            SentencePiece piece = file.Pieces[id];
            if (piece.Type == PieceType.Normal)
                (worst, best) = (Math.Min(worst, piece.Score), Math.Max(best, piece.Score));
            if (piece.Type == PieceType.Byte)
                bytes[ByteOf(path, id, piece.Shown)] = id;
            if (piece.Type == PieceType.Unknown)
                unknown = unknown < 0 ? id
                    : throw new MdmException($"{path}: pieces {unknown} and {id} both are for unknown text, expected one");
        }

        if (unknown < 0)
            throw new MdmException($"{path}: none of {file.Pieces.Count} pieces is for unknown text, expected one (<unk>)");
        if (file.ByteFallback && bytes.Count < 256)
            throw new MdmException($"{path}: found pieces of {bytes.Count} bytes, expected all 256 with byte_fallback");
        // Pieces of the user always win: they cost next to nothing, whatever their length.
        const double userCost = 0.1;
        return new UnigramModel
        {
            Pieces = Trie(file, piece => piece.Type is PieceType.Normal or PieceType.UserDefined),
            Scores = [.. file.Pieces.Select(piece =>
                piece.Type == PieceType.UserDefined ? (float)(piece.Text.Length * best) - userCost : piece.Score)],
            UnknownScore = worst - UnigramModel.UnknownPenalty,
            UnknownId = unknown,
            ByteIds = file.ByteFallback ? [.. Enumerable.Range(0, 256).Select(b => bytes[b])] : null,
            SinglePrecision = true,
        };
    }

    private static ByteTrie Trie(SentencePieceFile file, Func<SentencePiece, bool> wanted)
    {
        var trie = new ByteTrie();
        for (int id = 0; id < file.Pieces.Count; id++)
            if (wanted(file.Pieces[id]))
                trie.Add(file.Pieces[id].Text, id);
        return trie;
    }

    private static int ByteOf(string path, int id, string name)
    {
        for (int b = 0; b < 256; b++)
            if (name == Tokenizers.ByteName(b))
                return b;
        throw new MdmException($"{path}: piece {id} is '{name}', expected a byte such as '{Tokenizers.ByteName(255)}'");
    }

    private int Require(string path, string name)
    {
        int id = file.Pieces.FindIndex(piece => piece.Type == PieceType.Control && piece.Shown == name);
        return id >= 0 ? id : throw new MdmException($"{path}: control piece {name} is missing among {Size} pieces");
    }
}
