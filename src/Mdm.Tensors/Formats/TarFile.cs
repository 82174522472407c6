using System.Globalization;
using System.Text;
using Mdm.Kernels;
using Microsoft.Win32.SafeHandles;

namespace Mdm.Tensors.Formats;

/// <summary>A tar archive (ustar, GNU, pax; not compressed) whose files are read by name, in any order and from any
/// thread. Of files with the same name the last counts, as when unpacking.</summary>
public sealed class TarFile : IDisposable
{
    /// <summary>Long names and pax records are some hundred bytes; more is damage.</summary>
    private const long LongestExtension = 1 << 20;

    private readonly SafeFileHandle handle;
    private readonly OrderedDictionary<string, (long Offset, long Length)> files = [];
    private readonly string path;
    private readonly long length;

    private TarFile(string path, SafeFileHandle handle)
    {
        this.path = path;
        this.handle = handle;
        length = RandomAccess.GetLength(handle);
    }

    /// <summary>The regular files, in the order of the archive, without a leading <c>./</c>.</summary>
    public IReadOnlyCollection<string> Names => files.Keys;

    /// <summary>Opens an archive and reads all its headers.</summary>
    /// <exception cref="MdmException">The archive is missing, damaged or cut short, or has a name that leads out of a
    /// folder.</exception>
    public static TarFile Open(string path)
    {
        TarFile? tar = null;
        try
        {
            tar = new TarFile(path, File.OpenHandle(path));
            tar.ReadHeaders();
            return tar;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            tar?.Dispose();
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
        catch
        {
            tar?.Dispose();
            throw;
        }
    }

    /// <summary>Whether the archive has a file of that name.</summary>
    public bool Contains(string name) => files.ContainsKey(Normal(name));

    /// <summary>The bytes of a file.</summary>
    /// <exception cref="MdmException">There is no such file, it is over 2 GB, or it cannot be read.</exception>
    public byte[] Read(string name)
    {
        if (!files.TryGetValue(Normal(name), out (long Offset, long Length) place))
            throw new MdmException($"{path}: there is no file '{name}' among {files.Count}");
        if (place.Length > Array.MaxLength)
            throw new MdmException($"{path}: file '{name}' has {place.Length} bytes, expected at most {Array.MaxLength}");
        byte[] bytes = new byte[place.Length];
        try
        {
            ReadExactly(place.Offset, bytes);
        }
        catch (IOException e)
        {
            throw new MdmException($"cannot read '{name}' in {path}: {e.Message}", e);
        }

        return bytes;
    }

    public void Dispose() => handle.Dispose();

    private static string Normal(string name)
    {
        while (name.StartsWith("./", StringComparison.Ordinal))
            name = name[2..];
        return name;
    }

    private void ReadHeaders()
    {
        if (length == 0)
            throw new MdmException($"{path} is empty");
        byte[] block = new byte[TarHeader.Length];
        string? longName = null;
        long? longSize = null;
        for (long at = 0; at < length;)
        {
            if (length - at < TarHeader.Length)
                throw Bad(at, $"{length - at} bytes are left, a header has {TarHeader.Length}: the archive is cut short");
            ReadExactly(at, block);
            if (!block.AsSpan().ContainsAnyExcept((byte)0))
                return;
            TarHeader header = ParseHeader(at, block);
            bool isLink = header.Type is >= '1' and <= '6';
            long size = isLink ? 0 : longSize ?? header.Size;
            long start = at + TarHeader.Length;
            if (size > length - start)
                throw Bad(at, $"'{Shown(longName ?? header.Name)}' has {size} bytes, {length - start} are left: the archive is "
                    + "cut short");
            at = start + (size + TarHeader.Length - 1) / TarHeader.Length * TarHeader.Length;
            switch (header.Type)
            {
                case 'L':
                    longName = TarHeader.Text(Extension(start, size));
                    continue;
                case 'x':
                    (string? name, long? newSize) = Pax(start, Extension(start, size));
                    (longName, longSize) = (name ?? longName, newSize ?? longSize);
                    continue;
                case 'K' or 'g':
                    continue;
                case 'S':
                    throw Bad(start, $"'{Shown(longName ?? header.Name)}' is a sparse file, expected ordinary ones");
            }

            AddFile(start, size, header, longName ?? header.Name);
            (longName, longSize) = (null, null);
        }
    }

    private void AddFile(long start, long size, TarHeader header, string name)
    {
        name = Normal(name);
        if (name.StartsWith('/') || name.StartsWith('\\') || name.Split('/', '\\').Contains(".."))
            throw Bad(start, $"found the name '{Shown(name)}', expected a path inside a folder");
        if (header.Type is '0' or '\0' or '7' && !name.EndsWith('/'))
            files[name] = (start, size);
        else if (header.Type == '1' && files.TryGetValue(Normal(header.LinkName), out (long, long) target))
            files[name] = target;
    }

    private TarHeader ParseHeader(long at, byte[] block)
    {
        try
        {
            return TarHeader.Parse(block);
        }
        catch (MdmException e)
        {
            throw Bad(at, e.Message);
        }
    }

    private byte[] Extension(long start, long size)
    {
        if (size > LongestExtension)
            throw Bad(start, $"found an extended header of {size} bytes, expected at most {LongestExtension}");
        byte[] bytes = new byte[size];
        ReadExactly(start, bytes);
        return bytes;
    }

    /// <summary>Records "length key=value\n", the length counting itself.</summary>
    private (string? Name, long? Size) Pax(long start, ReadOnlySpan<byte> records)
    {
        (string? name, long? size) = (null, null);
        while (records.Length > 0 && records[0] != 0)
        {
            int blank = records.IndexOf((byte)' ');
            if (blank < 1 || !int.TryParse(records[..blank], NumberStyles.None, CultureInfo.InvariantCulture, out int whole)
                || whole <= blank + 1 || whole > records.Length)
                throw Bad(start, "an extended header is damaged");
            string record = Encoding.UTF8.GetString(records[(blank + 1)..(whole - 1)]);
            int equals = record.IndexOf('=');
            string key = equals < 0 ? record : record[..equals], value = record[(equals + 1)..];
            if (key.StartsWith("GNU.sparse", StringComparison.Ordinal))
                throw Bad(start, "found a sparse file, expected ordinary ones");
            if (key == "path")
                name = value;
            else if (key == "size")
                size = long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
                    ? number
                    : throw Bad(start, "an extended header has a damaged size");
            records = records[whole..];
        }

        return (name, size);
    }

    private void ReadExactly(long offset, Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int count = RandomAccess.Read(handle, bytes, offset);
            if (count == 0)
                throw new EndOfStreamException($"the file ends at {offset}");
            bytes = bytes[count..];
            offset += count;
        }
    }

    private static string Shown(string name) => new([.. name.Take(100).Select(c => char.IsControl(c) ? '?' : c)]);

    private MdmException Bad(long at, string what) => new($"{path}, at byte {at}: {what}");
}
