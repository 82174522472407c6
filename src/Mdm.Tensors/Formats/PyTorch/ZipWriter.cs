using System.Buffers.Binary;
using System.Text;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>Writes a zip of stored entries as PyTorch lays it out: the data of each begins at a multiple of 64, ZIP64 where an
/// entry or the archive is over 4 GB.</summary>
/// <param name="stream">Must be able to seek, because a checksum stands before the data. What was written before stays in
/// front of the archive.</param>
/// <param name="alwaysZip64">Uses ZIP64 for every entry, however small.</param>
internal sealed class ZipWriter(Stream stream, bool alwaysZip64 = false)
{
    private const int Alignment = 64, ShortField = 16, LongField = 20;
    private readonly List<(byte[] Name, long Offset, long Length, uint Crc)> entries = [];

    /// <summary>Adds an entry of exactly this many bytes, which <paramref name="write"/> hands over in pieces.</summary>
    public void Add(string name, long length, Action<ChunkVisitor> write)
    {
        byte[] nameBytes = Encoding.UTF8.GetBytes(name);
        long offset = stream.Position;
        bool large = alwaysZip64 || length >= uint.MaxValue;
        int fixedLength = 30 + nameBytes.Length + (large ? LongField : 0) + 4;
        int padding = (int)(-(offset + fixedLength) & (Alignment - 1));
        byte[] header = new byte[fixedLength + padding];
        Put(header, 0, 0x04034b50u);
        Put(header, 4, (ushort)(large ? 45 : 20));
        // 1 January 1980, as every tool accepts; the same tensors always give the same bytes.
        Put(header, 12, (ushort)0x21);
        Put(header, 18, large ? uint.MaxValue : (uint)length);
        Put(header, 22, large ? uint.MaxValue : (uint)length);
        Put(header, 26, (ushort)nameBytes.Length);
        Put(header, 28, (ushort)(header.Length - 30 - nameBytes.Length));
        nameBytes.CopyTo(header, 30);
        int extra = 30 + nameBytes.Length;
        if (large)
        {
            Put(header, extra, (ushort)1);
            Put(header, extra + 2, (ushort)ShortField);
            Put(header, extra + 4, (ulong)length);
            Put(header, extra + 12, (ulong)length);
            extra += LongField;
        }

        // "FB", the padding field that PyTorch uses.
        Put(header, extra, (ushort)0x4246);
        Put(header, extra + 2, (ushort)padding);
        stream.Write(header);

        uint crc = 0;
        write(piece =>
        {
            crc = Crc32.Append(crc, piece);
            stream.Write(piece);
        });
        long end = stream.Position;
        stream.Position = offset + 14;
        Put(header, 0, crc);
        stream.Write(header, 0, 4);
        stream.Position = end;
        entries.Add((nameBytes, offset, length, crc));
    }

    public void Add(string name, byte[] bytes) => Add(name, bytes.Length, write => write(bytes));

    /// <summary>Writes the directory.</summary>
    public void Finish()
    {
        long start = stream.Position;
        foreach ((byte[] name, long offset, long length, uint crc) in entries)
            stream.Write(CentralHeader(name, offset, length, crc));
        long directoryLength = stream.Position - start;
        bool large = alwaysZip64 || start + directoryLength >= uint.MaxValue || entries.Count >= ushort.MaxValue;
        if (large)
            stream.Write(End64(start, directoryLength));
        byte[] end = new byte[22];
        Put(end, 0, 0x06054b50u);
        Put(end, 8, large ? ushort.MaxValue : (ushort)entries.Count);
        Put(end, 10, large ? ushort.MaxValue : (ushort)entries.Count);
        Put(end, 12, large ? uint.MaxValue : (uint)directoryLength);
        Put(end, 16, large ? uint.MaxValue : (uint)start);
        stream.Write(end);
    }

    private byte[] CentralHeader(byte[] name, long offset, long length, uint crc)
    {
        bool large = alwaysZip64 || length >= uint.MaxValue || offset >= uint.MaxValue;
        byte[] header = new byte[46 + name.Length + (large ? 28 : 0)];
        Put(header, 0, 0x02014b50u);
        Put(header, 4, (ushort)(large ? 45 : 20));
        Put(header, 6, (ushort)(large ? 45 : 20));
        Put(header, 14, (ushort)0x21);
        Put(header, 16, crc);
        Put(header, 20, large ? uint.MaxValue : (uint)length);
        Put(header, 24, large ? uint.MaxValue : (uint)length);
        Put(header, 28, (ushort)name.Length);
        Put(header, 30, (ushort)(large ? 28 : 0));
        Put(header, 42, large ? uint.MaxValue : (uint)offset);
        name.CopyTo(header, 46);
        if (large)
        {
            int extra = 46 + name.Length;
            Put(header, extra, (ushort)1);
            Put(header, extra + 2, (ushort)24);
            Put(header, extra + 4, (ulong)length);
            Put(header, extra + 12, (ulong)length);
            Put(header, extra + 20, (ulong)offset);
        }

        return header;
    }

    /// <summary>The ZIP64 end record and the locator that points to it.</summary>
    private byte[] End64(long start, long length)
    {
        byte[] end = new byte[56 + 20];
        Put(end, 0, 0x06064b50u);
        Put(end, 4, 44ul);
        Put(end, 12, (ushort)45);
        Put(end, 14, (ushort)45);
        Put(end, 24, (ulong)entries.Count);
        Put(end, 32, (ulong)entries.Count);
        Put(end, 40, (ulong)length);
        Put(end, 48, (ulong)start);
        Put(end, 56, 0x07064b50u);
        Put(end, 64, (ulong)(start + length));
        Put(end, 72, 1u);
        return end;
    }

    private static void Put(byte[] bytes, int at, ushort value) =>
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(at), value);

    private static void Put(byte[] bytes, int at, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), value);

    private static void Put(byte[] bytes, int at, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), value);
}
