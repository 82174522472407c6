using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>The fields of a 512-byte tar header that matter to a reader; ustar, GNU and the oldest form.</summary>
internal readonly record struct TarHeader(string Name, long Size, char Type, string LinkName)
{
    public const int Length = 512;

    private const int ChecksumAt = 148, ChecksumLength = 8;

    /// <exception cref="MdmException">The checksum or a number is wrong.</exception>
    public static TarHeader Parse(ReadOnlySpan<byte> block)
    {
        CheckSum(block);
        string name = Text(block[..100]);
        if (block.Slice(257, 6).SequenceEqual("ustar\0"u8) && block[345] != 0)
            name = Text(block.Slice(345, 155)) + "/" + name;
        return new TarHeader(name, Number(block.Slice(124, 12)), (char)block[156], Text(block.Slice(157, 100)));
    }

    /// <summary>Text up to the first zero byte.</summary>
    public static string Text(ReadOnlySpan<byte> field)
    {
        int end = field.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? field : field[..end]);
    }

    /// <summary>The sum of all bytes, those of the checksum itself counted as blanks.</summary>
    public static int Sum(ReadOnlySpan<byte> block)
    {
        int sum = ChecksumLength * ' ';
        for (int i = 0; i < Length; i++)
            if (i is < ChecksumAt or >= ChecksumAt + ChecksumLength)
                sum += block[i];
        return sum;
    }

    private static void CheckSum(ReadOnlySpan<byte> block)
    {
        long expected = Number(block.Slice(ChecksumAt, ChecksumLength));
        int sum = Sum(block), signed = sum;
        // Some old programs summed signed bytes.
        for (int i = 0; i < Length; i++)
            if (i is < ChecksumAt or >= ChecksumAt + ChecksumLength)
                signed -= block[i] > 127 ? 256 : 0;
        if (expected != sum && expected != signed)
            throw new MdmException($"the checksum of a header is {expected}, expected {sum}: the archive is damaged");
    }

    /// <summary>Octal digits between blanks, or GNU's binary form for numbers that do not fit.</summary>
    private static long Number(ReadOnlySpan<byte> field)
    {
        long value = 0;
        if ((field[0] & 0x80) != 0)
        {
            if (field[0] != 0x80 || field[1..^7].ContainsAnyExcept((byte)0))
                throw new MdmException("a number in a header is negative or too large: the archive is damaged");
            foreach (byte b in field[^7..])
                value = (value << 8) | b;
            return value;
        }

        foreach (byte digit in field.Trim(" \0"u8))
        {
            if (digit is < (byte)'0' or > (byte)'7')
                throw new MdmException($"found byte 0x{digit:x2} in an octal number of a header: the archive is damaged");
            value = (value << 3) | (uint)(digit - '0');
        }

        return value;
    }
}
