using System.Text;
using Mdm.Kernels;

namespace Mdm.Model.Text;

/// <summary>Opens tokenizers of every kind.</summary>
public static class Tokenizers
{
    /// <summary>Names of the files in a Hugging Face folder, the one that counts first: SentencePiece is what T5 was trained
    /// with, and its file says everything.</summary>
    public const string SentencePieceFileName = "spiece.model", JsonFileName = "tokenizer.json";

    // The largest vocabularies (a million pieces, spelled out as JSON) stay far below.
    private const long LargestFile = 1L << 28;

    /// <summary>Opens a tokenizer.</summary>
    /// <param name="path">A <c>.vocab</c> file, a SentencePiece model (<c>spiece.model</c>), a Hugging Face
    /// <c>tokenizer.json</c>, or a folder with one of the latter two, of which <c>spiece.model</c> is preferred.</param>
    /// <param name="useScores">For <c>.vocab</c> files: off, and the fewest tokens win.</param>
    /// <exception cref="MdmException">There is none, or the file is damaged or of a kind that is not known.</exception>
    public static ITokenizer Open(string path, bool useScores = true)
    {
        string file = Find(path);
        return KindOf(file) switch
        {
            Kind.SentencePiece => SentencePieceTokenizer.Load(file),
            Kind.Json => JsonTokenizer.Load(file),
            _ => VocabTokenizer.Load(file, useScores),
        };
    }

    /// <summary>The file that <see cref="Open"/> would read for a path.</summary>
    /// <exception cref="MdmException">It is a folder without one.</exception>
    public static string Find(string path) => FindOrNull(path) ?? (Directory.Exists(path)
        ? throw new MdmException($"folder {path} holds no tokenizer, expected {SentencePieceFileName} or {JsonFileName}")
        : path);

    /// <summary>The file that <see cref="Open"/> would read for a path, or null if there is none.</summary>
    public static string? FindOrNull(string path) => File.Exists(path) ? path
        : new[] { SentencePieceFileName, JsonFileName }.Select(name => Path.Combine(path, name)).FirstOrDefault(File.Exists);

    /// <summary>The name of a byte's piece, such as <c>&lt;0x0A&gt;</c>.</summary>
    internal static string ByteName(int value) => $"<0x{value:X2}>";

    /// <summary>All bytes of a file.</summary>
    /// <exception cref="MdmException">It cannot be read, or is too large or empty, or a stand-in for a file that was not
    /// downloaded.</exception>
    internal static byte[] ReadFile(string path)
    {
        try
        {
            long length = new FileInfo(path).Length;
            if (length > LargestFile)
                throw new MdmException($"{path} has {length} bytes, which is no tokenizer: expected at most {LargestFile}");
            byte[] bytes = File.ReadAllBytes(path);
            if (bytes.Length == 0)
                throw new MdmException($"{path} is empty, expected a tokenizer");
            if (bytes.AsSpan().StartsWith("version https://git-lfs"u8))
                throw new MdmException($"{path} is a Git LFS pointer, expected the file itself ('git lfs pull' fetches it)");
            if (IsWebPage(bytes.AsSpan().TrimStart(" \t\r\n"u8)))
                throw new MdmException($"{path} is a web page, expected a tokenizer: the download went wrong");
            return bytes;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new MdmException($"cannot read tokenizer {path}: {e.Message}", e);
        }
    }

    private static bool IsWebPage(ReadOnlySpan<byte> bytes) =>
        Ascii.EqualsIgnoreCase(bytes[..Math.Min(bytes.Length, 9)], "<!DOCTYPE"u8)
        || Ascii.EqualsIgnoreCase(bytes[..Math.Min(bytes.Length, 5)], "<html"u8);

    private enum Kind
    {
        Vocab,
        SentencePiece,
        Json,
    }

    // The name decides; where it says nothing, what the file begins with.
    private static Kind KindOf(string path) => Path.GetExtension(path).ToLowerInvariant() switch
    {
        ".vocab" or ".tsv" or ".txt" => Kind.Vocab,
        ".json" => Kind.Json,
        ".model" => Kind.SentencePiece,
        _ => KindOf(ReadFile(path)),
    };

    private static Kind KindOf(ReadOnlySpan<byte> bytes)
    {
        // The first field of a model is a piece: its key, its length, and in it the key of its text.
        if (bytes.Length > 2 && bytes[0] == 0x0A && bytes[2] == 0x0A)
            return Kind.SentencePiece;
        return bytes.TrimStart(" \t\r\n"u8) is [(byte)'{', ..] ? Kind.Json : Kind.Vocab;
    }
}
