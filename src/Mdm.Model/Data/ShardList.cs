using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Data;

/// <summary>The shards of a data set and the samples in them, or one part of them where several machines share the
/// work.</summary>
internal sealed class ShardList
{
    private readonly CaptionIndex _index;
    private readonly int _partition;
    private readonly int _partitions;
    private readonly Action<string> _report;
    private readonly bool _bySamples;

    /// <param name="path">An index TSV or a single shard TSV.</param>
    /// <param name="partition">Which part to read, from 0.</param>
    /// <param name="partitions">How many parts there are: every shard belongs to one of them; with fewer shards than parts
    /// every sample does.</param>
    /// <param name="report">Told of shards that cannot be read.</param>
    /// <exception cref="MdmException">The index cannot be read.</exception>
    public ShardList(string path, int partition, int partitions, Action<string> report)
    {
        if (path.Length == 0)
            throw new MdmException("file_list is not set: give the index TSV of the training data");
        (Path, _partition, _partitions, _report) = (path, partition, partitions, report);
        _index = CaptionIndex.Read(path);
        _bySamples = _index.Shards.Count < partitions;
        Shards = _bySamples ? _index.Shards : _index.Shards.Where((_, i) => i % partitions == partition).ToArray();
    }

    /// <summary>The index, as the user named it.</summary>
    public string Path { get; }

    /// <summary>This partition's shards.</summary>
    public IReadOnlyList<string> Shards { get; }

    /// <summary>For messages: which partition this is, if there are several.</summary>
    public string OfPartition => _partitions == 1 ? "" : $" (partition {_partition} of {_partitions})";

    /// <summary>Where a file is that a shard names.</summary>
    /// <exception cref="MdmException">It is nowhere.</exception>
    public string Resolve(string path) => _index.Resolve(path);

    /// <summary>This partition's samples of one shard in the file's order. A shard that cannot be read is reported and has
    /// none.</summary>
    public IEnumerable<CaptionSample> Samples(string shard)
    {
        try
        {
            IReadOnlyList<CaptionSample> samples = _index.Samples(shard);
            return _bySamples ? samples.Where((_, i) => i % _partitions == _partition) : samples;
        }
        catch (MdmException e)
        {
            _report($"{e.Message}; this shard is skipped");
            return [];
        }
    }
}
