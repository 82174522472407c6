namespace Mdm.Model.Text;

/// <summary>UTF-8 as the tokenizers see it.</summary>
internal static class Utf8
{
    /// <summary>The sign that stands for a space in pieces, U+2581.</summary>
    public static ReadOnlySpan<byte> SpaceMark => "\u2581"u8;

    /// <summary>Bytes of the character that a text begins with, told by its first byte; a stray byte counts as one.</summary>
    public static int CharacterLength(ReadOnlySpan<byte> text) => Math.Min(text.Length, text[0] switch
    {
        < 0xC0 => 1,
        < 0xE0 => 2,
        < 0xF0 => 3,
        _ => 4,
    });
}
