using System.Formats.Tar;
using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Tests.Data;

/// <summary>A data set in a folder of its own: solid images whose red and green say which sample they are, captions that do
/// too, spread over shards.</summary>
internal sealed class TinyDataset : IDisposable
{
    private static readonly string[] Colours = ["red", "green", "blue"], Kinds = ["circle", "square"];
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("mdm-data-");

    public TinyDataset(int samples, int shards = 3, int side = 8, Func<int, string>? caption = null)
    {
        caption ??= Caption;
        File.WriteAllLines(Index, ["filename", .. Enumerable.Range(0, shards).Select(s => $"shard{s}.tsv")]);
        for (int shard = 0; shard < shards; shard++)
        {
            int[] own = Enumerable.Range(0, samples).Where(i => i * shards / samples == shard).ToArray();
            File.WriteAllLines(this[$"shard{shard}.tsv"],
                ["tar\tfile\tcaption", .. own.Select(i => $"shard{shard}.tar\t{i:D5}.png\t{caption(i)}")]);
            using var tar = new TarWriter(File.Create(this[$"shard{shard}.tar"]));
            foreach (int i in own)
                Add(tar, $"{i:D5}.png", PngWriter.Encode(Picture(i, side)));
        }

        string[] words = ["\u2581a", .. Colours.Concat(Kinds).Append("above").Select(w => "\u2581" + w), "\u2581"];
        File.WriteAllLines(Vocabulary, new[] { "<pad>\t0.0", "</s>\t0.0" }.Concat(words.Select(w => w + "\t-1.0")));
    }

    public string this[string name] => Path.Combine(_folder.FullName, name);

    public string Index => this["index.tsv"];

    public string Vocabulary => this["words.vocab"];

    /// <summary>Which sample's image this pixel comes from.</summary>
    public static int NumberOf(Batch batch, int i)
    {
        int at = i * batch.Side * batch.Side * 3;
        return batch.Pixels[at] + 256 * batch.Pixels[at + 1];
    }

    public static string Caption(int i) => $"a {Colours[i % 3]} {Kinds[i / 3 % 2]}";

    public static Image Picture(int i, int side)
    {
        var image = new Image(side, side);
        for (int p = 0; p < side * side; p++)
            (image.Rgb[3 * p], image.Rgb[3 * p + 1], image.Rgb[3 * p + 2]) = ((byte)i, (byte)(i >> 8), 77);
        return image;
    }

    public static void Add(TarWriter tar, string name, byte[] bytes) =>
        tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(bytes) });

    public DatasetOptions Options(
        int batch, int epochs = 1, int readers = 2, ulong seed = 1, int buffer = 1000, int side = 8) => new()
        {
            FileList = Index,
            Reader = new ReaderConfig { ImageSize = side, NumReaders = readers, ShuffleBufferSize = buffer, ReaderBufferSize = 4 },
            BatchSize = batch,
            Seed = seed,
            Epochs = epochs,
            DropIncomplete = false,
        };

    public void Dispose() => _folder.Delete(recursive: true);
}
