using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Tensors.Tests.Formats;

public class TsvTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void MakeFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    private TsvFile Read(string text) => TsvFile.Read(folder.Write("t.tsv", Encoding.UTF8.GetBytes(text)));

    [Test]
    public void ValuesAreReadByName()
    {
        TsvFile file = Read("\ufefffile\tcaption\r\na.png\ta \"red\" circle\r\n\r\nb.png\t\"say \"\"hi\"\",\n\ttwo\"\nc.png\t");
        Assert.That(file.Columns, Is.EqualTo(new[] { "file", "caption" }));
        Assert.That(file.Rows.Select(row => row["caption"]), Is.EqualTo(new[] { "a \"red\" circle", "say \"hi\",\n\ttwo", "" }));
        Assert.That(file.Rows.Select(row => row["file"]), Is.EqualTo(new[] { "a.png", "b.png", "c.png" }));
        Assert.That(file.Rows.Select(row => row.Number), Is.EqualTo(new[] { 2, 4, 6 }));
        Assert.That(() => file.Rows[0]["text"],
            Throws.TypeOf<MdmException>().With.Message.Contains("column 'text' is missing, found file, caption"));
    }

    [Test]
    public void WrittenLinesComeBack()
    {
        string[] values = ["", "plain", "\"quoted\" at the start", "tab\there", "two\nlines", "quote \" inside", "größer"];
        TsvFile file = Read(TsvFile.Line("a", "b", "c", "d", "e", "f", "g") + TsvFile.Line(values));
        Assert.That(file.Rows[0].Values, Is.EqualTo(values));
    }

    [TestCase("", "is empty")]
    [TestCase("a\tb\n1\n", "line 2: found 1 values, expected 2 (a, b)")]
    [TestCase("a\tb\n\"x\ny\"\t2\n1\t2\t3\n", "line 4: found 3 values")]
    [TestCase("a\tb\n1\t\"open\n2\t3\n", "line 2: a value begins with a quote that is not closed")]
    [TestCase("a\ta\n", "line 1: column 2 is named 'a'")]
    [TestCase("a\t\n", "line 1: column 2 is named ''")]
    public void BadTablesAreRefused(string text, string expected) =>
        Assert.That(() => Read(text), Throws.TypeOf<MdmException>().With.Message.Contains(expected));

    [Test]
    public void DamagedTablesAreReadOrRefused()
    {
        byte[] good = Encoding.UTF8.GetBytes("tar\tfile\tcaption\na.tar\t1.png\t\"a \"\"b\"\" c\"\nb.tar\t2.png\tgrößer\n");
        Damage.Inflict(good, bytes => TsvFile.Read(folder.Write("t.tsv", bytes)));
    }

    [Test]
    public void IndexLeadsToSamples()
    {
        Directory.CreateDirectory(folder["shards"]);
        File.WriteAllText(folder["index.tsv"], "filename\nshards/0.tsv\n");
        File.WriteAllText(folder["shards/0.tsv"],
            "caption\ttar\tfile\na dog\tshards/0.tar\t1.jpg\n\"a \"\"cat\"\"\"\tx.tar\t2.jpg\n");
        File.WriteAllText(folder["shards/0.tar"], "");
        CaptionIndex index = CaptionIndex.Read(folder["index.tsv"]);
        Assert.That(index.Shards, Is.EqualTo(new[] { folder["shards/0.tsv"] }));
        IReadOnlyList<CaptionSample> samples = index.Samples(index.Shards[0]);
        Assert.That(samples, Is.EqualTo(new[]
        {
            new CaptionSample("shards/0.tar", "1.jpg", "a dog", null, null),
            new CaptionSample("x.tar", "2.jpg", "a \"cat\"", null, null),
        }));
        Assert.That(index.Resolve(samples[0].Tar), Is.EqualTo(folder["shards/0.tar"]));
        Assert.That(() => index.Resolve(samples[1].Tar), Throws.TypeOf<MdmException>().With.Message.Contains("'x.tar'"));
        Assert.That(CaptionIndex.Read(folder["shards/0.tsv"]).Shards, Is.EqualTo(new[] { folder["shards/0.tsv"] }));
    }

    [TestCase("filename\nmissing.tsv\n", "no file 'missing.tsv'")]
    [TestCase("filename\n", "lists no files")]
    [TestCase("name\nx\n", "column 'filename' is missing")]
    public void BadIndexesAreRefused(string text, string expected)
    {
        File.WriteAllText(folder["index.tsv"], text);
        Assert.That(() => CaptionIndex.Read(folder["index.tsv"]), Throws.TypeOf<MdmException>().With.Message.Contains(expected));
    }

    [Test]
    public void TextFeaturesComeInPairs()
    {
        File.WriteAllText(folder["s.tsv"], "tar\tfile\tcaption\ttext_tar\ttext_file\na\tb\tc\td\te\n");
        File.WriteAllText(folder["half.tsv"], "tar\tfile\tcaption\ttext_tar\na\tb\tc\td\n");
        CaptionIndex index = CaptionIndex.Read(folder["s.tsv"]);
        Assert.That(index.Samples(folder["s.tsv"])[0], Is.EqualTo(new CaptionSample("a", "b", "c", "d", "e")));
        Assert.That(() => index.Samples(folder["half.tsv"]), Throws.TypeOf<MdmException>()
            .With.Message.Contains("expected both"));
    }
}
