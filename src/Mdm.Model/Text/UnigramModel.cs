namespace Mdm.Model.Text;

/// <summary>Part of a text and the piece that it is.</summary>
/// <param name="Start">Its first byte.</param>
/// <param name="End">The byte behind it.</param>
/// <param name="Id">The piece, or the id for unknown text.</param>
internal readonly record struct UnigramPart(int Start, int End, int Id);

/// <summary>Cuts text into the pieces with the greatest sum of scores (log-probabilities). A character that is no piece may be
/// passed over for <see cref="UnknownScore"/>. Time grows with the length of the text times that of the longest piece.</summary>
internal sealed class UnigramModel
{
    /// <summary>How much worse than the worst piece an unknown character is.</summary>
    public const float UnknownPenalty = 10;

    /// <summary>The pieces that text may be cut into.</summary>
    public required ByteTrie Pieces { get; init; }

    /// <summary>Score of every piece, by id.</summary>
    public required double[] Scores { get; init; }

    /// <summary>Score of an unknown character.</summary>
    public required double UnknownScore { get; init; }

    /// <summary>What unknown text becomes; negative: nothing.</summary>
    public required int UnknownId { get; init; }

    /// <summary>The pieces of the 256 bytes, which unknown characters are spelled with; null: not here.</summary>
    public int[]? ByteIds { get; init; }

    /// <summary>Sums are kept in single precision, as SentencePiece does; in long texts this can decide between cuts of almost
    /// equal score. (A new sum is compared before it is rounded.)</summary>
    public bool SinglePrecision { get; init; }

    /// <summary>Appends the ids of a text. Unknown characters in a row become one id, or the pieces of their bytes.</summary>
    /// <param name="text">UTF-8, normalised.</param>
    /// <param name="ids">Where to.</param>
    public void Encode(ReadOnlySpan<byte> text, List<int> ids)
    {
        foreach (UnigramPart part in Split(text))
        {
            if (part.Id != UnknownId)
                ids.Add(part.Id);
            else if (ByteIds != null)
                foreach (byte b in text[part.Start..part.End])
                    ids.Add(ByteIds[b]);
            else if (UnknownId >= 0)
                ids.Add(UnknownId);
        }
    }

    /// <summary>The parts of a text from left to right, unknown characters in a row as one.</summary>
    public List<UnigramPart> Split(ReadOnlySpan<byte> text)
    {
        // The best way to the place behind each byte: its score, where its last piece began (-1: no way yet), that piece.
        var best = new (double Score, int Start, int Id)[text.Length + 1];
        Array.Fill(best, (0, -1, UnknownId));
        for (int start = 0; start < text.Length;)
        {
            double score = best[start].Score;
            int character = Utf8.CharacterLength(text[start..]);
            bool isPiece = false;
            int state = ByteTrie.Root;
            for (int end = start + 1; end <= text.Length && (state = Pieces.Next(state, text[end - 1])) >= 0; end++)
            {
                int id = Pieces.Token(state);
                if (id < 0)
                    continue;
                Improve(ref best[end], score + Scores[id], start, id);
                isPiece |= end - start == character;
            }

            if (!isPiece)
                Improve(ref best[start + character], Rounded(score + UnknownScore), start, UnknownId);
            start += character;
        }

        var parts = new List<UnigramPart>();
        for (int end = text.Length; end > 0; end = best[end].Start)
        {
            var part = new UnigramPart(best[end].Start, end, best[end].Id);
            if (part.Id == UnknownId && parts.Count > 0 && parts[^1].Id == UnknownId)
                parts[^1] = parts[^1] with { Start = part.Start };
            else
                parts.Add(part);
        }

        parts.Reverse();
        return parts;
    }

    // Only a strictly better way replaces one that began earlier.
    private void Improve(ref (double Score, int Start, int Id) way, double score, int start, int id)
    {
        if (way.Start < 0 || score > way.Score)
            way = (Rounded(score), start, id);
    }

    private double Rounded(double score) => SinglePrecision ? (float)score : score;
}
