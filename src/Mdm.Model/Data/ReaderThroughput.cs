using System.Diagnostics;

namespace Mdm.Model.Data;

/// <summary>How fast a data set is read.</summary>
/// <param name="Samples">Samples in the batches that were taken.</param>
/// <param name="Time">From the first request to the last batch.</param>
/// <param name="Statistics">What became of the samples.</param>
public sealed record ReaderThroughput(long Samples, TimeSpan Time, ReaderStatistics Statistics)
{
    public double SamplesPerSecond => Samples / Math.Max(Time.TotalSeconds, 1e-9);

    /// <summary>Takes batches as fast as they come for about the given time, or until the data ends.</summary>
    public static ReaderThroughput Measure(DatasetOptions options, TimeSpan time)
    {
        var clock = Stopwatch.StartNew();
        using var reader = new DatasetReader(options);
        long samples = 0;
        while (clock.Elapsed < time && reader.Next() is { } batch)
            samples += batch.Count;
        return new ReaderThroughput(samples, clock.Elapsed, reader.Statistics);
    }
}
