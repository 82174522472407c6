using Mdm.Model.Configuration;
using Mdm.Model.Text;

namespace Mdm.Model.Data;

/// <summary>What a <see cref="DatasetReader"/> reads, and how.</summary>
public sealed record DatasetOptions
{
    /// <summary>Index TSV, or a single shard TSV.</summary>
    public required string FileList { get; init; }

    /// <summary>Sizes, limits and buffers.</summary>
    public required ReaderConfig Reader { get; init; }

    public required int BatchSize { get; init; }

    /// <summary>Null: captions are not tokenised (a network without text, or text features computed beforehand).</summary>
    public CaptionTokenizer? Tokenizer { get; init; }

    /// <summary>Chooses the order and the random crops.</summary>
    public ulong Seed { get; init; }

    /// <summary>Passes over the data.</summary>
    public int Epochs { get; init; } = int.MaxValue;

    /// <summary>Leaves out a last batch that is not full.</summary>
    public bool DropIncomplete { get; init; } = true;

    /// <summary>Reads text features from the columns <c>text_tar</c> and <c>text_file</c>.</summary>
    public bool PrecomputedText { get; init; }

    /// <summary>Which part of the data to read, of <see cref="Partitions"/>.</summary>
    public int Partition { get; init; }

    /// <summary>How many parts the data are read in, by as many readers.</summary>
    public int Partitions { get; init; } = 1;

    /// <summary>Bytes of resized images kept in memory, so that small data sets are decoded once; 0: none.</summary>
    public long CacheBytes { get; init; } = 512L << 20;

    /// <summary>Told of broken shards and images, a line each, not of every one where there are many; may be called on a
    /// thread of the reader.</summary>
    public Action<string> Report { get; init; } = _ => { };
}

/// <summary>What has become of the samples so far.</summary>
/// <param name="Read">In batches.</param>
/// <param name="LongCaptions">Dropped for more than <c>max_caption_length</c> characters.</param>
/// <param name="LongTokens">Dropped for more than <c>max_token_length</c> tokens.</param>
/// <param name="Broken">Skipped because the image or the text features are missing or damaged.</param>
public sealed record ReaderStatistics(long Read, long LongCaptions, long LongTokens, long Broken)
{
    /// <summary>All samples looked at.</summary>
    public long Total => Read + LongCaptions + LongTokens + Broken;

    public override string ToString()
    {
        string text = $"{Read} samples read";
        if (LongCaptions > 0)
            text += $", {LongCaptions} dropped (caption longer than max_caption_length)";
        if (LongTokens > 0)
            text += $", {LongTokens} dropped (more tokens than max_token_length)";
        return Broken > 0 ? $"{text}, {Broken} broken or missing" : text;
    }
}
