using Mdm.Kernels;
using Mdm.Model.Shapes;

namespace Mdm.Model.Tests.Shapes;

public class CaptionTests
{
    [Test]
    public void Every_description_comes_back_from_every_variant()
    {
        var generator = new ShapeGenerator(11);
        for (int i = 0; i < 2000; i++)
        {
            SceneDescription scene = generator.Sample(i).Scene.Description;
            for (int variant = 0; variant < CaptionWriter.Variants; variant++)
                Assert.That(CaptionParser.Parse(CaptionWriter.Write(scene, variant)), Is.EqualTo(scene));
        }
    }

    [TestCase("a large red circle above a small blue square")]
    [TestCase("a small green triangle")]
    [TestCase("a yellow diamond on a white background")]
    [TestCase("a cyan circle left of a large purple circle on a black background")]
    public void The_plain_form_is_what_is_parsed(string caption) =>
        Assert.That(CaptionWriter.Write(CaptionParser.Parse(caption)), Is.EqualTo(caption));

    [TestCase("  Large RED circle,  to the left of the little blue square. ", "a large red circle left of a small blue square")]
    [TestCase("on a gray background a big red circle", "a large red circle on a grey background")]
    [TestCase("on a white background, a red circle above an yellow square",
        "a red circle above a yellow square on a white background")]
    public void Loose_spelling_is_understood(string caption, string plain) =>
        Assert.That(CaptionParser.Parse(caption).ToString(), Is.EqualTo(plain));

    [TestCase("", "the caption ends", "a colour")]
    [TestCase("a dog", "\"dog\"", "a colour")]
    [TestCase("a red", "the caption ends", "a kind of shape")]
    [TestCase("a red circle above", "the caption ends", "a colour")]
    [TestCase("a red circle to the above", "\"above\"", "left of")]
    [TestCase("a red circle left a blue square", "\"blue\"", "\"of\"")]
    [TestCase("a red circle beside a blue square", "\"beside\"", "a relation")]
    [TestCase("a red circle on a pink background", "\"pink\"", "a background")]
    [TestCase("a red circle on black", "the caption ends", "\"background\"")]
    [TestCase("a red circle above a blue square above a red square", "\"above\"", "the end")]
    public void What_is_not_understood_is_named(string caption, string found, string expected) =>
        Assert.That(() => CaptionParser.Parse(caption),
            Throws.TypeOf<MdmException>().With.Message.Contains(found).And.Message.Contains(expected));

    [Test]
    public void A_very_long_caption_makes_a_short_message() =>
        Assert.That(() => CaptionParser.Parse(new string('x', 100_000)),
            Throws.TypeOf<MdmException>().With.Message.Length.LessThan(400));
}
