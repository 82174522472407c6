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
    /// <param name="vocabulary">A tokenizer's file or folder; it need not be there.</param>
    /// <param name="rows">Of the encoder's embedding table.</param>
    /// <param name="useScores">As <see cref="Tokenizers.Open"/> takes it.</param>
    /// <returns>The tokenizer, and whether it is the model's own.</returns>
    /// <exception cref="MdmException">There is none, it is damaged, or it has not the encoder's number of tokens.</exception>
    public static (TokenizerFile File, bool IsOwn) Open(string folder, string vocabulary, int rows, bool useScores)
    {
        string? other = Tokenizers.FindOrNull(vocabulary), own = Tokenizers.FindOrNull(folder);
        string path = other ?? own
            ?? throw new MdmException($"no tokenizer for the text model: {folder} has neither {Tokenizers.SentencePieceFileName} "
                + $"nor {Tokenizers.JsonFileName}, and vocab_file "
                + (vocabulary.Length == 0 ? "is not set" : $"'{vocabulary}' is not there"));
        var file = new TokenizerFile(path, useScores);
        int size = file.Tokenizer.Size;
        return size <= rows && size * MostRows >= rows
            ? (file, other == null)
            : throw new MdmException($"{path} has {size} tokens, the encoder in {folder} has {rows}: "
                + "they belong to different models");
    }
}
