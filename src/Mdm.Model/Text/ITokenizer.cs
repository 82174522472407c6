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

    /// <summary>The tokens of a text as it stands; nothing is added. Text that no token matches is left out.</summary>
    int[] Encode(string text);
}
