using System.Buffers.Binary;

namespace Mdm.Model.Text;

/// <summary>
/// The <c>precompiled_charsmap</c> of SentencePiece: UTF-8 strings and what replaces each. Its bytes are the size of a trie
/// (32 bits, little-endian), the trie, and the replacements, each ended by a zero byte. The trie is a double array as
/// Darts-clone writes it, one 32-bit unit a state: bits 0-7 the byte that led there (with bit 31, which is clear in such
/// units), bit 8 whether a string ends there, bits 10-30 (shifted by 8 more if bit 9 is set) what its place is combined with
/// to find the next states. The unit found with a zero byte holds, in bits 0-30, where the replacement begins.
/// Damaged tables replace the wrong strings, but never read outside.
/// </summary>
internal sealed class CharacterMap
{
    private const uint LabelBits = 0x8000_00FF, LeafBit = 1 << 8, ExtensionBit = 1 << 9, ValueBits = 0x7FFF_FFFF;

    private readonly uint[] units;
    private readonly byte[] replacements;

    private CharacterMap(uint[] units, byte[] replacements) => (this.units, this.replacements) = (units, replacements);

    /// <summary>Reads a table; null if its sizes cannot be right.</summary>
    public static CharacterMap? Read(ReadOnlySpan<byte> bytes)
    {
        const int unit = sizeof(uint);
        if (bytes.Length <= unit)
            return null;
        uint size = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        bytes = bytes[unit..];
        if (size < unit || size % unit != 0 || size >= bytes.Length || bytes[^1] != 0)
            return null;
        uint[] units = new uint[size / unit];
        for (int i = 0; i < units.Length; i++)
            units[i] = BinaryPrimitives.ReadUInt32LittleEndian(bytes[(i * unit)..]);
        return new CharacterMap(units, bytes[(int)size..].ToArray());
    }

    /// <summary>The longest string of the table that a text begins with.</summary>
    /// <param name="text">UTF-8.</param>
    /// <param name="replacement">What replaces it.</param>
    /// <returns>Its length, or 0 if there is none.</returns>
    public int Match(ReadOnlySpan<byte> text, out ReadOnlySpan<byte> replacement)
    {
        int longest = 0;
        uint found = 0, at = Offset(units[0]);
        for (int i = 0; i < text.Length; i++)
        {
            at ^= text[i];
            if (at >= units.Length || (units[at] & LabelBits) != text[i])
                break;
            uint unit = units[at];
            at ^= Offset(unit);
            if ((unit & LeafBit) != 0 && at < units.Length && (units[at] & ValueBits) < replacements.Length)
                (longest, found) = (i + 1, units[at] & ValueBits);
        }

        replacement = longest == 0 ? default : replacements.AsSpan((int)found);
        replacement = replacement[..Math.Max(0, replacement.IndexOf((byte)0))];
        return longest;
    }

    private static uint Offset(uint unit) => unit >> 10 << ((unit & ExtensionBit) != 0 ? 8 : 0);
}
