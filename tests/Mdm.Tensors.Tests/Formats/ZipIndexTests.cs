using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.PyTorch;

namespace Mdm.Tensors.Tests.Formats;

/// <summary>Forms of the zip directory that large archives and other writers have, made byte by byte.</summary>
public class ZipIndexTests
{
    private const ushort Zip64 = 1, Other = 0x4246;
    private TemporaryFolder folder = null!;

    [SetUp]
    public void MakeFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    // A writer puts into the field only what does not fit the short form, in the order length, stored length, place.
    [TestCase(true, true, true)]
    [TestCase(true, true, false)]
    [TestCase(false, false, true)]
    [TestCase(true, false, false)]
    [TestCase(false, true, true)]
    public void TheLongFieldHoldsWhatIsFullInTheShortOne(bool length, bool packed, bool place)
    {
        byte[] extra = [.. Field(Other, 3), .. Field(Zip64, [.. Long(5, length), .. Long(5, packed), .. Long(0, place)])];
        byte[] file = Archive(extra, length ? uint.MaxValue : 5, packed ? uint.MaxValue : 5, place ? uint.MaxValue : 0);
        Assert.That(Read(file), Is.EqualTo("x=hello"));
    }

    [Test]
    public void ALongFieldThatLacksAValueIsRefused() => Refused(
        Archive(Field(Zip64, Long(5, true)), uint.MaxValue, uint.MaxValue, 0), "the ZIP64 field of entry 'x' is too short");

    [Test]
    public void AShortFormThatIsFullWithoutALongOneIsRefused() =>
        Refused(Archive([], uint.MaxValue, uint.MaxValue, 0), "entry 'x' has 4294967295 bytes at 31, the file has");

    [TestCase(0ul, true)]
    [TestCase(1ul, false)]
    [TestCase(ulong.MaxValue, false)]
    [TestCase(1ul << 40, false)]
    public void TheLongEndIsFoundByItsLocator(ulong error, bool found)
    {
        byte[] file = LongEnd(Archive([], 5, 5, 0), error);
        if (found)
            Assert.That(Read(file), Is.EqualTo("x=hello"));
        else
            Refused(file, "ZIP64 directory");
    }

    [Test]
    public void MoreEntriesThanTheShortEndCountsAreFound()
    {
        const int Count = ushort.MaxValue + 3;
        using (FileStream stream = File.Create(folder["many.zip"]))
        {
            var writer = new ZipWriter(stream);
            for (int i = 0; i < Count; i++)
                writer.Add($"{i}", i == Count - 1 ? "last"u8.ToArray() : []);
            writer.Finish();
        }

        using MappedFile file = MappedFile.Open(folder["many.zip"]);
        var index = new ZipIndex(file);
        Assert.That(index.Entries, Has.Count.EqualTo(Count));
        Assert.That(Encoding.ASCII.GetString(index.Read(index.Entries[$"{Count - 1}"])), Is.EqualTo("last"));
    }

    /// <summary>A writer that cannot go back states lengths and checksums behind the data, and zeros before.</summary>
    [Test]
    public void LengthsBehindTheDataAreTakenFromTheDirectory()
    {
        byte[] file = Archive([], 5, 5, 0);
        file[6] |= 8;
        file.AsSpan(14, 12).Clear();
        byte[] descriptor = [.. "PK\u0007\u0008"u8, .. file.AsSpan(14, 12)];
        int data = 31 + 5;
        file = [.. file[..data], .. descriptor, .. file[data..]];
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(file.Length - 6), (uint)(data + descriptor.Length));
        Assert.That(Read(file), Is.EqualTo("x=hello"));
    }

    [Test]
    public void AnArchiveOfAnotherWriterIsRead()
    {
        using var bytes = new MemoryStream();
        using (var zip = new ZipArchive(bytes, ZipArchiveMode.Create, leaveOpen: true))
        using (Stream entry = zip.CreateEntry("x", CompressionLevel.NoCompression).Open())
            entry.Write("hello"u8);
        Assert.That(Read(bytes.ToArray()), Is.EqualTo("x=hello"));
    }

    /// <summary>An archive of the entry x, hello, with these values in its directory.</summary>
    private static byte[] Archive(byte[] extra, uint length, uint packed, uint place)
    {
        using var stream = new MemoryStream();
        void Put(params ReadOnlySpan<uint> words)
        {
            foreach (uint word in words)
                stream.Write(BitConverter.GetBytes(word));
        }

        void PutShort(params ReadOnlySpan<ushort> words)
        {
            foreach (ushort word in words)
                stream.Write(BitConverter.GetBytes(word));
        }

        uint crc = Crc32.Append(0, "hello"u8);
        stream.Write("PK\u0003\u0004"u8);
        PutShort(45, 0, 0, 0, 0x21);
        Put(crc, 5, 5);
        PutShort(1, 0);
        stream.Write("xhello"u8);
        uint start = (uint)stream.Position;
        stream.Write("PK\u0001\u0002"u8);
        PutShort(45, 45, 0, 0, 0, 0x21);
        Put(crc, packed, length);
        PutShort(1, (ushort)extra.Length, 0, 0, 0, 0, 0);
        Put(place);
        stream.Write("x"u8);
        stream.Write(extra);
        uint size = (uint)stream.Position - start;
        stream.Write("PK\u0005\u0006"u8);
        PutShort(0, 0, 1, 1);
        Put(size, start);
        PutShort(0);
        return stream.ToArray();
    }

    /// <summary>The same with a ZIP64 end, all fields of the short end full, and a locator that is wrong by so much.</summary>
    private static byte[] LongEnd(byte[] archive, ulong error)
    {
        byte[] body = archive[..^22], end = archive[^22..], long64 = new byte[56], locator = new byte[20];
        "PK\u0006\u0006"u8.CopyTo(long64);
        BinaryPrimitives.WriteUInt64LittleEndian(long64.AsSpan(4), 44);
        BinaryPrimitives.WriteUInt64LittleEndian(long64.AsSpan(24), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(long64.AsSpan(32), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(long64.AsSpan(40), BinaryPrimitives.ReadUInt32LittleEndian(end.AsSpan(12)));
        BinaryPrimitives.WriteUInt64LittleEndian(long64.AsSpan(48), BinaryPrimitives.ReadUInt32LittleEndian(end.AsSpan(16)));
        "PK\u0006\u0007"u8.CopyTo(locator);
        BinaryPrimitives.WriteUInt64LittleEndian(locator.AsSpan(8), (ulong)body.Length + error);
        end.AsSpan(8, 12).Fill(0xFF);
        return [.. body, .. long64, .. locator, .. end];
    }

    private static byte[] Long(ulong value, bool there) => there ? BitConverter.GetBytes(value) : [];

    private static byte[] Field(ushort id, params byte[] content) =>
        [.. BitConverter.GetBytes(id), .. BitConverter.GetBytes((ushort)content.Length), .. content];

    private string Read(byte[] bytes)
    {
        using MappedFile file = MappedFile.Open(folder.Write("a.zip", bytes));
        var index = new ZipIndex(file);
        foreach (ZipEntry entry in index.Entries.Values)
            index.ChecksumOf(entry).Require();
        return string.Join(' ', index.Entries.Values.Select(e => $"{e.Name}={Encoding.ASCII.GetString(index.Read(e))}"));
    }

    private void Refused(byte[] bytes, string message) =>
        Assert.That(() => Read(bytes), Throws.TypeOf<MdmException>().With.Message.Contains(message));
}
