using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Tests.Configuration;

/// <summary>The options of a verb beside configuration fields.</summary>
public sealed class OptionTableTests
{
    private static readonly OptionTable<PaintOptions> Table = new(
        "mdm paint [options] [prompt ...]",
        "Paints a picture for every prompt. This sentence has to be wrapped in a terminal of the usual width.",
        takesConfig: true);

    private static readonly OptionTable<PaintOptions> Bare = new("mdm paint", "Paints.");

    [Test]
    public void OwnOptionsFieldsAndWordsAreToldApart()
    {
        VerbArguments<PaintOptions> a = Table.Parse(
            ["a red circle", "--num-images=3", "--shiny", "--num_diffusion_steps", "10", "a -small- square", "--fp16", "1",
                "--no-use-adamw", "--seed", "-1", "--", "--not-an-option"]);
        Assert.That((a.Options.NumImages, a.Options.Shiny, a.Options.Style), Is.EqualTo((3, true, "oil")));
        Assert.That(a.Words, Is.EqualTo(new[] { "a red circle", "a -small- square", "--not-an-option" }));
        ProgramConfig c = ConfigLoader.Load(null, a.ConfigOverrides, _ => { });
        Assert.That((c.DiffusionConfig.SamplerConfig.NumDiffusionSteps, c.Fp16, c.UseAdamw, c.Seed),
            Is.EqualTo((10, true, false, -1L)));
        Assert.That(a.Help, Is.False);
    }

    [Test]
    public void ASwitchBeforeAPromptTakesNoValue()
    {
        VerbArguments<PaintOptions> a = Table.Parse(["--shiny", "a blue square"]);
        Assert.That((a.Options.Shiny, a.Words.Single()), Is.EqualTo((true, "a blue square")));
    }

    [Test]
    public void AnAliasIsAnotherName()
    {
        Assert.That(ConfigLoader.Load(null, Table.Parse(["--guidance=3"]).ConfigOverrides, _ => { }).CfgWeight, Is.EqualTo(3));
        Assert.That(Table.Parse(["--count", "5"]).Options.NumImages, Is.EqualTo(5));
    }

    [TestCase("--num-image=3", "unknown option --num-image; did you mean '--num-images'?")]
    [TestCase("--batch-sizes=3", "unknown option --batch-sizes; did you mean '--batch_size'?")]
    [TestCase("--num-images=many", "--num-images: expected an integer, found 'many'")]
    [TestCase("--num-images=0", "--num-images: expected at least 1, found 0")]
    [TestCase("--num-images", "--num-images: expected a value")]
    public void MistakesAreExplained(string option, string message) =>
        Assert.That(Assert.Throws<MdmException>(() => Table.Parse([option]))!.Message, Is.EqualTo(message));

    [Test]
    public void AVerbWithoutConfigurationKnowsNoFields()
    {
        Assert.That(Assert.Throws<MdmException>(() => Bare.Parse(["--batch-size=3"]))!.Message,
            Is.EqualTo("unknown option --batch-size; --help lists those that exist"));
        Assert.That(Bare.Help(withConfig: true), Does.Not.Contain("batch_size"));
    }

    [TestCase("--help", false)]
    [TestCase("-h", false)]
    [TestCase("--help-all", true)]
    public void HelpIsAskedForAnywhere(string word, bool all)
    {
        VerbArguments<PaintOptions> a = Table.Parse(["--unknown", word]);
        Assert.That((a.Help, a.HelpAll), Is.EqualTo((true, all)));
        Assert.That(Table.Parse(["--", word]).Help, Is.False);
    }

    [Test]
    public void HelpIsAlignedAndFits()
    {
        string[] lines = Table.Help().Split('\n');
        Assert.That(lines[0], Is.EqualTo("Usage: mdm paint [options] [prompt ...]"));
        Assert.That(lines, Has.Member("  --num-images, --count N     How many pictures to paint [2]"));
        Assert.That(lines, Has.Member("  --style NAME                Painter's manner, which may be anything that a"));
        Assert.That(lines, Has.Member("                              painter ever used [oil]"));
        string all = Table.Help(withConfig: true);
        Assert.That(all.Split('\n').Max(l => l.Length), Is.LessThanOrEqualTo(80));
        foreach (PlacedSetting s in SettingsTable.Walk(new ProgramConfig()))
            Assert.That(all, Does.Contain($"--{s.Field.Name}"));
        Assert.That(all, Does.Contain("DYNAMIC_IF").And.Contain("\ndiffusion_config.sampler_config:\n"));
    }

    [TestCase("kitten", "sitting", 3)]
    [TestCase("ab", "ba", 1)]
    [TestCase("", "abc", 3)]
    [TestCase("same", "same", 0)]
    [TestCase("abcdef", "abcxdef", 1)]
    public void DistancesBetweenNames(string a, string b, int distance) =>
        Assert.That(NearestName.Distance(a, b), Is.EqualTo(distance));

    [TestCase("FooBar", "foo_bar")]
    [TestCase("VPrediction", "v_prediction")]
    [TestCase("Fp16", "fp16")]
    [TestCase("DynamicIf", "dynamic_if")]
    [TestCase("TemporalSpatialDs", "temporal_spatial_ds")]
    public void NamesAreMadeFromProperties(string property, string name) =>
        Assert.That(SettingField.SnakeCase(property), Is.EqualTo(name));

    private sealed class PaintOptions
    {
        [Setting("How many pictures to paint", Min = 1, Alias = "count")]
        public int NumImages { get; set; } = 2;

        [Setting("Painter's manner, which may be anything that a painter ever used", Placeholder = "NAME")]
        public string Style { get; set; } = "oil";

        [Setting("Varnishes the picture")]
        public bool Shiny { get; set; }
    }
}
