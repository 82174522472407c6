using System.Formats.Tar;
using System.Text;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Data;

public class DatasetReaderTests
{
    [TestCase(1000)]
    [TestCase(7)]
    [TestCase(1)]
    public void Every_epoch_has_every_sample_once(int buffer)
    {
        using var data = new TinyDataset(50);
        int[] order = Read(data.Options(4, epochs: 3, buffer: buffer));
        Assert.That(order, Has.Length.EqualTo(150));
        for (int epoch = 0; epoch < 3; epoch++)
            Assert.That(order.Skip(50 * epoch).Take(50).Order(), Is.EqualTo(Enumerable.Range(0, 50)));
        Assert.That(order[..50].SequenceEqual(order[50..100]), Is.EqualTo(buffer == 1), "the same order twice");
        if (buffer == 1)
            Assert.That(order[..50], Is.EqualTo(Enumerable.Range(0, 50)));
    }

    [Test]
    public void The_order_depends_on_the_seed_and_not_on_the_threads()
    {
        using var data = new TinyDataset(60);
        int[] one = Read(data.Options(8, epochs: 2, readers: 1)), many = Read(data.Options(8, epochs: 2, readers: 16));
        Assert.That(many, Is.EqualTo(one));
        Assert.That(Read(data.Options(8, epochs: 2, seed: 2)), Is.Not.EqualTo(one));
    }

    [TestCase(0)]
    [TestCase(3)]
    [TestCase(11)]
    public void Reading_goes_on_where_it_stopped(int batches)
    {
        using var data = new TinyDataset(40);
        File.WriteAllBytes(data["shard1.tar"], Spoilt(data["shard1.tar"]));
        DatasetOptions options = data.Options(4, epochs: 5, buffer: 9);
        var whole = new List<int>();
        ReaderPosition position = default;
        using (var reader = new DatasetReader(options))
        {
            for (int i = 0; reader.Next() is { } batch; i++)
            {
                if (i < batches)
                    position = batch.Next;
                else
                    whole.AddRange(Numbers(batch));
            }
        }

        Assert.That(Read(options, position), Is.EqualTo(whole));
    }

    [TestCase(2)]
    [TestCase(3)]
    [TestCase(5)]
    public void Partitions_share_the_samples_without_overlap(int partitions)
    {
        using var data = new TinyDataset(30);
        int[][] parts = Enumerable.Range(0, partitions)
            .Select(p => Read(data.Options(4) with { Partition = p, Partitions = partitions })).ToArray();
        Assert.That(parts.SelectMany(p => p).Order(), Is.EqualTo(Enumerable.Range(0, 30)));
        Assert.That(parts, Has.All.Not.Empty);
    }

    [Test]
    public void Images_are_scaled_to_about_plus_minus_one()
    {
        using var data = new TinyDataset(3, shards: 1);
        using var reader = new DatasetReader(data.Options(3, buffer: 1));
        Batch batch = reader.Next()!;
        float[] values = batch.Images(Devices.Open("cpu")).ToArray();
        Assert.That(values, Has.Length.EqualTo(3 * 8 * 8 * 3));
        Assert.That(values[..3], Is.EqualTo(new[] { -127 / 128f, -127 / 128f, (77 - 127) / 128f }));
        Assert.That(values[2 * 192], Is.EqualTo((2 - 127) / 128f));
        Assert.That(batch.OriginalSides, Is.EqualTo(new[] { 8f, 8f, 8f }));
        Assert.That(batch.Captions[1], Is.EqualTo(TinyDataset.Caption(1)));
    }

    [Test]
    public void Broken_and_missing_images_are_reported_counted_and_skipped()
    {
        using var data = new TinyDataset(30);
        File.WriteAllBytes(data["shard0.tar"], Spoilt(data["shard0.tar"]));
        File.Delete(data["shard2.tar"]);
        File.AppendAllLines(data["shard1.tsv"], ["shard1.tar\tnowhere.png\tx"]);
        var reports = new List<string>();
        DatasetOptions options = data.Options(4, buffer: 1) with
        {
            Report = message =>
            {
                lock (reports)
                    reports.Add(message);
            },
        };
        using var reader = new DatasetReader(options);
        var seen = new List<int>();
        while (reader.Next() is { } batch)
            seen.AddRange(Numbers(batch));
        Assert.That(seen, Is.EqualTo(new[] { 0, 1, 2, 3, 4, 6, 7, 8, 9 }.Concat(Enumerable.Range(10, 10))));
        Assert.That(reader.Statistics.Broken, Is.EqualTo(12));
        Assert.That(reader.Statistics.Read, Is.EqualTo(19));
        Assert.That(reports, Has.Some.Contains("00005.png in shard0.tar"));
        Assert.That(reports, Has.Some.Contains("nowhere.png in shard1.tar"));
        Assert.That(reports, Has.Count.LessThanOrEqualTo(14));
    }

    [Test]
    public void A_data_set_without_a_readable_image_is_an_error()
    {
        using var data = new TinyDataset(9);
        for (int shard = 0; shard < 3; shard++)
            File.WriteAllBytes(data[$"shard{shard}.tar"], []);
        using var reader = new DatasetReader(data.Options(4, epochs: int.MaxValue));
        Assert.That(() => reader.Next(), Throws.InstanceOf<MdmException>()
            .With.Message.Contains("nothing in").And.Message.Contains("9 broken").And.Message.Contains(".png"));
    }

    [Test]
    public void A_damaged_shard_is_an_error_only_if_there_is_no_other()
    {
        using var data = new TinyDataset(9);
        File.WriteAllText(data["shard0.tsv"], "tar\tfile\n");
        Assert.That(Read(data.Options(4)).Order(), Is.EqualTo(new[] { 3, 4, 5, 6, 7, 8 }));
        File.WriteAllText(data["shard1.tsv"], "tar\tfile\tcaption\nonly one value\n");
        File.WriteAllText(data["shard2.tsv"], "");
        Assert.That(() => Read(data.Options(4)), Throws.InstanceOf<MdmException>().With.Message.Contains("no samples"));
        File.Delete(data["shard2.tsv"]);
        Assert.That(() => Read(data.Options(4)), Throws.InstanceOf<MdmException>().With.Message.Contains("shard2.tsv"));
    }

    [Test]
    public void File_lists_that_cannot_be_used_are_errors()
    {
        using var data = new TinyDataset(3);
        File.WriteAllText(data["other.tsv"], "url\tcaption\nx\ty\n");
        Assert.That(() => Read(data.Options(4) with { FileList = data["nowhere.tsv"] }),
            Throws.InstanceOf<MdmException>().With.Message.Contains("nowhere.tsv"));
        Assert.That(() => Read(data.Options(4) with { FileList = data["other.tsv"] }),
            Throws.InstanceOf<MdmException>().With.Message.Contains("url").And.Message.Contains("filename"));
        Assert.That(() => Read(data.Options(4) with { FileList = "" }), Throws.InstanceOf<MdmException>());
        Assert.That(() => Read(data.Options(4) with { Reader = new ReaderConfig() }),
            Throws.InstanceOf<MdmException>().With.Message.Contains("image_size"));
    }

    [Test]
    public void A_single_shard_serves_as_a_file_list()
    {
        using var data = new TinyDataset(9);
        Assert.That(Read(data.Options(2) with { FileList = data["shard1.tsv"] }).Order(), Is.EqualTo(new[] { 3, 4, 5 }));
    }

    [Test]
    public void Over_long_captions_are_dropped_and_counted()
    {
        using var data = new TinyDataset(12, caption: i => i switch
        {
            4 => "a red circle above a blue square",
            7 => new string('x', 60),
            _ => TinyDataset.Caption(i),
        });
        DatasetOptions options = data.Options(4);
        options.Reader.MaxCaptionLength = 50;
        options.Reader.MaxTokenLength = 5;
        using var words = new WordTableTextModel(Devices.Open("cpu"), data.Vocabulary, 0, 8);
        options = options with { Tokenizer = new CaptionTokenizer(words.Tokenizer, options.Reader) };
        using var reader = new DatasetReader(options);
        var seen = new List<int>();
        while (reader.Next() is { } batch)
        {
            seen.AddRange(Numbers(batch));
            Assert.That(batch.Tokens, Has.All.Length.EqualTo(5)); // a, colour, kind, the space behind, </s>
        }

        Assert.That(seen.Order(), Is.EqualTo(new[] { 0, 1, 2, 3, 5, 6, 8, 9, 10, 11 }));
        Assert.That(reader.Statistics, Is.EqualTo(new ReaderStatistics(10, 1, 1, 0)));
    }

    [Test]
    public void Text_features_computed_beforehand_are_padded_masked_and_left_out_on_demand()
    {
        using var data = new TinyDataset(3, shards: 1);
        string[] lines = File.ReadAllLines(data["shard0.tsv"]);
        File.WriteAllLines(data["shard0.tsv"],
            [lines[0] + "\ttext_tar\ttext_file", .. lines.Skip(1).Select((line, i) => $"{line}\ttext.tar\t{i}.npy")]);
        using (var tar = new TarWriter(File.Create(data["text.tar"])))
        {
            TinyDataset.Add(tar, "0.npy", Npy(1, 2, [1, 2]));
            TinyDataset.Add(tar, "1.npy", Npy(3, 2, [3, 4, 5, 6, 7, 8]));
            TinyDataset.Add(tar, "2.npy", [1, 2, 3]);
        }

        using var reader = new DatasetReader(data.Options(2, buffer: 1) with { PrecomputedText = true });
        Batch batch = reader.Next()!;
        using Scope scope = Scope.Enter();
        TextFeatures text = batch.Features(Devices.Open("cpu"), [false, false]);
        Assert.That(text.Values.Shape, Is.EqualTo(new Shape(2, 3, 2)));
        Assert.That(text.Values.ToArray(), Is.EqualTo(new float[] { 1, 2, 0, 0, 0, 0, 3, 4, 5, 6, 7, 8 }));
        Assert.That(text.Mask!.ToArray(), Is.EqualTo(new float[] { 1, 0, 0, 1, 1, 1 }));
        TextFeatures dropped = batch.Features(Devices.Open("cpu"), [false, true]);
        Assert.That(dropped.Values.ToArray(), Is.EqualTo(new float[] { 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }));
        Assert.That(dropped.Mask!.ToArray(), Is.EqualTo(new float[] { 1, 0, 0, 0, 0, 0 }));
        Assert.That(reader.Next(), Is.Null);
        Assert.That(reader.Statistics.Broken, Is.EqualTo(1));
    }

    [Test]
    public void Batches_cross_epochs_and_the_last_one_may_be_left_out()
    {
        using var data = new TinyDataset(10);
        using var all = new DatasetReader(data.Options(4, epochs: 2));
        Assert.That(Sizes(all), Is.EqualTo(new[] { 4, 4, 4, 4, 4 }));
        using var part = new DatasetReader(data.Options(4, epochs: 1));
        Assert.That(Sizes(part), Is.EqualTo(new[] { 4, 4, 2 }));
        using var full = new DatasetReader(data.Options(4, epochs: 1) with { DropIncomplete = true });
        Assert.That(Sizes(full), Is.EqualTo(new[] { 4, 4 }));
    }

    [Test]
    public void A_cancelled_wait_ends_and_so_does_a_reader_nobody_reads_from()
    {
        using var data = new TinyDataset(10);
        using var reader = new DatasetReader(data.Options(4, epochs: int.MaxValue));
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.That(() => reader.Next(cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public void Random_crops_are_repeatable_and_keep_the_original_size()
    {
        using var data = new TinyDataset(6, shards: 1, side: 21);
        DatasetOptions options = data.Options(6, side: 8);
        options.Reader.RandomCrop = true;
        options.Reader.SmallerSideSize = 16;
        using var one = new DatasetReader(options);
        using var two = new DatasetReader(options);
        Batch batch = one.Next()!;
        Assert.That(batch.Pixels.ToArray(), Is.EqualTo(two.Next()!.Pixels.ToArray()));
        Assert.That(batch.OriginalSides, Has.All.EqualTo(21f));
    }

    [Test]
    public void The_cache_changes_speed_only()
    {
        using var data = new TinyDataset(20);
        Assert.That(Read(data.Options(4, epochs: 3) with { CacheBytes = 0 }), Is.EqualTo(Read(data.Options(4, epochs: 3))));
        ReaderThroughput speed = ReaderThroughput.Measure(data.Options(4, epochs: 50), TimeSpan.FromSeconds(5));
        Assert.That(speed.Samples, Is.EqualTo(1000));
        Assert.That(speed.SamplesPerSecond, Is.GreaterThan(0));
    }

    [Test]
    public void An_unforeseen_failure_of_a_worker_reaches_whoever_waits()
    {
        using var data = new TinyDataset(6);
        DatasetOptions options = data.Options(4);
        options = options with { Tokenizer = new CaptionTokenizer(new FailingTokenizer(), options.Reader) };
        using var reader = new DatasetReader(options);
        Assert.That(() => reader.Next(), Throws.InstanceOf<InvalidCastException>());
    }

    private static byte[] Npy(int tokens, int width, float[] values)
    {
        string header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({tokens}, {width}), }}\n";
        byte[] data = values.SelectMany(BitConverter.GetBytes).ToArray();
        return [0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, 0, .. Encoding.ASCII.GetBytes(header), .. data];
    }

    private static int[] Read(DatasetOptions options, ReaderPosition start = default)
    {
        using var reader = new DatasetReader(options, start);
        var order = new List<int>();
        while (reader.Next() is { } batch)
            order.AddRange(Numbers(batch));
        return [.. order];
    }

    private static IEnumerable<int> Numbers(Batch batch) =>
        Enumerable.Range(0, batch.Count).Select(i => TinyDataset.NumberOf(batch, i));

    private static List<int> Sizes(DatasetReader reader)
    {
        var sizes = new List<int>();
        while (reader.Next() is { } batch)
            sizes.Add(batch.Count);
        return sizes;
    }

    // Overwrites the middle of the sixth picture's data: entries are 512 bytes of header and one block of data each.
    private static byte[] Spoilt(byte[] tar)
    {
        Array.Fill(tar, (byte)0xAA, 5 * 1024 + 512 + 40, 16);
        return tar;
    }

    private static byte[] Spoilt(string path) => Spoilt(File.ReadAllBytes(path));

    private sealed class FailingTokenizer : ITokenizer
    {
        public int Size => 1;

        public int PadId => 0;

        public int EndId => 0;

        public int? UnknownId => null;

        public bool HasMeaning(int token) => true;

        public int[] Encode(string text) => text.Length == 1 ? [] : throw new InvalidCastException("not foreseen");
    }
}
