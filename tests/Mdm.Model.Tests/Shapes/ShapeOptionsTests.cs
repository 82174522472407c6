using Mdm.Kernels;
using Mdm.Model.Shapes;

namespace Mdm.Model.Tests.Shapes;

public class ShapeOptionsTests
{
    [Test]
    public void Kinds_limit_what_is_drawn_and_what_is_held_out()
    {
        var generator = new ShapeGenerator(3, new ShapeOptions { Kinds = [ShapeKind.Square, ShapeKind.Circle] });
        for (int i = 0; i < 200; i++)
        {
            ShapeSample[] samples = [generator.Sample(i), generator.HeldOutSample(i)];
            Assert.That(samples.SelectMany(s => s.Scene.Description.Shapes).Select(s => s.Kind),
                Is.All.EqualTo(ShapeKind.Square).Or.EqualTo(ShapeKind.Circle));
        }
    }

    [Test]
    public void Without_jitter_a_caption_is_always_drawn_alike()
    {
        SceneDescription scene = CaptionParser.Parse("a large red circle above a small blue square");
        byte[] first = ShapeRenderer.Draw(ShapeGenerator.Place(scene, 1, jitter: 0), 32);
        Assert.That(ShapeRenderer.Draw(ShapeGenerator.Place(scene, 2, jitter: 0), 32), Is.EqualTo(first));
        Assert.That(ShapeRenderer.Draw(ShapeGenerator.Place(scene, 2), 32), Is.Not.EqualTo(first));
    }

    [Test]
    public void Wrong_options_are_named()
    {
        Assert.That(() => new ShapeGenerator(1, new ShapeOptions { Kinds = [] }),
            Throws.InstanceOf<MdmException>().With.Message.Contains("no kind"));
        Assert.That(() => new ShapeGenerator(1, new ShapeOptions { Jitter = 1.5 }),
            Throws.InstanceOf<MdmException>().With.Message.Contains("jitter is 1.5"));
    }
}
