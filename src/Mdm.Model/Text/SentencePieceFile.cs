using System.Globalization;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Model.Text;

/// <summary>What a piece is for, with the numbers of the file format.</summary>
internal enum PieceType
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>One entry of a vocabulary.</summary>
internal sealed record SentencePiece(byte[] Text, float Score, PieceType Type)
{
    /// <summary>For people.</summary>
    public string Shown => Encoding.UTF8.GetString(Text);
}

/// <summary>The parts of a <c>spiece.model</c> that encoding needs. The file is a protocol buffer (sentencepiece_model.proto):
/// pieces in field 1, the settings of training in 2, those of the normaliser in 3.</summary>
internal sealed class SentencePieceFile
{
    private const int UnigramType = 1;

    private long modelType = UnigramType;

    private SentencePieceFile()
    {
    }

    /// <summary>The vocabulary; a piece's id is its place.</summary>
    public List<SentencePiece> Pieces { get; } = [];

    /// <summary>Names of the pieces that end and fill up texts.</summary>
    public string EndPiece { get; private set; } = VocabTokenizer.EndToken;

    public string PadPiece { get; private set; } = VocabTokenizer.PadToken;

    /// <summary>Unknown characters become the pieces of their bytes.</summary>
    public bool ByteFallback { get; private set; }

    /// <summary>The space that texts are given goes behind them, not in front.</summary>
    public bool SpaceIsSuffix { get; private set; }

    /// <summary>Replacements of characters, or null.</summary>
    public CharacterMap? Characters { get; private set; }

    /// <summary>Texts are given a space.</summary>
    public bool AddsSpace { get; private set; } = true;

    /// <summary>Outer spaces are dropped, and runs of spaces become one.</summary>
    public bool RemovesSpaces { get; private set; } = true;

    /// <summary>Spaces become U+2581.</summary>
    public bool MarksSpaces { get; private set; } = true;

    /// <summary>Reads a model.</summary>
    /// <param name="path">For messages.</param>
    /// <param name="bytes">The file.</param>
    /// <exception cref="MdmException">It is damaged, cut short, or of another model type than Unigram.</exception>
    public static SentencePieceFile Parse(string path, ReadOnlySpan<byte> bytes)
    {
        var file = new SentencePieceFile();
        try
        {
            bool hasTraining = false, hasNormaliser = false;
            var reader = new ProtobufReader(bytes);
            while (reader.Next())
            {
                switch (reader.Field)
                {
                    case 1:
                        file.Pieces.Add(ReadPiece(reader.Bytes(), file.Pieces.Count));
                        break;
                    case 2:
                        hasTraining = true;
                        file.ReadTraining(reader.Bytes());
                        break;
                    case 3:
                        hasNormaliser = true;
                        file.ReadNormaliser(reader.Bytes());
                        break;
                    default:
                        reader.Skip();
                        break;
                }
            }

            // Every trainer writes both behind the pieces: a file that was cut between two fields lacks them.
            if (!hasTraining || !hasNormaliser)
                throw new FormatException($"it ends after {file.Pieces.Count} pieces without its settings");
        }
        catch (FormatException e)
        {
            throw new MdmException($"{path} is no complete SentencePiece model (damaged or half-downloaded?): {e.Message}", e);
        }

        if (file.modelType != UnigramType)
            throw new MdmException($"{path}: found a SentencePiece model of type {TypeName(file.modelType)}, expected "
                + $"{TypeName(UnigramType)}, which T5 has");
        return file;
    }

    private static string TypeName(long type) => type switch
    {
        UnigramType => "Unigram",
        2 => "BPE",
        3 => "Word",
        4 => "Char",
        _ => $"{type}",
    };

    private static SentencePiece ReadPiece(ReadOnlySpan<byte> bytes, int id)
    {
        var reader = new ProtobufReader(bytes);
        byte[] text = [];
        float score = 0;
        var type = PieceType.Normal;
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    text = reader.Bytes().ToArray();
                    break;
                case 2:
                    score = reader.Single();
                    break;
                case 3:
                    type = (PieceType)reader.Integer();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        if (text.Length == 0)
            throw new FormatException($"piece {id} is empty");
        if (!float.IsFinite(score))
            throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"piece {id} has the score {score}"));
        if (!Enum.IsDefined(type))
            throw new FormatException($"piece {id} has the type {(long)type}, expected 1 to 6");
        return new SentencePiece(text, score, type);
    }

    private void ReadTraining(ReadOnlySpan<byte> bytes)
    {
        var reader = new ProtobufReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 3:
                    modelType = reader.Integer();
                    break;
                case 24:
                    SpaceIsSuffix = reader.Flag();
                    break;
                case 35:
                    ByteFallback = reader.Flag();
                    break;
                case 47:
                    EndPiece = Encoding.UTF8.GetString(reader.Bytes());
                    break;
                case 48:
                    PadPiece = Encoding.UTF8.GetString(reader.Bytes());
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
    }

    private void ReadNormaliser(ReadOnlySpan<byte> bytes)
    {
        var reader = new ProtobufReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 2:
                    ReadOnlySpan<byte> table = reader.Bytes();
                    Characters = CharacterMap.Read(table);
                    if (Characters == null && table.Length > 0)
                        throw new FormatException($"the {table.Length} bytes of its precompiled_charsmap are no such table");
                    break;
                case 3:
                    AddsSpace = reader.Flag();
                    break;
                case 4:
                    RemovesSpaces = reader.Flag();
                    break;
                case 5:
                    MarksSpaces = reader.Flag();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
    }
}
