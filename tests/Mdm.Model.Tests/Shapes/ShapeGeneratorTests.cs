using Mdm.Kernels;
using Mdm.Model.Shapes;

namespace Mdm.Model.Tests.Shapes;

public class ShapeGeneratorTests
{
    [Test]
    public void A_scene_depends_on_seed_and_index_alone()
    {
        var one = new ShapeGenerator(7);
        var two = new ShapeGenerator(7);
        byte[][] ordered = one.Images(32).Take(200).Select(pair => pair.Rgb).ToArray();
        var scattered = new byte[200][];
        Parallel.For(0, 200, i => scattered[199 - i] = ShapeRenderer.Draw(two.Sample(199 - i).Scene, 32));
        Assert.That(scattered, Is.EqualTo(ordered));
        Assert.That(new ShapeGenerator(8).Images(32).First().Rgb, Is.Not.EqualTo(ordered[0]));
    }

    [Test]
    public void Shapes_lie_within_the_image_and_apart()
    {
        var generator = new ShapeGenerator(1, new ShapeOptions { Pairs = 0.8 });
        for (int i = 0; i < 5000; i++)
        {
            ShapeScene scene = generator.Sample(i).Scene;
            foreach (PlacedShape shape in scene.Shapes)
            {
                double room = (shape.Extent / 2) + 0.0199;
                Assert.That(shape.X, Is.InRange(room, 1 - room));
                Assert.That(shape.Y, Is.InRange(room, 1 - room));
            }

            if (scene.Shapes is not [PlacedShape a, PlacedShape b])
                continue;
            double gap = Math.Max(Math.Abs(a.X - b.X), Math.Abs(a.Y - b.Y)) - ((a.Extent + b.Extent) / 2);
            Assert.That(gap, Is.GreaterThan(0.0799));
            bool right = scene.Description.Relation switch
            {
                ShapeRelation.Above => a.Y < b.Y,
                ShapeRelation.Below => a.Y > b.Y,
                ShapeRelation.LeftOf => a.X < b.X,
                _ => a.X > b.X,
            };
            Assert.That(right, scene.Description.ToString());
        }
    }

    [Test]
    public void Every_word_occurs_in_training_and_no_held_out_combination_does()
    {
        var generator = new ShapeGenerator(3, new ShapeOptions { HoldOut = 0.3 });
        var words = new HashSet<string>();
        for (int i = 0; i < 5000; i++)
        {
            ShapeSample sample = generator.Sample(i);
            Assert.That(generator.HeldOut.Contains(CaptionParser.Parse(sample.Caption)), Is.False, sample.Caption);
            words.UnionWith(sample.Caption.Split(' '));
        }

        Assert.That(words, Is.EquivalentTo(CaptionWriter.Vocabulary));
    }

    [Test]
    public void Held_out_prompts_hold_only_held_out_combinations()
    {
        var generator = new ShapeGenerator(3);
        IReadOnlyList<string> prompts = generator.HeldOutPrompts(300);
        Assert.That(prompts, Is.Unique);
        Assert.That(prompts.All(prompt => generator.HeldOut.Contains(CaptionParser.Parse(prompt))));
        Assert.That(generator.HeldOut.PairCount, Is.EqualTo(28));
        Assert.That(generator.HeldOut.SingleCount, Is.EqualTo(8));
    }

    [Test]
    public void What_is_held_out_grows_with_the_share_and_ignores_order_size_relation_and_background()
    {
        var less = new HeldOutCombinations(0.1);
        var more = new HeldOutCombinations(0.2);
        var generator = new ShapeGenerator(5, new ShapeOptions { HoldOut = 0.1 });
        for (int i = 0; i < 500; i++)
        {
            SceneDescription scene = generator.HeldOutSample(i).Scene.Description;
            Assert.That(more.Contains(scene));
            Assert.That(less.Contains(scene with { Background = ShapeBackground.Grey }));
            if (scene.Second == null)
                continue;
            var turned = new SceneDescription(scene.Second with { Size = ShapeSize.Small }, ShapeRelation.Above, scene.First,
                ShapeBackground.Unsaid);
            Assert.That(less.Contains(turned));
        }
    }

    [TestCase(-0.1)]
    [TestCase(0.6)]
    [TestCase(double.NaN)]
    public void A_hold_out_share_out_of_range_is_refused(double share) =>
        Assert.That(() => new ShapeGenerator(1, new ShapeOptions { HoldOut = share }),
            Throws.TypeOf<MdmException>().With.Message.Contains("hold-out share").And.Message.Contains("0.5"));

    [Test]
    public void Held_out_prompts_need_something_held_out()
    {
        Assert.That(() => new ShapeGenerator(1, new ShapeOptions { HoldOut = 0 }).HeldOutPrompts(1),
            Throws.TypeOf<MdmException>());
        Assert.That(() => new ShapeGenerator(1, new ShapeOptions { HoldOut = 0.001, SaidBackgrounds = 0 }).HeldOutPrompts(500),
            Throws.TypeOf<MdmException>().With.Message.Contains("500"));
    }
}
