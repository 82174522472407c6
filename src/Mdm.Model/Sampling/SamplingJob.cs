using Mdm.Kernels;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>Draws pictures for a list of prompts and writes them with their grid, list and page.</summary>
public sealed class SamplingJob(SamplingModel model, SamplingOptions options, Action<string> warn)
{
    private const int MostFrames = 60;

    private readonly SamplerKind _sampler = SamplerKinds.Resolve(options.Sampler, options.Eta);
    private readonly SamplingFolder _folder = new(options, model.Network.Config.GridSide);
    private int _batch = options.Batch;
    private Plan? _plan;

    /// <summary>Checks the settings, computes the text features and loads the network's weights, the two as far as there is
    /// something to draw. When the network comes, the text model has left the memory, unless the prompts are too many. Without this call,
    /// <see cref="Run"/> begins with it.</summary>
    /// <param name="tasks">What <see cref="Run"/> will be given.</param>
    /// <param name="progress">Told what is done and its share, 0..1; from any thread.</param>
    /// <exception cref="MdmException">A setting does not fit the model, or a file is damaged.</exception>
    /// <exception cref="OutOfMemoryException">Weights do not fit.</exception>
    public void Prepare(IReadOnlyList<SamplingTask> tasks, Action<string, double>? progress = null)
    {
        if (tasks.Count == 0)
            throw new MdmException("there is no prompt to draw");
        RequireSize();
        PromptFeatures? features = model.Text == null ? null : new PromptFeatures(model, NegativePrompt, warn);
        int[] missing = [.. Enumerable.Range(0, tasks.Count).Where(i => !Reuse(tasks, i))];
        _plan = new Plan(tasks, features, missing);
        if (missing.Length == 0)
            return;
        features?.Prepare(missing.Select(i => Drawn(tasks[i])), progress);
        model.LoadWeights(progress);
    }

    /// <summary>Draws.</summary>
    /// <param name="tasks">In order; picture i is the same in any batch.</param>
    /// <param name="progress">Told pictures done and the step of the present batch, as a number 0..tasks.Count.</param>
    /// <param name="cancellation">Stops between two steps; finished pictures are kept.</param>
    /// <exception cref="MdmException">A setting does not fit the model, or the folder cannot be written.</exception>
    /// <exception cref="OutOfMemoryException">There is no room for a single picture.</exception>
    public SamplingResult Run(
        IReadOnlyList<SamplingTask> tasks, Action<double>? progress = null, CancellationToken cancellation = default)
    {
        if (_plan?.Tasks != tasks)
            Prepare(tasks);
        (_, PromptFeatures? features, int[] missing) = _plan!;
        using PromptFeatures? disposed = features;
        _plan = null;
        int reused = tasks.Count - missing.Length;
        bool complete = true;
        try
        {
            for (int done = 0; done < missing.Length;)
            {
                int[] batch = Batch(tasks, missing.AsSpan(done), features);
                if (Attempt(tasks, batch, features, part => progress?.Invoke(reused + done + batch.Length * part), cancellation))
                    done += batch.Length;
            }
        }
        catch (OperationCanceledException) when (_folder.Count > 0)
        {
            complete = false;
        }

        return _folder.Finish(HowDrawn(), reused, complete);
    }

    /// <summary>What is to be drawn.</summary>
    /// <param name="Tasks">All.</param>
    /// <param name="Features">Of their prompts; null for a network without text.</param>
    /// <param name="Missing">Those that an earlier job has not drawn.</param>
    private sealed record Plan(IReadOnlyList<SamplingTask> Tasks, PromptFeatures? Features, int[] Missing);

    private string NegativePrompt => options.Style?.ApplyNegative(options.NegativePrompt) ?? options.NegativePrompt;

    private string Drawn(SamplingTask task) => options.Style?.Apply(task.Prompt) ?? task.Prompt;

    private ulong Seed(int index) => options.Seed + (ulong)index;

    private void RequireSize()
    {
        int multiple = model.Network.Config.SizeFactor;
        if (options.Size < multiple || options.Size % multiple != 0)
            throw new MdmException($"the image size is {options.Size}, expected a multiple of {multiple} for this network");
        if (options.Batch < 1)
            throw new MdmException($"batch_size is {options.Batch}, expected 1 or more");
        _ = TimeSteps.Create(model.Process.Schedule.Steps, options.Steps ?? model.Process.Schedule.Steps);
    }

    private bool Reuse(IReadOnlyList<SamplingTask> tasks, int index) => options.Resume && options.Origin != null
        && _folder.Reuse(index, tasks[index], RecipeFor(tasks[index], index, new BatchPlace(0, 0, 0))!,
            model.Network.NestRatios.Count);

    // The next pictures that may be drawn together.
    private int[] Batch(IReadOnlyList<SamplingTask> tasks, ReadOnlySpan<int> missing, PromptFeatures? features)
    {
        if (options.Place is { } place)
            return [.. Enumerable.Repeat(missing[0], Math.Min(place.Batch, _batch))];
        int[] candidates = missing[..Math.Min(_batch, missing.Length)].ToArray();
        return features == null
            ? candidates
            : [.. candidates.TakeWhile(i => features.Mark(Drawn(tasks[i])) == features.Mark(Drawn(tasks[candidates[0]])))];
    }

    /// <summary>Draws and writes a batch; false if it does not fit into memory and a smaller one may.</summary>
    private bool Attempt(IReadOnlyList<SamplingTask> tasks, int[] batch, PromptFeatures? features, Action<double> progress,
        CancellationToken cancellation)
    {
        try
        {
            Draw(tasks, batch, features, progress, cancellation);
            return true;
        }
        catch (OutOfMemoryException) when (batch.Length > 1)
        {
            if (_batch == options.Batch)
                warn($"not enough memory for {batch.Length} pictures at once: going on with fewer");
            _batch = batch.Length / 2;
            model.Sampler.Forget();
            features?.Dispose();
            return false;
        }
        catch (OutOfDeviceMemoryException e)
        {
            throw e.For($"not enough memory to draw one picture of {options.Size}x{options.Size}",
                (options.Guidance == 1 ? "" : "--guidance=1 takes half; ")
                + $"--sample-image-size may be lowered in steps of {model.Network.Config.SizeFactor}");
        }
    }

    private void Draw(IReadOnlyList<SamplingTask> tasks, int[] batch, PromptFeatures? features, Action<double> progress,
        CancellationToken cancellation)
    {
        using Scope scope = Scope.Enter();
        int tokens = features?.Length(batch.Select(i => Drawn(tasks[i])), options.Place?.Tokens ?? 0) ?? 0;
        SamplingRequest request = Request([.. batch.Select(i => Drawn(tasks[i]))], features, tokens);
        INoiseSource noise = options.Noise.Create(batch.Select(Seed));
        var frames = new List<Image[]>();
        Image[] pictures = [], levels = [];
        foreach (SamplingState state in model.Sampler.Steps(request, noise, cancellation))
        {
            using Scope step = Scope.Enter();
            progress((double)state.Step / state.Steps);
            if (options.Animation && (state.IsLast || state.Step % ((state.Steps + MostFrames - 1) / MostFrames) == 0))
                frames.Add(Pixels.ToImages(state.IsLast ? state.SideBySide() : state.SideBySide(denoised: true)));
            if (!state.IsLast)
                continue;
            pictures = Pixels.ToImages(state.Picture());
            if (options.Levels && state.Noisy.Count > 1)
                levels = Pixels.ToImages(state.SideBySide());
        }

        // A picture that is drawn again stands at every place of its batch.
        int[] wanted = options.Place is { } drawn
            ? [Math.Clamp(drawn.Place, 0, batch.Length - 1)]
            : [.. Enumerable.Range(0, batch.Length)];
        foreach (int i in wanted)
        {
            Recipe? recipe = RecipeFor(tasks[batch[i]], batch[i], new BatchPlace(batch.Length, i, tokens));
            _folder.Write(batch[i], tasks[batch[i]], new DrawnPicture(
                pictures[i], levels.ElementAtOrDefault(i), frames.Select(frame => frame[i]).ToArray(), Seed(batch[i]), recipe));
        }
    }

    private SamplingRequest Request(string[] prompts, PromptFeatures? features, int tokens)
    {
        bool guided = options.Guidance != 1;
        return new SamplingRequest
        {
            Batch = prompts.Length,
            Height = options.Size,
            Width = options.Size,
            Steps = options.Steps,
            Sampler = options.Sampler,
            Eta = options.Eta,
            Guidance = options.Guidance,
            GuidanceSchedule = options.GuidanceSchedule,
            Threshold = options.Threshold,
            Start = options.Start?.ForBatch(model.Device, prompts.Length),
            Text = features?.Encode(prompts, tokens),
            NegativeText = guided ? features?.Negative(prompts.Length, tokens) : null,
        };
    }

    private Recipe? RecipeFor(SamplingTask task, int index, BatchPlace place) => options.Origin is not { } origin ? null : new Recipe
    {
        Version = origin.Version,
        Prompt = task.Prompt,
        NegativePrompt = options.NegativePrompt,
        Style = options.Style?.Name,
        Seed = Seed(index),
        Noise = options.Noise.ToString().ToLowerInvariant(),
        Sampler = _sampler.Name(),
        Steps = options.Steps ?? model.Process.Schedule.Steps,
        Eta = _sampler == SamplerKind.Ddim ? options.Eta ?? 0 : null,
        Guidance = options.Guidance,
        GuidanceSchedule = options.GuidanceSchedule.ToString(),
        Threshold = (options.Threshold ?? model.Process.Config.SamplerConfig.ThresholdFunction).ToString(),
        Size = options.Size,
        InitImage = options.Start?.ImageFile,
        Mask = options.Start?.MaskFile,
        Strength = options.Start?.Strength,
        Checkpoint = origin.Checkpoint,
        ConfigSha256 = origin.ConfigSha256,
        Settings = origin.Settings,
        Device = model.Device.Description,
        Batch = place.Batch,
        Place = place.Place,
        Tokens = place.Tokens,
    };

    private string HowDrawn()
    {
        string how = _sampler switch
        {
            SamplerKind.Ddpm => "ancestral",
            SamplerKind.Ddim => FormattableString.Invariant($"eta {options.Eta ?? 0:G3}"),
            _ => _sampler.Name(),
        };
        string schedule = options.GuidanceSchedule == GuidanceSchedule.Constant ? "" : $" ({options.GuidanceSchedule})";
        return FormattableString.Invariant(
            $"guidance {options.Guidance:G4}{schedule}, {options.Steps ?? model.Process.Schedule.Steps} steps, {how}");
    }
}
