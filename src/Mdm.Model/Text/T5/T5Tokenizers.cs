using Mdm.Kernels;

namespace Mdm.Model.Text.T5;

/// <summary>The tokenizer that goes with an encoder.</summary>
internal static class T5Tokenizers
{
    /// <summary>The encoder's table may have so many more rows than there are tokens: real ones are rounded up by less than a
    /// hundredth.</summary>
    private const double MostRows = 1.1;

    /// <summary>Opens a vocabulary, or else the tokenizer in the model's folder.</summary>
    /// <param name="folder">The model's.</param>
    /// <param name="vocabulary">A tokenizer's file; it need not be there.</param>
    /// <param name="rows">Of the encoder's embedding table.</param>
    /// <exception cref="MdmException">There is none, it is damaged, or it has not the encoder's number of tokens.</exception>
    public static (ITokenizer Tokenizer, string Path) Open(string folder, string vocabulary, int rows)
    {
        string path = File.Exists(vocabulary) ? vocabulary : FindIn(folder)
            ?? throw new MdmException($"no tokenizer for the text model: {folder} has neither {Tokenizers.SentencePieceFileName} "
                + $"nor {Tokenizers.JsonFileName}, and vocab_file "
                + (vocabulary.Length == 0 ? "is not set" : $"'{vocabulary}' is not there"));
        ITokenizer tokenizer = Tokenizers.Open(path);
        return tokenizer.Size <= rows && tokenizer.Size * MostRows >= rows
            ? (tokenizer, path)
            : throw new MdmException($"{path} has {tokenizer.Size} tokens, the encoder in {folder} has {rows}: "
                + "they belong to different models");
    }

    private static string? FindIn(string folder) =>
        ((string[])[Tokenizers.SentencePieceFileName, Tokenizers.JsonFileName])
        .Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
}
