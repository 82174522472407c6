using System.Formats.Tar;
using System.Text.Json.Nodes;
using Mdm.Kernels;
using Mdm.Model.Shapes;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Tests.Shapes;

public class ShapesDatasetTests
{
    private static readonly ShapesDatasetOptions Small = new() { Count = 70, ValidationCount = 30, ShardSize = 40, Seed = 4 };

    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("shapes").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void Tables_archives_and_pictures_belong_together()
    {
        int most = 0;
        ShapesDatasetFiles files = ShapesDataset.Write(_folder, Small, (done, total) =>
        {
            Assert.That(total, Is.EqualTo(100));
            lock (Small)
                most = Math.Max(most, done);
        });
        Assert.That(most, Is.EqualTo(100));
        var generator = new ShapeGenerator(4);
        List<(byte[] Rgb, string Caption)> training = Read(files.TrainingIndex), validation = Read(files.ValidationIndex);
        Assert.That(training, Has.Count.EqualTo(70));
        Assert.That(training[57].Caption, Is.EqualTo(generator.Sample(57).Caption));
        Assert.That(training[57].Rgb, Is.EqualTo(ShapeRenderer.Draw(generator.Sample(57).Scene, 32)));
        Assert.That(validation, Has.Count.EqualTo(30));
        foreach ((byte[] rgb, string caption) in training.Concat(validation))
            Assert.That(ShapesJudge.Judge(rgb, 32, 32, caption).Correct, caption);
        Assert.That(validation.All(one => generator.HeldOut.Contains(CaptionParser.Parse(one.Caption))));
        Assert.That(training.Any(one => generator.HeldOut.Contains(CaptionParser.Parse(one.Caption))), Is.False);
    }

    [Test]
    public void The_same_options_give_the_same_bytes()
    {
        string again = Path.Combine(_folder, "again"), once = Path.Combine(_folder, "once");
        ShapesDataset.Write(once, Small);
        ShapesDataset.Write(again, Small);
        string[] names = [.. Directory.GetFiles(once).Select(path => Path.GetFileName(path)!).Order()];
        Assert.That(names, Is.EqualTo(new[]
        {
            "shapes.vocab", "training-00000.tar", "training-00000.tsv", "training-00001.tar", "training-00001.tsv",
            "training.tsv", "validation-00000.tar", "validation-00000.tsv", "validation.tsv",
        }));
        foreach (string name in names)
        {
            byte[] first = File.ReadAllBytes(Path.Combine(once, name)), second = File.ReadAllBytes(Path.Combine(again, name));
            Assert.That(second, Is.EqualTo(first), name);
        }
    }

    [Test]
    public void With_nothing_held_out_validation_shows_new_scenes()
    {
        ShapesDatasetFiles files = ShapesDataset.Write(
            _folder, Small with { Scenes = new ShapeOptions { HoldOut = 0 }, ValidationCount = 5 });
        Assert.That(Read(files.ValidationIndex)[0].Caption,
            Is.EqualTo(new ShapeGenerator(4, new ShapeOptions { HoldOut = 0 }).Sample(70).Caption));
    }

    [Test]
    public void Every_word_of_a_caption_is_one_token()
    {
        string[][] lines = [.. ShapesDataset.Vocabulary().TrimEnd('\n').Split('\n').Select(line => line.Split('\t'))];
        Assert.That(lines.Select(line => line.Length), Is.All.EqualTo(2));
        string[] tokens = [.. lines.Select(line => line[0])];
        Assert.That(tokens[..3], Is.EqualTo(new[] { "<pad>", "</s>", "<unk>" }));
        Assert.That(tokens, Is.Unique);
        // All tokens but the special ones begin with the mark of a space and hold no other: no other split exists.
        Assert.That(tokens[3..].All(token => token.LastIndexOf('\u2581') == 0 && token.Length > 1));
        for (int i = 0; i < 500; i++)
            foreach (string word in new ShapeGenerator(2).Sample(i).Caption.Split(' '))
                Assert.That(tokens, Does.Contain('\u2581' + word));
    }

    [Test]
    public void Numbers_out_of_range_are_refused()
    {
        Assert.That(() => ShapesDataset.Write(_folder, Small with { Count = 0 }),
            Throws.TypeOf<MdmException>().With.Message.Contains("number of training images is 0"));
        Assert.That(() => ShapesDataset.Write(_folder, Small with { ImageSize = 5000 }),
            Throws.TypeOf<MdmException>().With.Message.Contains("5000").And.Message.Contains("1024"));
    }

    [Test]
    public void A_folder_that_cannot_be_written_is_named()
    {
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        Assert.That(() => ShapesDataset.Write(Path.Combine(file, "below"), Small),
            Throws.TypeOf<MdmException>().With.Message.Contains("below"));
    }

    [Test]
    public void A_cancelled_run_leaves_earlier_indexes_as_they_were()
    {
        ShapesDatasetFiles files = ShapesDataset.Write(_folder, Small);
        using var source = new CancellationTokenSource();
        Assert.That(() => ShapesDataset.Write(_folder, Small with { Count = 5000, ShardSize = 20 }, (done, _) =>
        {
            if (done == 60)
                source.Cancel();
        }, source.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(File.ReadAllLines(files.TrainingIndex), Has.Length.EqualTo(3));
        Assert.That(Directory.GetFiles(_folder, "*.tmp"), Is.Empty);
    }

    [Test]
    public void Evaluation_counts_what_is_right()
    {
        string[] captions = ["a red circle", "a red circle above a small blue square", "a green triangle on a black background"];
        string list = WriteList([.. captions.Select(caption => (Draw(caption), caption)), (Draw("a red square"), "a red circle"),
            (Draw("a red square"), "a picture of a dog"), ([1, 2, 3], "a red diamond")]);
        ShapesEvaluation result = ShapesEvaluation.OfList(list, new HeldOutCombinations(0.1));
        EvaluationRow Row(string group, string name) => result.Rows.Single(row => row.Group == group && row.Name == name);
        Assert.That((Row("all", "all").Correct, Row("all", "all").Total), Is.EqualTo((3, 5)));
        Assert.That(result.Share, Is.EqualTo(0.6));
        Assert.That((Row("attribute", "kind").Correct, Row("attribute", "kind").Total), Is.EqualTo((3, 4)));
        Assert.That((Row("attribute", "background").Correct, Row("attribute", "background").Total), Is.EqualTo((1, 1)));
        Assert.That((Row("kind", "circle").Correct, Row("kind", "circle").Total), Is.EqualTo((2, 3)));
        Assert.That((Row("shapes", "two").Correct, Row("shapes", "two").Total), Is.EqualTo((1, 1)));
        JsonNode json = JsonNode.Parse(result.ToJson())!;
        Assert.That(json["scores"]![0]!["share"]!.GetValue<double>(), Is.EqualTo(0.6));
        Assert.That(json["images"]![3]!["reasons"]![0]!.GetValue<string>(), Does.Contain("wanted circle, found square"));
        Assert.That(json["images"]![4]!["correct"], Is.Null);
    }

    [TestCase("{}")]
    [TestCase("[{\"path\": 3, \"caption\": \"a\"}]")]
    [TestCase("[{\"path\": \"a.png\"}]")]
    [TestCase("[{\"path\": null, \"caption\": \"a red circle\"}]")]
    [TestCase("[1")]
    public void A_list_of_another_form_is_refused(string text)
    {
        string path = Path.Combine(_folder, "lst.json");
        File.WriteAllText(path, text);
        Assert.That(() => ShapesEvaluation.OfList(path), Throws.TypeOf<MdmException>().With.Message.Contains("caption"));
    }

    [Test]
    public void A_list_without_images_or_no_list_is_refused()
    {
        string path = Path.Combine(_folder, "lst.json");
        Assert.That(() => ShapesEvaluation.OfList(path), Throws.TypeOf<MdmException>().With.Message.Contains("lst.json"));
        File.WriteAllText(path, "[]");
        Assert.That(() => ShapesEvaluation.OfList(path), Throws.TypeOf<MdmException>().With.Message.Contains("no image"));
    }

    private static byte[] Draw(string caption) => PngWriter.Encode(
        new Image(32, 32, ShapeRenderer.Draw(ShapeGenerator.Place(CaptionParser.Parse(caption), 1), 32)));

    private string WriteList((byte[] Png, string Caption)[] images)
    {
        var list = new JsonArray();
        for (int i = 0; i < images.Length; i++)
        {
            File.WriteAllBytes(Path.Combine(_folder, $"{i}.png"), images[i].Png);
            list.Add(new JsonObject { ["path"] = $"{i}.png", ["caption"] = images[i].Caption });
        }

        string path = Path.Combine(_folder, "lst.json");
        File.WriteAllText(path, list.ToJsonString());
        return path;
    }

    private static List<(byte[] Rgb, string Caption)> Read(string index)
    {
        string folder = Path.GetDirectoryName(index)!;
        var samples = new List<(byte[], string)>();
        string[] shards = File.ReadAllLines(index);
        Assert.That(shards[0], Is.EqualTo("filename"));
        foreach (string shard in shards[1..])
        {
            string[][] rows = [.. File.ReadAllLines(Path.Combine(folder, shard)).Select(line => line.Split('\t'))];
            Assert.That(rows[0], Is.EqualTo(new[] { "tar", "file", "caption" }));
            using var tar = new TarReader(File.OpenRead(Path.Combine(folder, rows[1][0])));
            foreach (string[] row in rows[1..])
            {
                TarEntry entry = tar.GetNextEntry(copyData: true)!;
                Assert.That(entry.Name, Is.EqualTo(row[1]));
                var bytes = new byte[entry.Length];
                entry.DataStream!.ReadExactly(bytes);
                samples.Add((ImageFile.Decode(bytes).Rgb, row[2]));
            }

            Assert.That(tar.GetNextEntry(), Is.Null);
        }

        return samples;
    }
}
