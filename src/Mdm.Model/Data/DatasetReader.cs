using System.Collections.Concurrent;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Text;

namespace Mdm.Model.Data;

/// <summary>
/// Batches of images and captions from a data set, read ahead on worker threads. The batches depend on the data, the seed and
/// the position alone, whatever the number of threads: one thread plans the order, workers load samples in parallel, and
/// <see cref="Next"/> puts the results together in the planned order, leaving out what could not be used.
/// </summary>
public sealed class DatasetReader : IDisposable
{
    /// <summary>Samples read ahead take at most this much memory, whatever reader_buffer_size says.</summary>
    private const long ReadAheadBytes = 256L << 20;

    /// <summary>So many broken samples are reported one by one, then every thousandth.</summary>
    private const int FirstReports = 10, ReportEvery = 1000;

    private readonly DatasetOptions _options;
    private readonly ShardList _shards;
    private readonly ArchiveCache _archives = new();
    private readonly SampleLoader _loader;
    private readonly BlockingCollection<Slot> _ordered;
    private readonly BlockingCollection<Slot> _work = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Thread> _threads = [];
    private Exception? _planningError;
    private string? _firstProblem;
    private long _readThisEpoch;
    private int _epoch;
    private bool _epochIsWhole;

    /// <param name="options">What to read.</param>
    /// <param name="start">Where to go on; the default is the beginning.</param>
    /// <exception cref="MdmException">The file list cannot be read, or a setting is missing.</exception>
    public DatasetReader(DatasetOptions options, ReaderPosition start = default)
    {
        ReaderConfig reader = options.Reader;
        if (reader.ImageSize < 1)
            throw new MdmException($"reader_config.image_size is {reader.ImageSize}, expected the side of the images in pixels");
        if (reader.SmallerSide < reader.ImageSize)
            throw new MdmException(
                $"reader_config.smaller_side_size is {reader.SmallerSide}, expected at least image_size ({reader.ImageSize})");
        _options = options;
        _shards = new ShardList(options.FileList, options.Partition, options.Partitions, options.Report);
        _loader = new SampleLoader(options, _shards, _archives);
        Position = start;
        _epoch = start.Epoch;
        _epochIsWhole = start.Sample == 0;

        long sampleBytes = 3L * reader.ImageSize * reader.ImageSize;
        long ahead = Math.Min((long)reader.ReaderBufferSize * options.BatchSize, ReadAheadBytes / sampleBytes);
        _ordered = new BlockingCollection<Slot>((int)Math.Clamp(ahead, options.BatchSize, 1 << 20));
        int workers = Math.Clamp(reader.NumReaders, 1, Environment.ProcessorCount);
        _threads.Add(new Thread(() => Plan(start)) { IsBackground = true, Name = "reader plan" });
        for (int i = 0; i < workers; i++)
            _threads.Add(new Thread(Work) { IsBackground = true, Name = $"reader {i}" });
        foreach (Thread thread in _threads)
            thread.Start();
    }

    /// <summary>Where reading goes on behind the last batch.</summary>
    public ReaderPosition Position { get; private set; }

    /// <summary>What has become of the samples so far; read it on the thread that calls <see cref="Next"/>.</summary>
    public ReaderStatistics Statistics { get; private set; } = new(0, 0, 0, 0);

    /// <summary>The next batch; null when all epochs are over. After a cancelled call the reader is of no further use; a new
    /// one goes on at <see cref="Position"/>.</summary>
    /// <exception cref="MdmException">Nothing in the data set can be read.</exception>
    public Batch? Next(CancellationToken cancellation = default)
    {
        var samples = new List<LoadedSample>(_options.BatchSize);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stop.Token);
        ReaderPosition position = Position;
        while (samples.Count < _options.BatchSize && Take(either.Token) is { } slot)
        {
            LoadResult result = slot.Done.WaitAsync(either.Token).GetAwaiter().GetResult();
            BeginEpoch(slot.Sample.Position.Epoch);
            position = slot.Sample.Position;
            if (Judge(result) is { } sample)
                samples.Add(sample);
        }

        bool ended = samples.Count < _options.BatchSize;
        if (ended)
            RequireSomethingRead();
        if (samples.Count == 0 || (ended && _options.DropIncomplete))
            return null;
        Position = position;
        return new Batch(samples, _options.Reader.ImageSize, position);
    }

    public void Dispose()
    {
        _stop.Cancel();
        foreach (Thread thread in _threads)
            thread.Join();
        _archives.Dispose();
        _ordered.Dispose();
        _work.Dispose();
        _stop.Dispose();
    }

    /// <summary>The next planned sample in order, or null at the end.</summary>
    private Slot? Take(CancellationToken cancellation)
    {
        if (_ordered.TryTake(out Slot? slot, Timeout.Infinite, cancellation))
            return slot;
        if (_planningError is MdmException known)
            throw new MdmException(known.Message, known);
        if (_planningError != null)
            throw new InvalidOperationException($"reading {_shards.Path} failed: {_planningError.Message}", _planningError);
        return null;
    }

    private LoadedSample? Judge(LoadResult result)
    {
        Statistics = result switch
        {
            { Sample: not null } => Statistics with { Read = Statistics.Read + 1 },
            { Fate: CaptionFate.TooManyCharacters } => Statistics with { LongCaptions = Statistics.LongCaptions + 1 },
            { Fate: CaptionFate.TooManyTokens } => Statistics with { LongTokens = Statistics.LongTokens + 1 },
            _ => Statistics with { Broken = Statistics.Broken + 1 },
        };
        if (result.Sample != null)
            _readThisEpoch++;
        if (result.Problem is { } problem)
            ReportBroken(problem);
        return result.Sample;
    }

    private void ReportBroken(string problem)
    {
        _firstProblem ??= problem;
        if (Statistics.Broken <= FirstReports)
            _options.Report($"skipped {problem}");
        else if (Statistics.Broken % ReportEvery == 0)
            _options.Report($"{Statistics.Broken} broken or missing samples so far; the last: {problem}");
    }

    private void BeginEpoch(int epoch)
    {
        if (epoch == _epoch)
            return;
        RequireSomethingRead();
        (_epoch, _epochIsWhole, _readThisEpoch) = (epoch, true, 0);
    }

    // A pass without a single usable sample would be followed by another such pass, for ever.
    private void RequireSomethingRead()
    {
        if (!_epochIsWhole || _readThisEpoch > 0 || Statistics.Total == 0)
            return;
        string first = _firstProblem == null ? "" : $"; the first problem: {_firstProblem}";
        throw new MdmException($"nothing in {_shards.Path} can be used: {Statistics}{first}");
    }

    private void Plan(ReaderPosition start)
    {
        try
        {
            var order = new SampleOrder(_shards, _options.Seed, _options.Reader.ShuffleBufferSize, _options.Epochs, start);
            foreach (PlannedSample sample in order.Samples())
            {
                var slot = new Slot(sample);
                _ordered.Add(slot, _stop.Token);
                _work.Add(slot, _stop.Token);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Disposed while reading ahead.
        }
        catch (Exception e)
        {
            _planningError = e;
        }
        finally
        {
            _work.CompleteAdding();
            _ordered.CompleteAdding();
        }
    }

    private void Work()
    {
        try
        {
            foreach (Slot slot in _work.GetConsumingEnumerable(_stop.Token))
                slot.Run(_loader);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Disposed while waiting for work.
        }
    }

    /// <summary>A planned sample on its way through the workers.</summary>
    private sealed class Slot(PlannedSample sample)
    {
        private readonly TaskCompletionSource<LoadResult> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public PlannedSample Sample => sample;

        public Task<LoadResult> Done => _done.Task;

        public void Run(SampleLoader loader)
        {
            try
            {
                _done.SetResult(loader.Load(sample));
            }
            catch (Exception e)
            {
                // Not the sample's fault (memory, a mistake of ours): whoever waits for the batch must see it.
                _done.SetException(e);
            }
        }
    }
}
