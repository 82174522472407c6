using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Presentation;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>One picture to draw.</summary>
/// <param name="Prompt">What it should show.</param>
/// <param name="Reference">The data set's picture of that caption, if there is one.</param>
public sealed record SamplingTask(string Prompt, Image? Reference = null);

/// <summary>How a job is drawn and what is written.</summary>
public sealed record SamplingOptions
{
    /// <summary>Where pictures, lists and pages go.</summary>
    public required string Folder { get; init; }

    /// <summary>Picture i of the job draws its noise from (Seed, i), whatever the batch.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Pictures at a time.</summary>
    public int Batch { get; init; } = 16;

    /// <summary>Pixels of the highest resolution's side.</summary>
    public required int Size { get; init; }

    /// <summary>w in u + w·(c - u), the predictions without and with the prompt; 1: none.</summary>
    public double Guidance { get; init; } = 1;

    /// <summary>Sampling steps; null: all diffusion steps.</summary>
    public int? Steps { get; init; }

    /// <summary>Null: ancestral sampling; otherwise DDIM with this share of its noise.</summary>
    public double? Eta { get; init; }

    /// <summary>Null: as configured.</summary>
    public ThresholdType? Threshold { get; init; }

    /// <summary>What guidance leads away from.</summary>
    public string NegativePrompt { get; init; } = "";

    /// <summary>Also writes every level's picture side by side, lowest first.</summary>
    public bool Levels { get; init; }

    /// <summary>Also writes the path from noise to picture as an animated PNG, all levels side by side.</summary>
    public bool Animation { get; init; }

    /// <summary>Title of the page.</summary>
    public string Title { get; init; } = "Samples";
}

/// <summary>What a job has written.</summary>
/// <param name="Items">Pictures with their captions, as in <c>lst.json</c>.</param>
/// <param name="Grid">All pictures on one sheet.</param>
/// <param name="Page">The gallery.</param>
/// <param name="Complete">False if the job was interrupted; what was done is written all the same.</param>
public sealed record SamplingResult(IReadOnlyList<GalleryItem> Items, string Grid, string Page, bool Complete);

/// <summary>Draws pictures for a list of prompts and writes them with their grid, list and page.</summary>
public sealed class SamplingJob(SamplingModel model, SamplingOptions options, Action<string> warn)
{
    private const int FrameMilliseconds = 60, LastFrameMilliseconds = 1500, LeastFrameSide = 128, MostFrames = 60;
    private const int MostOnGrid = 64;

    private readonly List<GalleryItem> _items = [];
    private readonly List<(Image Image, string Caption)> _sheet = [];

    /// <param name="tasks">In order; picture i is the same in any batch.</param>
    /// <param name="progress">Told pictures done and the step of the present batch, as a number 0..tasks.Count.</param>
    /// <param name="cancellation">Stops between two steps; finished pictures are kept.</param>
    /// <exception cref="MdmException">A setting does not fit the model, or the folder cannot be written.</exception>
    public SamplingResult Run(
        IReadOnlyList<SamplingTask> tasks, Action<double>? progress = null, CancellationToken cancellation = default)
    {
        if (tasks.Count == 0)
            throw new MdmException("there is no prompt to draw");
        RequireSize();
        bool complete = true;
        try
        {
            for (int first = 0; first < tasks.Count; first += options.Batch)
                Draw(tasks, first, Math.Min(options.Batch, tasks.Count - first), progress, cancellation);
        }
        catch (OperationCanceledException) when (_items.Count > 0)
        {
            complete = false;
        }

        return Finish(complete);
    }

    private void RequireSize()
    {
        int multiple = model.Network.NestRatios[0] << (model.Network.Config.Chain().Last().Levels - 1);
        if (options.Size < multiple || options.Size % multiple != 0)
            throw new MdmException($"the image size is {options.Size}, expected a multiple of {multiple} for this network");
        if (options.Batch < 1)
            throw new MdmException($"batch_size is {options.Batch}, expected 1 or more");
    }

    private void Draw(
        IReadOnlyList<SamplingTask> tasks, int first, int count, Action<double>? progress, CancellationToken cancellation)
    {
        using Scope scope = Scope.Enter();
        SamplingRequest request = Request(tasks.Skip(first).Take(count).Select(task => task.Prompt).ToArray());
        var noise = new PictureNoise(options.Seed, Enumerable.Range(first, count).Select(i => (long)i));
        var frames = new List<Image[]>();
        Image[] pictures = [], levels = [];
        foreach (SamplingState state in model.Sampler.Steps(request, noise, cancellation))
        {
            using Scope step = Scope.Enter();
            progress?.Invoke(first + count * (double)state.Step / state.Steps);
            if (options.Animation && (state.IsLast || state.Step % ((state.Steps + MostFrames - 1) / MostFrames) == 0))
                frames.Add(Pixels.ToImages(state.IsLast ? state.SideBySide() : state.SideBySide(denoised: true)));
            if (!state.IsLast)
                continue;
            pictures = Pixels.ToImages(state.Picture());
            if (options.Levels && state.Noisy.Count > 1)
                levels = Pixels.ToImages(state.SideBySide());
        }

        for (int i = 0; i < count; i++)
            Write(first + i, tasks[first + i], pictures[i], levels.ElementAtOrDefault(i), frames.Select(frame => frame[i]).ToArray());
    }

    private SamplingRequest Request(string[] prompts)
    {
        var request = new SamplingRequest
        {
            Batch = prompts.Length,
            Height = options.Size,
            Width = options.Size,
            Steps = options.Steps,
            Eta = options.Eta,
            Guidance = options.Guidance,
            Threshold = options.Threshold,
        };
        if (model.Captions is not { } captions)
            return request;

        int[][] tokens = Array.ConvertAll(prompts, Tokens);
        int[] negative = options.NegativePrompt.Length == 0 ? captions.Empty : Tokens(options.NegativePrompt);
        // Both halves of a guided batch must have the same length.
        int length = Math.Max(captions.PaddedLength, Math.Max(1, tokens.Append(negative).Max(t => t.Length)));
        return request with
        {
            Text = model.Text!.Encode(tokens, length),
            NegativeText = model.Text.Encode(Enumerable.Repeat(negative, prompts.Length).ToArray(), length),
        };

        int[] Tokens(string prompt)
        {
            int[] result = captions.EncodePrompt(prompt, out string? warning);
            if (warning != null)
                warn(warning);
            return result;
        }
    }

    private void Write(int index, SamplingTask task, Image picture, Image? levels, Image[] frames)
    {
        string name = index.ToString("D5", CultureInfo.InvariantCulture);
        var more = new List<(string Path, string Word)>();
        Save($"{name}.png", PngWriter.Encode(picture, [new("prompt", task.Prompt), new("seed", $"{options.Seed}+{index}")]));
        if (task.Reference is { } reference)
            Add($"{name}_reference.png", "reference", PngWriter.Encode(reference));
        if (levels != null)
            Add($"{name}_levels.png", "levels", PngWriter.Encode(levels));
        if (frames.Length > 0)
        {
            int[] delays = Enumerable.Repeat(FrameMilliseconds, frames.Length).ToArray();
            delays[^1] = LastFrameMilliseconds;
            Image[] large = Array.ConvertAll(frames, frame => ImageGrid.Enlarge(frame, LeastFrameSide));
            Add($"{name}_path.png", "path", PngWriter.EncodeAnimation(large, delays));
        }

        _items.Add(new GalleryItem($"{name}.png", task.Prompt, $"seed {options.Seed}, picture {index}", more));
        if (_sheet.Count < MostOnGrid)
            _sheet.Add((levels != null ? levels : picture, task.Prompt));

        void Add(string file, string word, byte[] bytes)
        {
            Save(file, bytes);
            more.Add((file, word));
        }
    }

    private SamplingResult Finish(bool complete)
    {
        string grid = Save("grid.png", PngWriter.Encode(ImageGrid.Compose(_sheet)));
        string page = Path.Combine(options.Folder, "index.html");
        string noise = options.Eta is { } eta ? $"eta {eta:G3}" : "ancestral";
        string how = string.Create(CultureInfo.InvariantCulture,
            $"guidance {options.Guidance:G4}, {options.Steps ?? model.Process.Schedule.Steps} steps, {noise}");
        AtomicFile.WriteText(Path.Combine(options.Folder, "lst.json"), Gallery.List(_items));
        AtomicFile.WriteText(page, Gallery.Html(options.Title, _items, how));
        return new SamplingResult(_items, grid, page, complete);
    }

    private string Save(string name, byte[] bytes)
    {
        string path = Path.Combine(options.Folder, name);
        AtomicFile.Write(path, stream => stream.Write(bytes));
        return path;
    }
}
