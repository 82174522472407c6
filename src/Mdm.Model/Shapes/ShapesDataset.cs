using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Shapes;

/// <summary>What data set to write.</summary>
public sealed record ShapesDatasetOptions
{
    /// <summary>Training images.</summary>
    public int Count { get; init; } = 5000;

    /// <summary>Validation images, with held-out combinations where something is held out.</summary>
    public int ValidationCount { get; init; } = 200;

    /// <summary>Width and height of the images in pixels, 8 to 1024.</summary>
    public int ImageSize { get; init; } = 32;

    /// <summary>Chooses the scenes.</summary>
    public ulong Seed { get; init; }

    /// <summary>Images in one archive.</summary>
    public int ShardSize { get; init; } = 5000;

    /// <summary>What scenes to draw.</summary>
    public ShapeOptions Scenes { get; init; } = new();

    /// <exception cref="MdmException">A number is out of its range.</exception>
    public void Check()
    {
        Check("number of training images", Count, 1, 10_000_000);
        Check("number of validation images", ValidationCount, 0, 1_000_000);
        Check("image size", ImageSize, 8, 1024);
        Check("number of images in an archive", ShardSize, 1, 1_000_000);
        Scenes.Check();
    }

    private static void Check(string name, int value, int least, int most)
    {
        if (value < least || value > most)
            throw new MdmException($"shapes: the {name} is {value}; it must be between {least} and {most}");
    }
}

/// <summary>The files of a data set that a configuration names.</summary>
/// <param name="TrainingIndex">Lists the training shards.</param>
/// <param name="ValidationIndex">Lists the validation shards.</param>
/// <param name="Vocabulary">The tokens of the captions.</param>
public sealed record ShapesDatasetFiles(string TrainingIndex, string ValidationIndex, string Vocabulary);

/// <summary>Writes drawn shapes as a captioned data set: archives of PNGs, a table (tar, file, caption) for each, an index
/// table (filename) over those, and a vocabulary.</summary>
public static class ShapesDataset
{
    private const char Space = '\u2581';

    /// <summary>Writes <c>training.tsv</c>, <c>validation.tsv</c>, <c>shapes.vocab</c> and what the tables refer to into a
    /// folder, which is made if need be. The same options give the same bytes.</summary>
    /// <param name="progress">Told the number of images done and the number of all, from any thread, in no strict order.</param>
    /// <param name="cancel">Stops between images; indexes are written last, so earlier ones stay as they were.</param>
    /// <exception cref="MdmException">An option is out of its range, or the folder cannot be written.</exception>
    public static ShapesDatasetFiles Write(
        string folder, ShapesDatasetOptions options, Action<int, int>? progress = null, CancellationToken cancel = default)
    {
        options.Check();
        var generator = new ShapeGenerator(options.Seed, options.Scenes);
        int total = options.Count + options.ValidationCount, done = 0;
        void Report() => progress?.Invoke(Interlocked.Increment(ref done), total);

        ShapeSample Validation(long index) => options.Scenes.HoldOut > 0
            ? generator.HeldOutSample(index)
            : generator.Sample(options.Count + index);
        string training = WriteSplit(folder, "training", options, options.Count, generator.Sample, Report, cancel);
        string validation = WriteSplit(folder, "validation", options, options.ValidationCount, Validation, Report, cancel);
        var files = new ShapesDatasetFiles(
            Path.Combine(folder, "training.tsv"), Path.Combine(folder, "validation.tsv"), Path.Combine(folder, "shapes.vocab"));
        AtomicFile.WriteText(files.Vocabulary, Vocabulary());
        AtomicFile.WriteText(files.TrainingIndex, training);
        AtomicFile.WriteText(files.ValidationIndex, validation);
        return files;
    }

    /// <summary>The vocabulary in the form "token TAB log-probability": padding, end and unknown, then each word with the space
    /// before it. A caption of the grammar is one token a word; a word of no caption is no token at all.</summary>
    public static string Vocabulary()
    {
        var text = new StringBuilder();
        foreach (string special in (string[])["<pad>", "</s>", "<unk>"])
            text.Append(special).Append("\t0.00000\n");
        string score = (-Math.Log(CaptionWriter.Vocabulary.Count)).ToString("F5");
        foreach (string word in CaptionWriter.Vocabulary)
            text.Append(Space).Append(word).Append('\t').Append(score).Append('\n');
        return text.ToString();
    }

    /// <summary>Writes the shards of one split; the text of its index.</summary>
    private static string WriteSplit(
        string folder, string split, ShapesDatasetOptions options, int count, Func<long, ShapeSample> sample, Action report,
        CancellationToken cancel)
    {
        var index = new StringBuilder("filename\n");
        for (int shard = 0; (long)shard * options.ShardSize < count; shard++)
        {
            string name = $"{split}-{shard:D5}";
            int first = shard * options.ShardSize, length = Math.Min(options.ShardSize, count - first);
            (byte[] Png, string Caption)[] images = Draw(first, length, options.ImageSize, sample, report, cancel);
            AtomicFile.Write(Path.Combine(folder, name + ".tar"), stream => WriteArchive(stream, split, first, images));
            AtomicFile.WriteText(Path.Combine(folder, name + ".tsv"), Table(name + ".tar", split, first, images));
            index.Append(name).Append(".tsv\n");
        }

        return index.ToString();
    }

    private static (byte[] Png, string Caption)[] Draw(
        int first, int length, int size, Func<long, ShapeSample> sample, Action report, CancellationToken cancel)
    {
        var images = new (byte[], string)[length];
        Parallel.For(0, length, new ParallelOptions { CancellationToken = cancel }, i =>
        {
            ShapeSample drawn = sample(first + i);
            images[i] = (PngWriter.Encode(new Image(size, size, ShapeRenderer.Draw(drawn.Scene, size))), drawn.Caption);
            report();
        });
        return images;
    }

    private static void WriteArchive(Stream stream, string split, int first, (byte[] Png, string Caption)[] images)
    {
        using var tar = new TarWriter(stream);
        for (int i = 0; i < images.Length; i++)
            tar.Add(FileName(split, first + i), images[i].Png);
    }

    private static string Table(string tar, string split, int first, (byte[] Png, string Caption)[] images)
    {
        var table = new StringBuilder("tar\tfile\tcaption\n");
        for (int i = 0; i < images.Length; i++)
            table.Append(tar).Append('\t').Append(FileName(split, first + i)).Append('\t').Append(images[i].Caption).Append('\n');
        return table.ToString();
    }

    private static string FileName(string split, int index) => $"{split}-{index:D7}.png";
}
