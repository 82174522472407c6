namespace Mdm.Model.Text;

/// <summary>Turns text into token numbers.</summary>
public interface ITokenizer
{
    /// <summary>Number of tokens.</summary>
    int Size { get; }

    /// <summary>The token that fills short captions.</summary>
    int PadId { get; }

    /// <summary>The token that ends a caption.</summary>
    int EndId { get; }

    /// <summary>The token for unknown text, with which captions begin where that is asked for; null: there is none.</summary>
    int? UnknownId { get; }

    /// <summary>The tokens of a text as it stands, without an end token. Text that no token matches is left out, or is the
    /// token for unknown text where the vocabulary has one.</summary>
    int[] Encode(string text);

    /// <summary>Whether a token says anything: spaces and the token for unknown text do not.</summary>
    bool HasMeaning(int token);
}
