using System.Globalization;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>Writes a tar archive entry by entry. The same files always give the same bytes: no times, no owners.</summary>
/// <param name="stream">Written from its position on; stays open.</param>
public sealed class TarWriter(Stream stream) : IDisposable
{
    private const int LongestName = 100;
    private bool ended;

    /// <summary>Adds a file.</summary>
    /// <exception cref="MdmException">The name is empty, absolute or leads out of a folder.</exception>
    public void Add(string name, ReadOnlySpan<byte> bytes)
    {
        if (name.Length == 0 || name[0] == '/' || name.Contains('\0') || name.Split('/').Contains(".."))
            throw new MdmException($"found the name '{name}' for a file of an archive, expected a path inside a folder");
        if (Encoding.UTF8.GetByteCount(name) > LongestName)
            WriteEntry("pax-header", 'x', PaxPath(name));
        WriteEntry(name, '0', bytes);
    }

    /// <summary>Writes the two empty blocks that end an archive.</summary>
    public void Dispose()
    {
        if (!ended)
            stream.Write(new byte[2 * TarHeader.Length]);
        ended = true;
    }

    private void WriteEntry(string name, char type, ReadOnlySpan<byte> bytes)
    {
        byte[] block = new byte[TarHeader.Length];
        byte[] nameBytes = Encoding.UTF8.GetBytes(name);
        nameBytes.AsSpan(0, Math.Min(nameBytes.Length, LongestName)).CopyTo(block);
        Octal(block.AsSpan(100, 8), 0b110_100_100);
        Octal(block.AsSpan(108, 8), 0);
        Octal(block.AsSpan(116, 8), 0);
        Octal(block.AsSpan(124, 12), bytes.Length);
        Octal(block.AsSpan(136, 12), 0);
        block[156] = (byte)type;
        "ustar\000"u8.CopyTo(block.AsSpan(257));
        Octal(block.AsSpan(148, 7), TarHeader.Sum(block));
        block[155] = (byte)' ';
        stream.Write(block);
        stream.Write(bytes);
        stream.Write(new byte[-bytes.Length & (TarHeader.Length - 1)]);
    }

    private static byte[] PaxPath(string name)
    {
        byte[] record = Encoding.UTF8.GetBytes($" path={name}\n");
        int length = record.Length + 1;
        // The length counts its own digits.
        while (length != record.Length + Digits(length))
            length = record.Length + Digits(length);
        return [.. Encoding.ASCII.GetBytes(length.ToString(CultureInfo.InvariantCulture)), .. record];

        static int Digits(int number) => number.ToString(CultureInfo.InvariantCulture).Length;
    }

    /// <summary>Octal digits that fill the field up to a closing zero byte.</summary>
    private static void Octal(Span<byte> field, long value)
    {
        for (int i = field.Length - 2; i >= 0; i--)
        {
            field[i] = (byte)('0' + (value & 7));
            value >>= 3;
        }

        field[^1] = 0;
    }
}
