using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Model.Shapes;
using Mdm.Model.Text;

namespace Mdm.Bench;

/// <summary>Samples per second of the data reader on a data set of shapes, made for the purpose: decoding every image, and from
/// memory once all have been decoded. Training must never wait for it.</summary>
internal static class ReaderBench
{
    private const int Images = 10000, Batch = 32;

    public static IEnumerable<Result> Run()
    {
        string folder = Directory.CreateTempSubdirectory("mdm-bench").FullName;
        try
        {
            foreach (int size in (int[])[32, 64])
            {
                ShapesDatasetFiles files = ShapesDataset.Write(Path.Combine(folder, $"{size}"),
                    new ShapesDatasetOptions { Count = Images, ValidationCount = 0, ImageSize = size });
                yield return Measure($"{size}x{size} PNG, decoded every time", files, size, cacheBytes: 0);
                yield return Measure($"{size}x{size} PNG, kept in memory", files, size, cacheBytes: 1L << 30);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Result Measure(string name, ShapesDatasetFiles files, int size, long cacheBytes)
    {
        var config = new ReaderConfig { ImageSize = size };
        var options = new DatasetOptions
        {
            FileList = files.TrainingIndex,
            Reader = config,
            BatchSize = Batch,
            Tokenizer = new CaptionTokenizer(VocabTokenizer.Load(files.Vocabulary), config),
            Epochs = 1000,
            CacheBytes = cacheBytes,
        };
        ReaderThroughput found = ReaderThroughput.Measure(options, TimeSpan.FromSeconds(5));
        return new Result("reader", name, found.SamplesPerSecond, "images/s", double.NaN);
    }
}
