using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Data;
using Mdm.Model.Text;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Text;

public class WordTableTextModelTests
{
    private const int Width = 32;
    private static IDevice Device => Devices.Open("cpu");

    [Test]
    public void Features_are_rows_of_the_table_plus_places()
    {
        using var data = new TinyDataset(3);
        using var model = new WordTableTextModel(Device, data.Vocabulary, 5, Width);
        using Scope scope = Scope.Enter();
        TextFeatures two = model.Encode([[3, 4, 1], [4, 1]]);
        Assert.That(two.Values.Shape, Is.EqualTo(new Shape(2, 3, Width)));
        Assert.That(two.Mask!.ToArray(), Is.EqualTo(new[] { 1f, 1, 1, 1, 1, 0 }));

        float[] values = two.Values.ToArray();
        float[] Word(int caption, int place) =>
            values.AsSpan((caption * 3 + place) * Width, Width).ToArray().Zip(Place(place), (a, b) => a - b).ToArray();
        Assert.That(Word(1, 0), Is.EqualTo(Word(0, 1)).Within(1e-5), "token 4 at two places");
        Assert.That(Word(1, 1), Is.EqualTo(Word(0, 2)).Within(1e-5), "</s> at two places");
        Assert.That(Word(0, 0), Is.Not.EqualTo(Word(0, 1)).Within(0.1));
        Assert.That(Word(0, 0).Sum(x => x * x), Is.EqualTo(Width).Within(1e-3), "unit directions times sqrt(width)");
    }

    [TestCase("words", 8, false, ExpectedResult = Width)]
    [TestCase("none", 8, false, ExpectedResult = 0)]
    [TestCase("some-model", 8, false, ExpectedResult = 8)]
    [TestCase("words", 8, true, ExpectedResult = 8)]
    [TestCase("google/flan-t5-large", null, false, ExpectedResult = 1024)]
    public int The_width_is_known_without_loading_the_model(string name, int? given, bool precomputed) =>
        TextModels.WidthOf(new ProgramConfig
        {
            TextModel = name,
            TextDim = Width,
            LanguageModelDim = given,
            UsePrecomputedTextEmbeddings = precomputed,
        });

    [Test]
    public void Word_order_shows()
    {
        using var data = new TinyDataset(3);
        using var model = new WordTableTextModel(Device, data.Vocabulary, 5, Width);
        using Scope scope = Scope.Enter();
        float[] values = model.Encode([[3, 4, 1], [4, 3, 1]]).Values.ToArray();
        double difference = 0;
        for (int c = 0; c < Width; c++)
            difference += Math.Pow(values[c] - values[(3 + 1) * Width + c], 2);
        Assert.That(Math.Sqrt(difference / Width), Is.GreaterThan(0.4), "the same word, first and second");
    }

    [Test]
    public void With_context_a_token_tells_what_it_stands_beside()
    {
        using var data = new TinyDataset(3);
        using var alone = new WordTableTextModel(Device, data.Vocabulary, 5, Width);
        using var model = new WordTableTextModel(Device, data.Vocabulary, 5, Width, context: 1);
        using Scope scope = Scope.Enter();
        float[] plain = alone.Encode([[3, 4, 1], [5, 4, 1], [3, 1]]).Values.ToArray();
        float[] values = model.Encode([[3, 4, 1], [5, 4, 1], [3, 1]]).Values.ToArray();
        float[] Added(int caption, int place) => Enumerable.Range((caption * 3 + place) * Width, Width)
            .Select(i => values[i] - plain[i]).ToArray();

        Assert.That(Added(0, 0).Sum(x => x * x), Is.EqualTo(0.49 * Width).Within(1e-3), "one neighbour, behind it");
        Assert.That(Added(0, 0), Is.EqualTo(Added(1, 0)).Within(1e-5), "the same neighbour behind");
        Assert.That(Added(0, 1), Is.Not.EqualTo(Added(1, 1)).Within(0.1), "another neighbour before");
        Assert.That(Added(0, 2), Is.EqualTo(Added(1, 2)).Within(1e-5), "the same neighbour before");
        Assert.That(Added(2, 1).Sum(x => x * x), Is.EqualTo(0.49 * Width).Within(1e-3), "padding is no neighbour");
    }

    [TestCase(0)]
    [TestCase(2)]
    public void It_is_made_again_from_what_it_saves(int context)
    {
        using var data = new TinyDataset(3);
        string folder = data["checkpoint"];
        using var model = new WordTableTextModel(Device, data.Vocabulary, 5, Width, context);
        model.Save(folder);
        using ITextModel again = TextModels.Load(folder, Device)!;
        using var other = new WordTableTextModel(Device, data.Vocabulary, 6, Width);
        using Scope scope = Scope.Enter();
        float[] expected = model.Encode([[2, 3, 4, 1]]).Values.ToArray();
        Assert.That(again.Encode([[2, 3, 4, 1]]).Values.ToArray(), Is.EqualTo(expected));
        Assert.That(other.Encode([[2, 3, 4, 1]]).Values.ToArray(), Is.Not.EqualTo(expected));
        Assert.That(TextModels.Load(data["nowhere"], Device), Is.Null);
    }

    [TestCase("sp_t5/spiece.model", "vocabulary.model")]
    [TestCase("sp_t5/tokenizer.json", "vocabulary.json")]
    [TestCase("mdm_t5.vocab", "vocabulary.vocab")]
    public void Any_tokenizer_goes_with_the_checkpoint(string file, string saved)
    {
        using var data = new TinyDataset(3);
        using ITextModel model = TextModels.Create(
            new ProgramConfig { TextModel = "words", TextDim = Width, VocabFile = RecordedTexts.Path(file) }, Device)!;
        model.Save(data["checkpoint"]);
        Assert.That(File.ReadAllBytes(data[$"checkpoint/{saved}"]), Is.EqualTo(File.ReadAllBytes(RecordedTexts.Path(file))));
        using ITextModel again = TextModels.Load(data["checkpoint"], Device)!;
        const string caption = " a caf\u00E9 on a red circle";
        Assert.That(again.Tokenizer.Encode(caption), Is.EqualTo(model.Tokenizer.Encode(caption)));
        using Scope scope = Scope.Enter();
        Assert.That(again.Encode([again.Tokenizer.Encode(caption)]).Values.ToArray(),
            Is.EqualTo(model.Encode([model.Tokenizer.Encode(caption)]).Values.ToArray()));
        File.Delete(data[$"checkpoint/{saved}"]);
        Assert.That(() => TextModels.Load(data["checkpoint"], Device),
            Throws.TypeOf<MdmException>().With.Message.Contains($"{saved} is missing"));
    }

    [Test]
    public void Damaged_files_and_unknown_models_are_errors()
    {
        using var data = new TinyDataset(3);
        Assert.That(() => new WordTableTextModel(Device, data.Vocabulary, 0, 7),
            Throws.InstanceOf<MdmException>().With.Message.Contains("text_dim"));
        Assert.That(() => new WordTableTextModel(Device, data["nowhere"], 0, 8), Throws.InstanceOf<MdmException>());
        File.WriteAllLines(data["bad.vocab"], ["</s>\t0", "a\t-1"]);
        Assert.That(() => new WordTableTextModel(Device, data["bad.vocab"], 0, 8),
            Throws.InstanceOf<MdmException>().With.Message.Contains("<pad>"));
        Assert.That(() => TextModels.Create(new ProgramConfig(), Device),
            Throws.InstanceOf<MdmException>().With.Message.Contains("flan-t5"));
        File.WriteAllText(data["text_model.json"], "{\"kind\": 3");
        Assert.That(() => TextModels.Load(data[""], Device), Throws.InstanceOf<MdmException>());
        File.WriteAllText(data["text_model.json"], "{\"kind\": \"t5\"}");
        Assert.That(() => TextModels.Load(data[""], Device), Throws.InstanceOf<MdmException>().With.Message.Contains("t5"));
    }

    private static float[] Place(int n)
    {
        float[] place = new float[Width];
        for (int k = 0; k < Width / 2; k++)
        {
            double angle = n / Math.Pow(32, 2.0 * k / Width);
            place[k] = (float)(Math.Sqrt(2) * Math.Sin(angle));
            place[k + Width / 2] = (float)(Math.Sqrt(2) * Math.Cos(angle));
        }

        return place;
    }
}
