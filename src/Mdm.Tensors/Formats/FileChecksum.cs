using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>The checksum that a file states for a range of itself; it is compared once, whoever reads first.</summary>
/// <param name="file">The file.</param>
/// <param name="offset">Where the range begins, bytes.</param>
/// <param name="length">Its length, bytes.</param>
/// <param name="expected">The checksum stated.</param>
/// <param name="name">What the range is called in the file.</param>
internal sealed class FileChecksum(MappedFile file, long offset, long length, uint expected, string name)
{
    private volatile bool known;

    /// <summary>Whether a range is this one.</summary>
    public bool Covers(long start, long count) => (start, count) == (offset, length);

    /// <summary>Whether the bytes have the checksum.</summary>
    public bool Matches()
    {
        uint crc = 0;
        file.Read(offset, length, 1 << 18, piece => crc = Crc32.Append(crc, piece));
        return crc == expected;
    }

    /// <summary>Reads the range, unless that was done before.</summary>
    /// <exception cref="MdmException">The checksum does not match.</exception>
    public void Require()
    {
        if (!known && !Matches())
            throw Damaged();
        known = true;
    }

    /// <summary>Compares with a checksum of the whole range that was taken while reading it.</summary>
    /// <exception cref="MdmException">It does not match.</exception>
    public void Confirm(uint found)
    {
        if (found != expected)
            throw Damaged();
        known = true;
    }

    private MdmException Damaged() => new($"{file.Path}: the checksum of '{name}' does not match: the file is damaged");
}
