using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Text;

/// <summary>A tokenizer together with its file, which a checkpoint takes along.</summary>
internal sealed class TokenizerFile
{
    private readonly byte[] bytes;

    /// <summary>Opens any kind of tokenizer.</summary>
    /// <param name="path">As <see cref="Tokenizers.Open"/> takes it.</param>
    /// <param name="useScores">As there.</param>
    /// <exception cref="MdmException">As there.</exception>
    public TokenizerFile(string path, bool useScores)
    {
        Path = Tokenizers.Find(path);
        Tokenizer = Tokenizers.Open(Path, useScores);
        bytes = Tokenizers.ReadFile(Path);
    }

    /// <summary>The file itself, not a folder.</summary>
    public string Path { get; }

    public ITokenizer Tokenizer { get; }

    /// <summary>Writes a copy.</summary>
    /// <param name="folder">Where to.</param>
    /// <returns>The copy's name there.</returns>
    public string Save(string folder)
    {
        string name = "vocabulary" + Tokenizer switch
        {
            SentencePieceTokenizer => ".model",
            JsonTokenizer => ".json",
            _ => ".vocab",
        };
        AtomicFile.Write(System.IO.Path.Combine(folder, name), stream => stream.Write(bytes));
        return name;
    }
}
