using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Model.Tests.Training;
using Mdm.Model.Text;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tests;

namespace Mdm.Model.Tests.Data;

/// <summary>Text features computed beforehand.</summary>
[TestFixture]
public sealed class TextEmbeddingTests
{
    private TinyDataset _data = null!;

    [SetUp]
    public void MakeData()
    {
        _data = new TinyDataset(20, caption: i => i == 7 ? "a very long caption, too long" : TinyDataset.Caption(i));
        new T5Folder { Vocabulary = File.ReadAllLines(_data.Vocabulary).Length, Width = 16 }.Write(_data["t5"]);
    }

    [TearDown]
    public void RemoveData() => _data.Dispose();

    [Test]
    public void Training_with_them_is_training_with_the_text_model()
    {
        // With a sample dropped beforehand the order of the others would differ. Batches of so few tokens are multiplied in the same
        // order whatever their size, hence the same bits.
        using var direct = new Trainer(Config("direct", limit: -1), Devices.Open("cpu"), new TrainerOptions());
        direct.Run();
        using ITextModel text = TextModels.Create(Config("x"), Devices.Open("cpu"))!;
        EmbeddedDataset embedded = new TextEmbedding(text, Config("x", limit: -1).ReaderConfig, batch: 3)
            .Run(_data.Index, _data["embedded"], _ => { }, Assert.Fail);
        Assert.That(embedded with { Index = "" }, Is.EqualTo(new EmbeddedDataset("", 19, 20, 0, 0)), "six different captions in a shard, and the long one");

        ProgramConfig config = Config("beforehand", limit: -1);
        (config.UsePrecomputedTextEmbeddings, config.FileList, config.LanguageModelDim) = (true, embedded.Index, text.Width);
        config.TextModel = "nowhere/to-be-found";
        using var beforehand = new Trainer(config, Devices.Open("cpu"), new TrainerOptions());
        beforehand.Run();
        TinyRun.AssertSame(TinyRun.Weights(beforehand.Network.Store), TinyRun.Weights(direct.Network.Store));
    }

    [Test]
    public void Shards_that_are_done_are_not_done_again()
    {
        using ITextModel text = TextModels.Create(Config("x"), Devices.Open("cpu"))!;
        var embedding = new TextEmbedding(text, Config("x").ReaderConfig, batch: 2);
        using var stop = new CancellationTokenSource();
        void StopInTheSecond(double share)
        {
            if (share > 0.34)
                stop.Cancel();
        }

        Assert.Throws<OperationCanceledException>(
            () => embedding.Run(_data.Index, _data["out"], StopInTheSecond, Assert.Fail, stop.Token));
        Assert.That(Directory.GetFiles(_data["out"]).Select(Path.GetFileName), Is.EquivalentTo(new[]
            { "00000_shard0.text.tar", "00000_shard0.tsv", "embedding.json", "empty_caption.npy" }));
        EmbeddedDataset rest = embedding.Run(_data.Index, _data["out"], _ => { }, Assert.Fail);
        Assert.That(rest with { Index = "" }, Is.EqualTo(new EmbeddedDataset("", 12, 12, 1, 1)), "the long caption is left out");
        Assert.That(File.ReadAllLines(rest.Index), Is.EqualTo(new[]
            { "filename", "00000_shard0.tsv", "00001_shard1.tsv", "00002_shard2.tsv" }));

        var other = new TextEmbedding(text, Config("x").ReaderConfig, batch: 2, half: true);
        Assert.That(() => other.Run(_data.Index, _data["out"], _ => { }, Assert.Fail),
            Throws.InstanceOf<MdmException>().With.Message.Contains("another kind").And.Message.Contains("--output-dir"));
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Numpy_files_come_back(bool half)
    {
        float[] values = [1.5f, -2, 0, 65504, 0.25f, -0.125f];
        byte[] bytes = NpyFile.Write(2, 3, values, half);
        Assert.That((bytes.Length - values.Length * (half ? 2 : 4)) % 64, Is.Zero, "data are aligned");
        (long[] shape, float[] found) = NpyFile.Parse(bytes, "x");
        Assert.That(shape, Is.EqualTo(new long[] { 2, 3 }));
        Assert.That(found, Is.EqualTo(values));
        if (half)
            Assert.That(() => NpyFile.Write(1, 1, [1e5f], half), Throws.InstanceOf<MdmException>().With.Message.Contains("65504"));
    }

    private ProgramConfig Config(string output, int limit = 25) => TinyRun.Config(_data, output, config =>
    {
        config.TextModel = _data["t5"];
        config.ReaderConfig.MaxCaptionLength = limit;
    });
}
