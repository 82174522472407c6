using System.Buffers.Binary;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>A stored entry: where its bytes lie in the file, and their checksum as the archive states it.</summary>
internal sealed record ZipEntry(string Name, long Offset, long Length, uint Crc);

/// <summary>The directory of a zip archive whose entries are stored, not compressed; ZIP64 included.</summary>
internal sealed class ZipIndex
{
    private const int EndLength = 22, LocatorLength = 20, End64Length = 56, CentralLength = 46, LocalLength = 30;
    private const uint EndSignature = 0x06054b50, LocatorSignature = 0x07064b50, End64Signature = 0x06064b50;
    private const uint CentralSignature = 0x02014b50, LocalSignature = 0x04034b50;
    private readonly MappedFile file;
    private readonly Dictionary<string, ZipEntry> entries = [];

    /// <exception cref="MdmException">The directory is damaged, or an entry is compressed, encrypted, named twice or named
    /// so that it would lie outside a folder.</exception>
    public ZipIndex(MappedFile file)
    {
        this.file = file;
        (long count, long start, long length) = FindDirectory();
        if (start < 0 || length < 0 || length > int.MaxValue || start > file.Length - length)
            throw Bad($"found a directory of {length} bytes at {start}, the file has {file.Length}");
        ReadOnlySpan<byte> directory = file.Slice(start, (int)length);
        for (long i = 0; i < count; i++)
        {
            if (directory.Length < CentralLength || U32(directory, 0) != CentralSignature)
                throw Bad($"the directory ends after {i} of {count} entries");
            int nameLength = U16(directory, 28);
            int whole = CentralLength + nameLength + U16(directory, 30) + U16(directory, 32);
            if (whole > directory.Length)
                throw Bad($"the directory ends inside entry {i}");
            AddEntry(directory[..whole], nameLength);
            directory = directory[whole..];
        }
    }

    public IReadOnlyDictionary<string, ZipEntry> Entries => entries;

    /// <summary>The bytes of an entry of at most 2 GB.</summary>
    public ReadOnlySpan<byte> Read(ZipEntry entry) => entry.Length <= int.MaxValue
        ? file.Slice(entry.Offset, (int)entry.Length)
        : throw Bad($"entry '{entry.Name}' has {entry.Length} bytes, expected at most {int.MaxValue}");

    /// <summary>What the archive states about the bytes of an entry.</summary>
    public FileChecksum ChecksumOf(ZipEntry entry) => new(file, entry.Offset, entry.Length, entry.Crc, entry.Name);

    /// <summary>The record at the end of the file, or the ZIP64 record that it stands for.</summary>
    private (long Count, long Start, long Length) FindDirectory()
    {
        long from = Math.Max(0, file.Length - EndLength - ushort.MaxValue);
        ReadOnlySpan<byte> tail = file.Slice(from, (int)(file.Length - from));
        int at = tail.Length - EndLength;
        while (at >= 0 && (U32(tail, at) != EndSignature || at + EndLength + U16(tail, at + 20) != tail.Length))
            at--;
        if (at < 0)
        {
            throw Bad($"the directory at the end is missing: the file is cut short after {file.Length} bytes (half a download?) "
                + "or damaged");
        }

        long endAt = from + at;
        if (endAt < LocatorLength || U32(file.Slice(endAt - LocatorLength, 4), 0) != LocatorSignature)
            return (U16(tail, at + 10), U32(tail, at + 16), U32(tail, at + 12));
        long end64At = (long)U64(file.Slice(endAt - LocatorLength, LocatorLength), 8);
        if (end64At < 0 || end64At > endAt - LocatorLength - End64Length)
            throw Bad($"found the ZIP64 directory at {end64At}, the file has {file.Length} bytes");
        ReadOnlySpan<byte> end64 = file.Slice(end64At, End64Length);
        if (U32(end64, 0) != End64Signature)
            throw Bad("the ZIP64 directory is damaged");
        return ((long)U64(end64, 32), (long)U64(end64, 48), (long)U64(end64, 40));
    }

    private void AddEntry(ReadOnlySpan<byte> central, int nameLength)
    {
        string name = Encoding.UTF8.GetString(central.Slice(CentralLength, nameLength));
        string shown = Quote(name);
        if (name.Length == 0 || name[0] == '/' || name.Contains('\\') || name.Contains(':')
            || name.Split('/').Contains(".."))
            throw Bad($"found an entry named {shown}, expected a path inside the archive");
        int flags = U16(central, 8), method = U16(central, 10);
        if ((flags & 1) != 0)
            throw Bad($"entry {shown} is encrypted");
        if (method != 0)
            throw Bad($"entry {shown} is compressed (method {method}), expected stored data as torch.save writes it");
        (long packed, long length, long offset) = Extents(central, nameLength, shown);
        if (packed != length)
            throw Bad($"entry {shown} has {packed} stored bytes, expected {length}");
        if (offset < 0 || offset > file.Length - LocalLength)
            throw Bad($"found entry {shown} at {offset}, the file has {file.Length} bytes");
        // Not mapped: the system maps many pages around each one touched, a seventh of a large checkpoint in all.
        Span<byte> local = stackalloc byte[LocalLength];
        file.Read(offset, local);
        if (U32(local, 0) != LocalSignature)
            throw Bad($"the header of entry {shown} is damaged");
        long start = offset + LocalLength + U16(local, 26) + U16(local, 28);
        if (length < 0 || start > file.Length - length)
            throw Bad($"entry {shown} has {length} bytes at {start}, the file has {file.Length}: it is cut short");
        if (!entries.TryAdd(name, new ZipEntry(name, start, length, U32(central, 16))))
            throw Bad($"entry {shown} occurs twice");
    }

    /// <summary>Stored length, length and place of an entry, from the ZIP64 field where the short ones are full.</summary>
    private (long Packed, long Length, long Offset) Extents(ReadOnlySpan<byte> central, int nameLength, string shown)
    {
        long packed = U32(central, 20), length = U32(central, 24), offset = U32(central, 42);
        ReadOnlySpan<byte> extra = central.Slice(CentralLength + nameLength, U16(central, 30));
        for (int size; extra.Length >= 4; extra = extra[(4 + size)..])
        {
            size = U16(extra, 2);
            if (size > extra.Length - 4)
                break;
            if (U16(extra, 0) != 1)
                continue;
            ReadOnlySpan<byte> fields = extra.Slice(4, size);
            Widen(ref length, ref fields, shown);
            Widen(ref packed, ref fields, shown);
            Widen(ref offset, ref fields, shown);
        }

        return (packed, length, offset);
    }

    private void Widen(ref long value, ref ReadOnlySpan<byte> fields, string shown)
    {
        if (value != uint.MaxValue)
            return;
        if (fields.Length < 8)
            throw Bad($"the ZIP64 field of entry {shown} is too short");
        value = (long)U64(fields, 0);
        fields = fields[8..];
    }

    private static string Quote(string name)
    {
        string shown = new([.. name.Take(100).Select(c => char.IsControl(c) ? '?' : c)]);
        return $"'{shown}'";
    }

    private static int U16(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    private static uint U32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[at..]);

    private static ulong U64(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]);

    private MdmException Bad(string what) => new($"{file.Path}: zip archive: {what}");
}
