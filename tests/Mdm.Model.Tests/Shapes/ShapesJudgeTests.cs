using Mdm.Kernels;
using Mdm.Model.Shapes;

namespace Mdm.Model.Tests.Shapes;

public class ShapesJudgeTests
{
    private const int Right = 1000, Wrong = 100;

    private static readonly ShapeGenerator Generator = new(21);

    // Blur in 32nds of the side (standard deviation), shift and noise in levels of 255, least share accepted.
    [TestCase(32, 0, 0, 0, 0.995)]
    [TestCase(64, 0, 0, 0, 0.995)]
    [TestCase(45, 0, 0, 0, 0.995)]
    [TestCase(32, 0.6, 10, 6, 0.98)]
    [TestCase(64, 0.6, 10, 6, 0.98)]
    [TestCase(32, 0.8, 15, 8, 0.98)]
    public void Right_images_are_accepted(int size, double blur, double shift, double noise, double least)
    {
        var refused = new System.Collections.Concurrent.ConcurrentBag<string>();
        Parallel.For(0, Right, i =>
        {
            ShapeSample sample = Generator.Sample(i);
            byte[] rgb = ShapeRenderer.Draw(sample.Scene, size);
            if (blur > 0)
                rgb = Spoiling.Spoil(rgb, size, blur * size / 32, shift, noise, new Random(i));
            ShapeVerdict verdict = ShapesJudge.Judge(rgb, size, size, sample.Caption);
            if (!verdict.Correct)
                refused.Add($"{sample.Caption}: {string.Join("; ", verdict.Reasons)}");
        });
        double accepted = 1 - (refused.Count / (double)Right);
        TestContext.Out.WriteLine($"{size}: blur {blur}, shift {shift}, noise {noise}: accepted {accepted:P2}");
        Assert.That(accepted, Is.GreaterThanOrEqualTo(least), string.Join("\n", refused.Take(5)));
    }

    [Test]
    public void Wrong_images_are_refused(
        [ValueSource(typeof(Spoiling), nameof(Spoiling.Wrongs))] string wrong, [Values(32, 64)] int size, [Values] bool spoilt)
    {
        var cases = new List<(byte[] Rgb, string Caption)>();
        var random = new Random(6);
        for (int i = 0; cases.Count < Wrong; i++)
            if (Spoiling.Draw(wrong, Generator.Sample(i).Scene.Description, size, random) is (byte[] rgb, string caption))
                cases.Add((spoilt ? Spoiling.Spoil(rgb, size, 0.6 * size / 32, 10, 6, random) : rgb, caption));
        string[] accepted = cases.AsParallel()
            .Where(one => ShapesJudge.Judge(one.Rgb, size, size, one.Caption).Correct)
            .Select(one => one.Caption).ToArray();
        double refused = 1 - (accepted.Length / (double)Wrong);
        TestContext.Out.WriteLine($"{size}: {wrong}{(spoilt ? ", spoilt" : "")}: refused {refused:P2}");
        Assert.That(refused, Is.GreaterThanOrEqualTo(0.99), string.Join("\n", accepted.Take(5)));
    }

    [TestCase("colour", ShapeAttribute.Colour)]
    [TestCase("kind", ShapeAttribute.Kind)]
    [TestCase("size", ShapeAttribute.Size)]
    [TestCase("relation", ShapeAttribute.Relation)]
    [TestCase("background", ShapeAttribute.Background)]
    [TestCase("missing", ShapeAttribute.Number)]
    [TestCase("extra", ShapeAttribute.Number)]
    [TestCase("noise", ShapeAttribute.Number)]
    public void The_reason_names_what_is_wrong(string wrong, ShapeAttribute attribute)
    {
        var scene = CaptionParser.Parse("a large red circle above a small blue square on a white background");
        for (int i = 0; i < 20; i++)
        {
            (byte[] rgb, string caption) = Spoiling.Draw(wrong, scene, 32, new Random(i))!.Value;
            ShapeVerdict verdict = ShapesJudge.Judge(rgb, 32, 32, caption);
            ShapeAttribute[] found = verdict.Attributes.Where(a => !a.Correct).Select(a => a.Attribute).Distinct().ToArray();
            Assert.That(found, wrong is "missing" or "noise" ? Does.Contain(attribute) : Is.EqualTo(new[] { attribute }));
        }
    }

    [Test]
    public void Reasons_read_well()
    {
        byte[] drawn = Draw("a small green triangle above a large yellow square on a black background", 64);
        string[] reasons =
            [.. Judge(drawn, 64, "a large green diamond above a large cyan square on a white background").Reasons];
        Assert.That(reasons, Has.Length.EqualTo(4));
        Assert.That(reasons[0], Is.EqualTo("kind of the large green diamond: wanted diamond, found triangle"));
        Assert.That(reasons[1], Does.Match("^size of the large green diamond: wanted large, found 2[0-9] % of the side$"));
        Assert.That(reasons[2], Is.EqualTo("colour of the large cyan square: wanted cyan, found yellow"));
        Assert.That(reasons[3], Is.EqualTo("background: wanted white, found black"));
        Assert.That(Judge(drawn, 64, "a green triangle").Reasons, Is.EqualTo(new[] { "number: wanted 1, found 2" }));
    }

    [Test]
    public void What_is_measured_is_where_it_was_drawn()
    {
        for (int i = 0; i < 200; i++)
        {
            ShapeScene scene = Generator.Sample(i).Scene;
            SceneMeasurement found = SceneMeasurement.Measure(ShapeRenderer.Draw(scene, 64), 64, 64);
            foreach (PlacedShape shape in scene.Shapes)
            {
                MeasuredShape near = found.Shapes.MinBy(one => Math.Abs(one.X - shape.X) + Math.Abs(one.Y - shape.Y))!;
                Assert.That(near.X, Is.EqualTo(shape.X).Within(0.01));
                Assert.That(near.Y, Is.EqualTo(shape.Y).Within(0.01));
                Assert.That(near.Extent, Is.EqualTo(shape.Extent).Within(0.02));
                Assert.That(ShapeWorld.Distance(near.Fill.R, near.Fill.G, near.Fill.B, shape.Fill), Is.LessThan(3));
            }
        }
    }

    [Test]
    public void A_shape_that_is_none_of_the_kinds_is_no_clear_shape()
    {
        // A square that lacks a quarter, and a bar three times as wide as it is high.
        var notched = Enumerable.Range(0, 32 * 32).Select(p => (X: p % 32, Y: p / 32))
            .Select(p => p.X is >= 9 and < 23 && p.Y is >= 9 and < 23 && !(p.X >= 16 && p.Y >= 16));
        var bar = Enumerable.Range(0, 32 * 32).Select(p => p % 32 is >= 7 and < 25 && p / 32 is >= 13 and < 19);
        foreach (IEnumerable<bool> mask in (IEnumerable<bool>[])[notched, bar])
        {
            byte[] rgb = mask.SelectMany(on => on ? new byte[] { 230, 30, 30 } : [64, 64, 64]).ToArray();
            Assert.That(SceneMeasurement.Measure(rgb, 32, 32).Shapes.Single().Kind, Is.Null);
        }
    }

    [Test]
    public void Large_and_oblong_images_are_judged_too()
    {
        string caption = "a large red circle left of a small blue square";
        Assert.That(Judge(Draw(caption, 300), 300, caption).Correct);
        byte[] wide = Enumerable.Repeat((byte)64, 40 * 64 * 3).ToArray(), drawn = Draw(caption, 40);
        for (int y = 0; y < 40; y++)
            drawn.AsSpan(y * 120, 120).CopyTo(wide.AsSpan(((y * 64) + 12) * 3));
        Assert.That(ShapesJudge.Judge(wide, 64, 40, caption).Correct);
    }

    [Test]
    public void What_cannot_be_judged_is_refused_with_numbers()
    {
        Assert.That(() => Judge(new byte[16 * 16 * 3], 16, "a red circle"),
            Throws.TypeOf<MdmException>().With.Message.Contains("16x16").And.Message.Contains("32x32"));
        Assert.That(() => ShapesJudge.Judge(new byte[100], 32, 32, "a red circle"),
            Throws.TypeOf<MdmException>().With.Message.Contains("100").And.Message.Contains("3072"));
        Assert.That(() => Judge(new byte[32 * 32 * 3], 32, "a dog"), Throws.TypeOf<MdmException>().With.Message.Contains("dog"));
    }

    private static byte[] Draw(string caption, int size) =>
        ShapeRenderer.Draw(ShapeGenerator.Place(CaptionParser.Parse(caption), 3), size);

    private static ShapeVerdict Judge(byte[] rgb, int size, string caption) => ShapesJudge.Judge(rgb, size, size, caption);
}
