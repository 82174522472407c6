using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.Kernels.Tests.Cuda;

/// <summary>How the fastest of several kernels is found and remembered.</summary>
public sealed class WayTests
{
    private static readonly Way s_slow = new(Maker.Portable, 1), s_fast = new(Maker.Hopper, 2, -1);
    private string _folder = "";

    private string FileName => Path.Combine(_folder, "inner", "choices.txt");

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("mdm-ways-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void EveryWayIsReadAsItIsWritten()
    {
        foreach (ProductMath math in Enum.GetValues<ProductMath>())
        {
            Way[] all = [.. Way.All(math)];
            Assert.That(all, Is.Unique);
            Assert.That(all[0], Is.EqualTo(Way.Reckoned));
            foreach (Way way in all)
                Assert.That(Way.TryParse(way.ToString(), out Way read) ? read : default(Way?), Is.EqualTo(way));
        }

        foreach (string text in (string[])
            ["", "Portable", "Portable 1", "Portable 1 0 0", "7 1 0", "Magic 1 0", "Portable -1 0", "Portable 1 0 "])
            Assert.That(Way.TryParse(text, out _), Is.False, text);
    }

    [Test]
    public void TheFastestWinsAndIsRemembered()
    {
        var told = new List<int>();
        WayChooser chooser = Chooser(way => way == s_fast ? 1.0 : 1.5);
        chooser.Measured = told.Add;
        Assert.That(Choose(chooser, "a"), Is.EqualTo(s_fast));
        Assert.That(told, Is.EqualTo(new[] { 1 }));
        Assert.That(Choose(Chooser(_ => throw new InvalidOperationException("measured again")), "a"), Is.EqualTo(s_fast));
        Assert.That(Choose(Chooser(_ => 1), "b"), Is.EqualTo(Way.Reckoned));
    }

    [TestCase(0.99, false)]
    [TestCase(0.97, true)]
    public void ASmallGainIsChance(double seconds, bool wins) =>
        Assert.That(Choose(Chooser(way => way == s_fast ? seconds : 1), "a"), Is.EqualTo(wins ? s_fast : Way.Reckoned));

    /// <summary>The least of several times counts, and those far behind are timed once.</summary>
    [Test]
    public void DisturbedTimesAreTakenAgain()
    {
        var times = new Dictionary<Way, int>();
        WayChooser chooser = Chooser(way =>
        {
            int round = times[way] = times.GetValueOrDefault(way) + 1;
            return way == s_slow ? 3 : way == s_fast ? round == 3 ? 0.8 : 1.2 : 1;
        });
        Assert.That(Choose(chooser, "a"), Is.EqualTo(s_fast));
        Assert.That(times[s_slow], Is.EqualTo(1));
        Assert.That(times[s_fast], Is.EqualTo(times[Way.Reckoned]).And.GreaterThan(2));
    }

    [Test]
    public void WaysThatAreNoneAreNotTimed()
    {
        WayChooser chooser = Chooser(way => way == s_fast ? throw new InvalidOperationException("timed") : 1);
        Assert.That(chooser.Choose("a", [Way.Reckoned, s_fast], way => way != s_fast), Is.EqualTo(Way.Reckoned));
    }

    [Test]
    public void TooLittleMemoryIsNotRemembered()
    {
        Way chosen = Chooser(way => way == s_slow ? 0.5 : 1).Choose("a", [Way.Reckoned, s_slow, s_fast],
            way => way == s_fast ? throw new OutOfDeviceMemoryException("full") : true);
        Assert.That(chosen, Is.EqualTo(s_slow));
        Assert.That(File.Exists(FileName), Is.False);
        Assert.That(Choose(Chooser(way => way == s_fast ? 0.4 : 1), "a"), Is.EqualTo(s_fast));
    }

    [TestCase("")]
    [TestCase("no choices at all\n\0\u0001\ufffd = \n = Portable 1 0\na = Portable 1\na = Nothing 1 0")]
    public void ADamagedFileIsMadeAnew(string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(FileName)!);
        File.WriteAllText(FileName, text);
        Assert.That(Choose(Chooser(way => way == s_fast ? 1 : 2), "a"), Is.EqualTo(s_fast));
        Assert.That(new WayFile(FileName, "t").Find("a"), Is.EqualTo(s_fast));
    }

    [Test]
    public void AFolderThatCannotBeWrittenOnlyMeansThatNothingIsKept()
    {
        File.WriteAllText(Path.Combine(_folder, "inner"), "a file where the folder should be");
        WayChooser chooser = Chooser(way => way == s_fast ? 1 : 2);
        Assert.That(Choose(chooser, "a"), Is.EqualTo(s_fast));
        Assert.That(Choose(chooser, "a"), Is.EqualTo(s_fast));
        Assert.That(chooser.Count, Is.EqualTo(1));
    }

    [Test]
    public void TwoProcessesKeepEachOthersChoices()
    {
        WayFile one = new(FileName, "t"), two = new(FileName, "t");
        Assert.That((one.Find("a"), two.Find("a")), Is.EqualTo(((Way?)null, (Way?)null)));
        Assert.That(one.Add("a = b", s_fast), Is.EqualTo(s_fast));
        Assert.That(two.Add("c", s_slow), Is.EqualTo(s_slow));
        Assert.That(two.Add("a = b", s_slow), Is.EqualTo(s_fast), "the first choice stays");
        Assert.That(File.ReadAllLines(FileName), Is.EqualTo(new[] { "# t", $"a = b = {s_fast}", $"c = {s_slow}" }));
        Assert.That(Directory.GetFiles(Path.GetDirectoryName(FileName)!), Has.Length.EqualTo(1), "no temporary file stays");
    }

    [Test]
    public void AWayNamesTheTileAndTheParts()
    {
        var device = new CudaProperties("small", 80, 20, 101376, 102400, 1L << 34, 1 << 22)
        {
            MaxGrid = new Dim3(int.MaxValue, 65535, 65535),
            MaxBlock = new Dim3(1024, 1024, 64),
        };
        ProductPlan Plan(int tile, int split, bool divisible = true) => ProductPlan.Choose(
            ProductMath.Bf16, true, 128, 128, 8192, 1, divisible, device, new Way(Maker.Portable, tile, split));
        ProductPlan reckoned = Plan(3, 0);
        Assert.That(reckoned.Tile, Is.SameAs(ProductTile.All[3]));
        Assert.That(reckoned.Parts, Is.GreaterThan(1));
        Assert.That(Plan(3, 1), Is.EqualTo(reckoned with { Parts = 2 * reckoned.Parts }));
        Assert.That(Plan(3, -1), Is.EqualTo(reckoned with { Parts = reckoned.Parts / 2 }));
        Assert.That(Plan(3, 1, divisible: false).IsNone && Plan(3, -9).IsNone && Plan(3, 20).IsNone);
        Assert.That(Plan(4, 0).IsNone, "a tile for other alignments");
        Assert.That(Plan(99, 0).IsNone, "no such tile");

        HopperPlan Cut(int tile, int split, int most = 64) => HopperPlan.For(1, 2, 128, 20, most, new Way(Maker.Hopper, tile, split));
        HopperPlan cut = Cut(3, 0);
        Assert.That((cut.TileN, cut.Cluster), Is.EqualTo(HopperPlan.Tiles[3]));
        Assert.That(cut.Work.Splits, Is.GreaterThan(1));
        Assert.That(Cut(3, -1).Work.Splits, Is.EqualTo((cut.Work.Splits + 1) / 2).Or.EqualTo(cut.Work.Splits / 2));
        Assert.That(Cut(3, 1).Work.Splits * Cut(3, 1).Work.StepsPerSplit, Is.GreaterThanOrEqualTo(128));
        Assert.That(Cut(3, 1, most: cut.Work.Splits).IsNone && Cut(3, -9).IsNone && Cut(99, 0).IsNone);
    }

    private WayChooser Chooser(Func<Way, double> seconds) =>
        new(null!, () => new WayFile(FileName, "t")) { Clock = (way, _) => seconds(way) };

    private static Way Choose(WayChooser chooser, string shape) =>
        chooser.Choose(shape, [Way.Reckoned, s_slow, s_fast], _ => true);
}
