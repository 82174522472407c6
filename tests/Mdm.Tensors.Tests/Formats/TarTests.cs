using System.Formats.Tar;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using TarFile = Mdm.Tensors.Formats.TarFile;
using TarWriter = Mdm.Tensors.Formats.TarWriter;

namespace Mdm.Tensors.Tests.Formats;

public class TarTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void MakeFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    private static readonly string LongName = string.Concat(Enumerable.Repeat("a-long-folder-name/", 14)) + "größe.png";

    private static byte[] Content(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)(i * 7))];

    private static byte[] Ours()
    {
        using var stream = new MemoryStream();
        using (var writer = new TarWriter(stream))
        {
            writer.Add("a.txt", Content(5));
            writer.Add("empty", []);
            writer.Add(LongName, Content(1000));
            writer.Add("folder/b.bin", Content(512));
            writer.Add("a.txt", Content(6));
        }

        return stream.ToArray();
    }

    private void ReadAll(byte[] bytes)
    {
        using TarFile tar = TarFile.Open(folder.Write("t.tar", bytes));
        foreach (string name in tar.Names)
            tar.Read(name);
    }

    [Test]
    public void WrittenArchivesComeBack()
    {
        (byte[] first, byte[] second) = (Ours(), Ours());
        Assert.That(first, Is.EqualTo(second));
        using TarFile tar = TarFile.Open(folder.Write("a.tar", first));
        Assert.That(tar.Names, Is.EqualTo(new[] { "a.txt", "empty", LongName, "folder/b.bin" }));
        Assert.That(tar.Read("a.txt"), Is.EqualTo(Content(6)), "the last of a name counts");
        Assert.That(tar.Read("empty"), Is.Empty);
        Assert.That(tar.Read("./" + LongName), Is.EqualTo(Content(1000)));
        Assert.That(tar.Contains("folder/b.bin"));
        Assert.That(tar.Contains("b.bin"), Is.False);
        Assert.That(() => tar.Read("c"), Throws.TypeOf<MdmException>().With.Message.Contains("no file 'c'"));
    }

    [Test]
    public void OtherProgramsReadWhatIsWritten()
    {
        using var stream = new MemoryStream(Ours());
        using var reader = new TarReader(stream);
        var found = new List<(string, long)>();
        while (reader.GetNextEntry() is { } entry)
        {
            found.Add((entry.Name, entry.Length));
            Assert.That(entry.ModificationTime, Is.EqualTo(DateTimeOffset.UnixEpoch));
        }

        Assert.That(found, Is.EqualTo(new[]
            { ("a.txt", 5L), ("empty", 0), (LongName, 1000), ("folder/b.bin", 512), ("a.txt", 6) }));
    }

    [Test]
    public void EveryFormatIsRead([Values(TarEntryFormat.V7, TarEntryFormat.Ustar, TarEntryFormat.Gnu, TarEntryFormat.Pax)]
        TarEntryFormat format)
    {
        string name = format == TarEntryFormat.V7 ? "short.bin"
            : format == TarEntryFormat.Ustar ? new string('d', 120) + "/file.bin" : LongName;
        using (FileStream stream = File.Create(folder["a.tar"]))
        using (var writer = new System.Formats.Tar.TarWriter(stream, format))
        {
            TarEntry Make(TarEntryType type, string entryName) => format switch
            {
                TarEntryFormat.V7 => new V7TarEntry(type, entryName),
                TarEntryFormat.Ustar => new UstarTarEntry(type, entryName),
                TarEntryFormat.Gnu => new GnuTarEntry(type, entryName),
                _ => new PaxTarEntry(type, entryName),
            };
            TarEntryType file = format == TarEntryFormat.V7 ? TarEntryType.V7RegularFile : TarEntryType.RegularFile;
            writer.WriteEntry(Make(TarEntryType.Directory, "dir/"));
            TarEntry entry = Make(file, name);
            entry.DataStream = new MemoryStream(Content(777));
            writer.WriteEntry(entry);
            TarEntry link = Make(TarEntryType.HardLink, "linked");
            link.LinkName = name;
            if (format != TarEntryFormat.Ustar)
                writer.WriteEntry(link);
            TarEntry last = Make(file, "last");
            last.DataStream = new MemoryStream(Content(3));
            writer.WriteEntry(last);
        }

        using TarFile tar = TarFile.Open(folder["a.tar"]);
        Assert.That(tar.Read(name), Is.EqualTo(Content(777)));
        Assert.That(tar.Read("last"), Is.EqualTo(Content(3)));
        if (name.Length < 100)
            Assert.That(tar.Read("linked"), Is.EqualTo(Content(777)));
        Assert.That(tar.Contains("dir"), Is.False);
    }

    [Test]
    public void FilesAreReadFromManyThreads()
    {
        using TarFile tar = TarFile.Open(folder.Write("a.tar", Ours()));
        Parallel.For(0, 200, i =>
        {
            (string name, int length) = i % 2 == 0 ? (LongName, 1000) : ("folder/b.bin", 512);
            Assert.That(tar.Read(name), Is.EqualTo(Content(length)));
        });
    }

    [TestCase("../evil")]
    [TestCase("a/../../evil")]
    [TestCase("/etc/passwd")]
    public void NamesThatLeadOutAreRefused(string name)
    {
        using var stream = new MemoryStream();
        using (var writer = new System.Formats.Tar.TarWriter(stream, leaveOpen: true))
            writer.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream([1]) });
        Assert.That(() => ReadAll(stream.ToArray()),
            Throws.TypeOf<MdmException>().With.Message.Contains($"found the name '{name}'"));
        using var own = new TarWriter(new MemoryStream());
        Assert.That(() => own.Add(name, []), Throws.TypeOf<MdmException>());
    }

    [Test]
    public void BadArchivesAreRefused()
    {
        byte[] good = Ours();
        Assert.That(() => ReadAll([]), Throws.TypeOf<MdmException>().With.Message.Contains("is empty"));
        Assert.That(() => ReadAll(good[..300]), Throws.TypeOf<MdmException>().With.Message.Contains("cut short"));
        Assert.That(() => ReadAll(good[..514]), Throws.TypeOf<MdmException>()
            .With.Message.Contains("'a.txt' has 5 bytes, 2 are left"));
        byte[] flipped = [.. good];
        flipped[1024] ^= 1;
        Assert.That(() => ReadAll(flipped),
            Throws.TypeOf<MdmException>().With.Message.Contains("at byte 1024: the checksum of a header is"));
        Assert.That(() => ReadAll(Encoding.ASCII.GetBytes(new string('x', 2000))), Throws.TypeOf<MdmException>());
        Assert.That(() => TarFile.Open(folder["missing.tar"]),
            Throws.TypeOf<MdmException>().With.Message.Contains("missing.tar"));
        Assert.That(Damage.Inflict(good, ReadAll, flips: 500), Is.GreaterThan(100));
    }
}
