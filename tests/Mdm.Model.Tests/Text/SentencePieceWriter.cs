using System.Text;

namespace Mdm.Model.Tests.Text;

/// <summary>Writes <c>spiece.model</c> files: an encoder of protocol buffers with the field numbers of
/// sentencepiece_model.proto.</summary>
internal sealed class SentencePieceWriter
{
    public const int Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6;

    private readonly List<byte> pieces = [];

    public int? ModelType { get; init; }

    public bool? ByteFallback { get; init; }

    public bool? SpaceIsSuffix { get; init; }

    public bool? AddsSpace { get; init; }

    public bool? RemovesSpaces { get; init; }

    public bool? MarksSpaces { get; init; }

    public string? EndPiece { get; init; }

    public byte[]? Characters { get; init; }

    /// <summary>With pad, end and unknown pieces in front.</summary>
    public SentencePieceWriter WithSpecials() => Add("<pad>", 0, Control).Add("</s>", 0, Control).Add("<unk>", 0, Unknown);

    public SentencePieceWriter Add(string text, float score, int type = Normal)
    {
        byte[] piece = [.. Delimited(1, Encoding.UTF8.GetBytes(text)), .. Varint(2 << 3 | 5), .. BitConverter.GetBytes(score),
            .. type == Normal ? [] : Integer(3, type)];
        pieces.AddRange(Delimited(1, piece));
        return this;
    }

    public byte[] ToBytes()
    {
        byte[] training = [.. Optional(3, ModelType), .. Optional(24, SpaceIsSuffix), .. Optional(35, ByteFallback),
            .. EndPiece == null ? [] : Delimited(47, Encoding.UTF8.GetBytes(EndPiece)), .. Integer(4, 8000)];
        byte[] normaliser = [.. Delimited(1, "made by a test"u8), .. Characters == null ? [] : Delimited(2, Characters),
            .. Optional(3, AddsSpace), .. Optional(4, RemovesSpaces), .. Optional(5, MarksSpaces)];
        // Fields that no reader needs know, of every kind.
        byte[] unknown = [.. Varint(200 << 3 | 1), .. new byte[8], .. Varint(201 << 3 | 5), .. new byte[4],
            .. Integer(202, 1 << 30)];
        return [.. pieces, .. Delimited(2, training), .. Delimited(3, normaliser), .. unknown];
    }

    /// <summary>Writes the file into the tests' folder.</summary>
    public string Write(string name = "written.model")
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, name);
        File.WriteAllBytes(path, ToBytes());
        return path;
    }

    private static byte[] Optional(int field, bool? value) => value is { } flag ? Integer(field, flag ? 1 : 0) : [];

    private static byte[] Optional(int field, int? value) => value is { } number ? Integer(field, number) : [];

    private static byte[] Integer(int field, int value) => [.. Varint((uint)field << 3), .. Varint((uint)value)];

    private static byte[] Delimited(int field, ReadOnlySpan<byte> bytes) =>
        [.. Varint((uint)field << 3 | 2), .. Varint((uint)bytes.Length), .. bytes];

    private static byte[] Varint(uint value)
    {
        var bytes = new List<byte>();
        for (; value > 0x7F; value >>= 7)
            bytes.Add((byte)(value | 0x80));
        bytes.Add((byte)value);
        return [.. bytes];
    }
}
