using System.Diagnostics;
using System.Security.Cryptography;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Tensors;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Training;

/// <summary>
/// Trains a network: batch, text features, loss, backward, clipping, Adam, moving average; logs, checkpoints, and everything
/// needed to go on after a stop as if there had been none.
/// </summary>
public sealed class Trainer : IDisposable
{
    /// <summary>Philox streams of a run, all keyed by its seed.</summary>
    private const ulong NoiseStream = 0x006E_6F69_7365, DropoutStream = 0x6472_6F70, CaptionStream = 0x6361_7074;

    /// <summary>So many updates in a row without a finite loss end the run: nothing will mend it.</summary>
    private const int HopelessSkips = 50;

    private readonly ProgramConfig _config;
    private readonly TrainerOptions _options;
    private readonly IDevice _device;
    private readonly ITextModel? _text;
    private readonly DenoisingNetwork _network;
    private readonly DiffusionLoss _loss;
    private readonly GradientPass _pass;
    private readonly Tensor _losses;
    private readonly Adam _adam;
    private readonly LearningRate _learningRate;
    private readonly CheckpointWriter _checkpoints;
    private readonly CaptionTokenizer? _tokenizer;
    private readonly TextArray? _emptyText;
    private readonly RandomStream _noise;
    private readonly RandomStream _dropout;
    private PhiloxSequence _captionDrop;
    private TrainingProgress _progress;
    private long _adamSteps;
    private long _adamSkipped;
    private int _skippedInARow;
    private (long Step, string Path)? _saved;

    /// <summary>Builds the text model and the network that a configuration describes, and loads the weights it starts
    /// from.</summary>
    /// <param name="config">The run's settings; left as it is.</param>
    /// <param name="device">Where to train.</param>
    /// <param name="options">Resuming, time limit, observer.</param>
    /// <exception cref="MdmException">Something in the configuration or the files it names does not work.</exception>
    public Trainer(ProgramConfig config, IDevice device, TrainerOptions options)
    {
        if (config.OutputDir.Length == 0)
            throw new MdmException("output_dir is not set: name the folder for checkpoints and logs");
        (_config, _device, _options) = (config.Clone(), device, options);
        ulong seed = config.Seed >= 0 ? (ulong)config.Seed : BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) >> 1;
        _learningRate = new LearningRate(config.Lr, config.WarmupSteps, config.LrSchedule, config.NumTrainingSteps);
        try
        {
            _text = TextModels.Create(config, device, share => options.Loading?.Invoke(TextModels.Loading, share));
            _network = NetworkBuilder.Build(config.UnetConfig, TextModels.Width(config, _text));
            _network.GradientCheckpointing = config.GradientCheckpointing;
            _loss = new DiffusionLoss(new DiffusionProcess(_config.DiffusionConfig, _network.NestRatios));
            _tokenizer = _text == null ? null : new CaptionTokenizer(_text.Tokenizer, config.ReaderConfig);
            _emptyText = config is { UsePrecomputedTextEmbeddings: true, FileList.Length: > 0 }
                ? TextEmbedding.EmptyOf(config.FileList)
                : null;
            _checkpoints = new CheckpointWriter(_config, _text);
            _adam = Place(device, seed);
            _pass = new GradientPass(_network, _loss, config.LossFactor, config.UseGraphs);
            _losses = Scope.Detach(Tensor.Empty(device, new Shape(config.NumGradientAccumulations)));
            _progress = Start(seed);
            (_adamSteps, _adamSkipped, _) = _adam.Read();
        }
        catch
        {
            Dispose();
            throw;
        }

        _noise = At(new RandomStream(_progress.Seed, NoiseStream), _progress.Noise);
        _dropout = At(new RandomStream(_progress.Seed, DropoutStream), _progress.Dropout);
        _captionDrop = new PhiloxSequence(_progress.Seed, CaptionStream, _progress.CaptionDrop);
    }

    public DenoisingNetwork Network => _network;

    /// <summary>The optimiser, with the averaged weights.</summary>
    public Adam Optimizer => _adam;

    /// <summary>The text model; null for a network without text or with features computed beforehand.</summary>
    public ITextModel? Text => _text;

    /// <summary>Where the run is.</summary>
    public TrainingProgress Progress => _progress;

    /// <summary>Trains until all steps are made, the time or the data is used up, or the token is cancelled; writes a
    /// checkpoint at the end in each of these cases.</summary>
    /// <exception cref="MdmException">The data cannot be read, a final file cannot be written, or the loss stays not a
    /// number.</exception>
    public TrainingResult Run(CancellationToken cancellation = default)
    {
        AtomicFile.CreateFolder(_config.OutputDir);
        var log = new TrainingLog(_config.OutputDir, _progress.Step, _options.Observer.Warning);
        using var reader = new DatasetReader(DataOptions(), _progress.Data);
        var pace = new Pace(_config, _options.TimeLimit, _progress.Step, _progress.Elapsed);
        StopReason reason;
        while (!MustStop(pace, cancellation, out reason))
        {
            if (Step(reader, pace) is not { } report)
            {
                reason = StopReason.EndOfData;
                break;
            }

            if (report.Logged)
                log.Write(report, _progress.Skipped);
            _options.Observer.StepDone(report);
            RequireHope(report);
            // Several skipped steps in a row are weights gone wrong: the last good state is worth more than theirs.
            if (_skippedInARow < 2 && pace.TimeToSave(report.Step))
                TrySave(pace);
        }

        if (_progress.Step == 0 && reason == StopReason.EndOfData)
        {
            throw new MdmException(
                $"{_config.FileList} has too few samples for a batch of {_config.BatchSize}: {reader.Statistics}");
        }

        _progress = _progress with { Elapsed = pace.Elapsed };
        return new TrainingResult(_progress.Step, reason, Save(), _progress.Running, reader.Statistics);
    }

    public void Dispose()
    {
        // A constructor that fails ends here too, with whatever there was by then.
        _pass?.Dispose();
        _losses?.Dispose();
        _adam?.Dispose();
        _network?.Dispose();
        _text?.Dispose();
    }

    private Adam Place(IDevice device, ulong seed)
    {
        DType type = Devices.ComputeType(device, _config.Fp16);
        try
        {
            _network.Store.Place(device, training: true, seed, type);
            return new Adam(_network.Store, new AdamOptions(
                0.9f, 0.999f, 1e-8f, 0, _config.UseAdamw, (float)_config.GradientClipNorm, 1));
        }
        catch (OutOfDeviceMemoryException e)
        {
            // Value, gradient, two moments and the average of each, and for bfloat16 the copy that products read.
            int each = 5 * sizeof(float) + (type == DType.BFloat16 ? type.Size() : 0);
            throw e.For($"training: the network's {_network.Store.Size(each)} with gradients, moments and averages",
                "freeze_inner_unet spares those of the inner network; else end other programs or use a device with more memory");
        }
    }

    private TrainingProgress Start(ulong seed)
    {
        string state = Path.Combine(_config.OutputDir, TrainingState.FileName);
        var identity = RunIdentity.Of(_config);
        if (_options.Resume && File.Exists(state))
        {
            TrainingProgress progress = TrainingState.Load(
                state, _network.Store, _adam, share => _options.Loading?.Invoke($"loading {TrainingState.FileName}", share));
            progress.Identity.RequireFit(identity, _options.Observer.Warning);
            if (_config.Seed >= 0 && (ulong)_config.Seed != progress.Seed)
                _options.Observer.Warning($"seed is {_config.Seed}, {progress.Seed} in the run so far, which keeps its own");
            return progress with { Identity = identity };
        }

        if (_options.Resume)
            _options.Observer.Warning($"there is no {state} to go on from; training starts at step 0");
        bool ownAverage = PretrainedWeights.Load(_config, _network, _adam.Ema, _options.Observer.Warning, _options.Loading);
        if (!ownAverage)
            _adam.ResetEma();
        return new TrainingProgress(seed, 0, 0, 0, 0, 0, default, TimeSpan.Zero, RunningLoss.None, identity);
    }

    private DatasetOptions DataOptions() => new()
    {
        FileList = _config.FileList,
        Reader = _config.ReaderConfig,
        BatchSize = _config.BatchSize,
        Tokenizer = _tokenizer,
        Seed = _progress.Seed,
        Epochs = _config.NumEpochs,
        PrecomputedText = _config.UsePrecomputedTextEmbeddings,
        CacheBytes = _options.CacheBytes,
        Report = _options.Observer.Warning,
    };

    private bool MustStop(Pace pace, CancellationToken cancellation, out StopReason reason)
    {
        reason = cancellation.IsCancellationRequested ? StopReason.Cancelled
            : pace.TimeIsUp ? StopReason.TimeUp
            : StopReason.AllSteps;
        return reason != StopReason.AllSteps || _progress.Step >= _config.NumTrainingSteps;
    }

    /// <summary>One update; null when the data has ended. It runs to its end even if the run is cancelled meanwhile, so that
    /// the state always lies between two updates.</summary>
    private StepReport? Step(DatasetReader reader, Pace pace)
    {
        long began = Stopwatch.GetTimestamp();
        int parts = _config.NumGradientAccumulations, images = 0;
        _network.Store.ZeroGradients();
        for (int part = 0; part < parts; part++)
        {
            if (reader.Next() is not { } batch)
                return null;
            images += batch.Count;
            try
            {
                Accumulate(batch, part);
            }
            catch (OutOfDeviceMemoryException e)
            {
                throw e.For($"not enough memory for a training step of {batch.Count} pictures",
                    (_config.GradientCheckpointing ? "" : "turn on gradient_checkpointing, or ")
                    + "lower batch_size; num_gradient_accumulations makes up for it");
            }

        }

        long number = _progress.Step;
        double rate = (_learningRate with { TotalSteps = pace.ExpectedSteps(number) }).At(number);
        bool skipped = !Update(rate, parts, out double loss, out double norm);
        _skippedInARow = skipped ? _skippedInARow + 1 : 0;
        bool logged = (number + 1) % _config.LogFreq == 0;
        pace.Count(images, logged);
        _progress = _progress with
        {
            Step = number + 1,
            Skipped = _progress.Skipped + (skipped ? 1 : 0),
            Noise = _noise.Position,
            Dropout = _dropout.Position,
            CaptionDrop = _captionDrop.Position,
            Data = reader.Position,
            Elapsed = pace.Elapsed,
            Running = skipped ? _progress.Running : _progress.Running.With(loss),
        };
        return new StepReport(number + 1, _config.NumTrainingSteps, loss, _progress.Running, rate, norm, skipped,
            pace.ImagesPerSecond, Stopwatch.GetElapsedTime(began), pace.Elapsed, pace.Left(number + 1), logged);
    }

    /// <summary>Adds a batch's gradients to those in the store and notes its loss.</summary>
    private void Accumulate(Batch batch, int part)
    {
        RandomStream? outside = RandomStream.Current;
        RandomStream.Current = _dropout;
        try
        {
            using Scope scope = Scope.Enter();
            var micros = new Dictionary<string, Tensor> { ["scale"] = batch.Scales(_device) };
            Tensor loss = _pass.Add(_loss.Prepare(batch.Images(_device), TextFeatures(batch), micros, _noise));
            _device.Kernels.LinearCombination(1, 1, loss.Ptr, 0, Ptr.None, new Target(_losses.Ptr + part, false));
        }
        finally
        {
            RandomStream.Current = outside;
        }
    }

    private TextFeatures? TextFeatures(Batch batch)
    {
        if (_network.TextWidth == 0)
            return null;
        bool[] dropped = new bool[batch.Count];
        for (int i = 0; i < dropped.Length && _config.CondDropProb > 0; i++)
            dropped[i] = _captionDrop.Uniform() < _config.CondDropProb;
        if (_text == null)
            return batch.Features(_device, dropped, _emptyText);
        int[][] tokens = batch.Tokens.Select((own, i) => dropped[i] ? _tokenizer!.Empty : own).ToArray();
        return _text.Encode(tokens, _tokenizer!.PaddedLength);
    }

    /// <summary>Lets the optimiser make its step, which it does not if something is not finite: then false. This is the one
    /// place where a step waits for the device.</summary>
    private bool Update(double rate, int parts, out double loss, out double norm)
    {
        _adam.Step(rate, EmaDecay(), 1f / parts);
        long before = _adamSkipped;
        (_adamSteps, _adamSkipped, double summed) = _adam.Read();
        norm = summed / parts;
        loss = 0;
        foreach (float part in _losses.ToArray())
            loss += (double)part / parts;
        return _adamSkipped == before;
    }

    // With the warm-up the average follows quickly at first: (1+n)/(10+n) after n updates.
    private double EmaDecay() =>
        _config.EmaWarmup ? Math.Min(_config.EmaDecay, (1.0 + _adamSteps) / (10 + _adamSteps)) : _config.EmaDecay;

    private void RequireHope(StepReport report)
    {
        if (report.Skipped && _skippedInARow == 1)
            _options.Observer.Warning($"step {report.Step}: the loss or a gradient is not a finite number; the step is skipped");
        if (_skippedInARow >= HopelessSkips)
        {
            throw new MdmException(
                $"the loss was not a finite number in {_skippedInARow} steps in a row (up to step {report.Step}): the learning "
                + $"rate {_config.Lr:G4} is probably too high; lower lr or raise warmup_steps. Earlier checkpoints are intact");
        }
    }

    private string Save()
    {
        if (_saved is { } saved && saved.Step == _progress.Step)
            return saved.Path;
        string path = _checkpoints.Write(_config.OutputDir, _network.Store, _adam, _progress);
        _saved = (_progress.Step, path);
        _options.Observer.Saved(path);
        return path;
    }

    // A full disk in the middle of a long run is no reason to lose the run: it may have room again at the next checkpoint.
    private void TrySave(Pace pace)
    {
        try
        {
            Save();
        }
        catch (MdmException e)
        {
            _options.Observer.Warning($"no checkpoint at step {_progress.Step}: {e.Message}; training goes on");
        }

        pace.Saved();
    }

    private static RandomStream At(RandomStream stream, long position)
    {
        stream.Rewind(position);
        return stream;
    }
}
