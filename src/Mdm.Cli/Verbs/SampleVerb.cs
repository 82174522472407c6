using System.Diagnostics;
using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Presentation;
using Mdm.Model.Sampling;
using Mdm.Model.Text;
using Mdm.Model.Training;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Cli.Verbs;

internal static class SampleVerb
{
    private static readonly OptionTable<SampleOptions> s_options = new("mdm sample [options] [PROMPT ...]",
        "Draws a picture for every prompt: PNGs, a grid, lst.json and index.html. Without --model-file the small model of "
        + "shapes that comes with the program draws; with several --model-file each draws the same prompts, a row each. "
        + "Settings not given are those in the config.yaml beside the checkpoint.",
        takesConfig: true,
        "model_file", "test_file_list", "min_examples", "sample_dir", "sample_image_size", "batch_size", "seed", "cfg_weight",
        "negative_prompt", "num_inference_steps", "ddim_eta", "output_inner", "device", "kernels");

    public static Verb Verb { get; } = Verb.Of("sample", "draws pictures for prompts", s_options, Run);

    private static int Run(VerbArguments<SampleOptions> typed)
    {
        Recipe? recipe = null;
        VerbArguments<SampleOptions> given = typed;
        if (typed.Options.From.Length > 0)
        {
            RequireOnlyRecipe(typed);
            recipe = Recipe.Read(typed.Options.From);
            given = RecipeArguments.Again(recipe, typed);
        }

        IReadOnlyList<string> checkpoints = Checkpoints(given, recipe);
        Job[] jobs = [.. checkpoints.Select(checkpoint => Prepare(given, recipe, checkpoint))];
        using var interruption = new Interruption("interrupted: finishing this step");
        var results = new List<(string Name, SamplingResult Result)>();
        IDevice? device = null;
        SamplingOptions? options = null;
        double firstStep = 0;
        foreach ((string checkpoint, ProgramConfig config, IReadOnlyList<SamplingTask> tasks) in jobs)
        {
            device ??= DeviceChoice.Open(config);
            DeviceChoice.FitPrecision(config, device, given.ConfigOverrides);
            string name = Name(checkpoint, checkpoints);
            // All checkpoints draw with the same seeds, even if these were thrown.
            ulong? seed = options?.Seed;
            options = SamplingSettings.From(
                config, given.Options, RecipeArguments.Gives(typed.ConfigOverrides, "ddim_eta", "eta"));
            options = options with
            {
                Seed = seed ?? options.Seed,
                Folder = Path.Combine(config.SampleDir, name),
                Title = Title(name),
                Origin = RecipeArguments.Origin(given, config, checkpoint),
            };
            if (recipe != null)
                options = Again(recipe, typed, options, device);
            if (options.Start is { } start && config.UnetConfig.GridSide is > 1 and var side)
                Console.WriteLine(HowFramed(start, options.Size, side));
            using SamplingModel model = SamplingModel.Open(config, checkpoint, device, Terminal.Warn);
            foreach (string prompt in given.Words)
                RequireMeaning(prompt, model.Captions);
            if (given.Options.LogsnrPlot)
                WritePlot(model, options);
            var job = new SamplingJob(model, options, Terminal.Warn);
            Progress.Stages("loading", report => job.Prepare(tasks, report));
            SamplingResult result = Progress.Bar(name.Length > 0 ? $"sampling {name}" : "sampling",
                report => job.Run(tasks, done =>
                {
                    if (firstStep == 0)
                    {
                        device.Synchronize();
                        firstStep = SecondsSinceStart();
                    }

                    report(done / tasks.Count);
                }, interruption.Token));
            results.Add((name, result));
            if (!result.Complete)
                break;
        }

        int code = Report(results, jobs[^1].Tasks.Count, options!);
        if (firstStep > 0)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"time     {firstStep:0.00} s from the start to the first step, {SecondsSinceStart():0.00} s to here"));
        }

        return code;
    }

    private sealed record Job(string Checkpoint, ProgramConfig Config, IReadOnlyList<SamplingTask> Tasks);

    // What can be found wrong without loading anything large is found first, and before the first of several checkpoints draws.
    private static Job Prepare(VerbArguments<SampleOptions> given, Recipe? recipe, string checkpoint)
    {
        ProgramConfig config = Load(given, checkpoint);
        bool knowsText = SamplingModel.RequireFit(config, checkpoint);
        return new Job(checkpoint, config,
            recipe != null ? [new SamplingTask(recipe.Prompt)] : Tasks(given, config, knowsText));
    }

    private static double SecondsSinceStart() => (DateTime.Now - Process.GetCurrentProcess().StartTime).TotalSeconds;

    private static string HowFramed(InitPicture start, int size, int gridSide) => start.InEveryFrame
        ? $"each of {gridSide * gridSide} frames starts from the init image"
        : $"the init image, {size}x{size}, is a grid of {gridSide}x{gridSide} frames; "
            + "of another size, each frame would start from it";

    private static int Report(List<(string Name, SamplingResult Result)> results, int tasks, SamplingOptions options)
    {
        (string grid, string page) = results.Count == 1
            ? (results[0].Result.Grid, results[0].Result.Page)
            : Comparison(results, options);
        bool complete = results.TrueForAll(entry => entry.Result.Complete);
        int count = results[^1].Result.Items.Count, reused = results.Sum(entry => entry.Result.Reused);
        string missing = complete ? "" : $" of {tasks}, interrupted";
        string seeds = count > 1 ? $"seeds {options.Seed} to {options.Seed + (ulong)count - 1}" : $"seed {options.Seed}";
        string each = results.Count > 1 ? $" of each of {results.Count} checkpoints" : "";
        Console.WriteLine($"{count} {(count == 1 ? "picture" : "pictures")}{each}{missing}, {seeds}"
            + (reused > 0 ? $", {reused} of them drawn before" : ""));
        Console.WriteLine($"grid     {grid}");
        Console.WriteLine($"gallery  {page}");
        return complete ? Shell.Success : Shell.Interrupted;
    }

    // A row for every checkpoint.
    private static (string Grid, string Page) Comparison(
        List<(string Name, SamplingResult Result)> results, SamplingOptions options)
    {
        string folder = Path.GetDirectoryName(options.Folder)!;
        string grid = Path.Combine(folder, "grid.png"), page = Path.Combine(folder, "index.html");
        int columns = results.Min(entry => entry.Result.Sheet.Count);
        (Image, string)[] sheet = [.. results.SelectMany(entry => entry.Result.Sheet.Take(columns)
            .Select(cell => (cell.Image, $"{entry.Name}: {cell.Caption}")))];
        AtomicFile.Write(grid, stream => stream.Write(PngWriter.Encode(ImageGrid.Compose(sheet, columns))));
        AtomicFile.WriteText(page, Gallery.Html("Samples",
            results.Select(entry => (entry.Name, entry.Result.Items.Select(item => Within(entry.Name, item))))));
        return (grid, page);

        static GalleryItem Within(string name, GalleryItem item) => item with
        {
            Path = $"{name}/{item.Path}",
            More = [.. (item.More ?? []).Select(more => ($"{name}/{more.Path}", more.Word))],
        };
    }

    private static void WritePlot(SamplingModel model, SamplingOptions options)
    {
        int[] times = TimeSteps.Create(model.Process.Schedule.Steps, options.Steps ?? model.Process.Schedule.Steps);
        byte[] png = PngWriter.Encode(LogSnrPlot.Draw(model.Process.Levels, TimeSteps.Last(times, options.Start?.Strength ?? 1)));
        AtomicFile.Write(Path.Combine(options.Folder, "logsnr.png"), stream => stream.Write(png));
    }

    /// <summary>The recipe's place in its batch, and its files checked.</summary>
    private static SamplingOptions Again(
        Recipe recipe, VerbArguments<SampleOptions> typed, SamplingOptions options, IDevice device)
    {
        RecipeArguments.RequireSame(recipe, typed, options.Origin!, options);
        if (recipe.Device != device.Description)
        {
            Terminal.Warn($"{typed.Options.From} was drawn on {recipe.Device}, this is {device.Description}: "
                + "the picture may differ in its last bits");
        }

        return options with { Place = new BatchPlace(recipe.Batch, recipe.Place, recipe.Tokens) };
    }

    private static void RequireOnlyRecipe(VerbArguments<SampleOptions> typed)
    {
        string? more = typed.Words.Count > 0 ? "prompts"
            : typed.Options.PromptsFile.Length > 0 ? "--prompts-file"
            : RecipeArguments.Gives(typed.ConfigOverrides, "test_file_list") ? "--test-file-list"
            : typed.Options.Count > 1 ? "--count" : null;
        if (more != null)
            throw new MdmException($"--from draws the picture of one recipe, expected no {more}");
    }

    /// <summary>Several checkpoints are named by several --model-file, or by one with commas.</summary>
    private static IReadOnlyList<string> Checkpoints(VerbArguments<SampleOptions> given, Recipe? recipe)
    {
        const string option = "--model_file=";
        string[] named = [.. given.ConfigOverrides.Where(o => o.StartsWith(option, StringComparison.Ordinal))
            .Select(o => o[option.Length..]).SelectMany(Split)];
        if (recipe != null)
        {
            // The recipe's own path stands first and gives way to one that was typed.
            string path = named[^1];
            return [File.Exists(path) ? path : throw new MdmException(
                $"{given.Options.From} was drawn with {path}, which is not there: "
                + "name the checkpoint with --model-file")];
        }

        if (named.Length == 0)
        {
            string configured = ConfigLoader.Load(ConfigPath(given), given.ConfigOverrides, _ => { }).ModelFile;
            named = configured.Length > 0 ? [.. Split(configured)] : [ShippedModel.Find()];
        }

        foreach (string checkpoint in named)
            if (!File.Exists(checkpoint))
                throw new MdmException($"there is no checkpoint {checkpoint}");
        return named;

        static string[] Split(string path) =>
            File.Exists(path) ? [path] : path.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
    }

    // The file's name, or with its folder's where two are called the same; nothing for a single checkpoint.
    private static string Name(string checkpoint, IReadOnlyList<string> all)
    {
        if (all.Count == 1)
            return "";
        string Stem(string path) => Path.GetFileNameWithoutExtension(path);
        string Long(string path) => $"{Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(path)))}-{Stem(path)}";
        if (all.Count(path => Stem(path) == Stem(checkpoint)) == 1)
            return Stem(checkpoint);
        return all.Count(path => Long(path) == Long(checkpoint)) == 1
            ? Long(checkpoint)
            : throw new MdmException(
                $"--model-file: found {checkpoint} more than once, expected checkpoints that differ in name or folder");
    }

    private static string Title(string name) => name.Length > 0 ? $"Samples of {name}" : "Samples";

    private static string? ConfigPath(VerbArguments<SampleOptions> given) =>
        given.Options.ConfigPath.Length > 0 ? given.Options.ConfigPath : null;

    private static ProgramConfig Load(VerbArguments<SampleOptions> given, string checkpoint)
    {
        // The checkpoint's folder may hold the configuration.
        string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(checkpoint))!, CheckpointWriter.ConfigFile);
        string path = ConfigPath(given) ?? (File.Exists(beside)
            ? beside
            : throw new MdmException($"there is no {beside}: name the checkpoint's configuration with --config-path"));
        ProgramConfig config = ConfigLoader.Load(path, given.ConfigOverrides, Terminal.Warn);
        ConfigValidator.Validate(config);
        return config;
    }

    private static IReadOnlyList<SamplingTask> Tasks(
        VerbArguments<SampleOptions> given, ProgramConfig config, bool knowsText)
    {
        if (given.Words.Any(string.IsNullOrWhiteSpace))
            throw new MdmException("a prompt is empty, expected what the picture should show");
        var tasks = new List<SamplingTask>(given.Words.Select(prompt => new SamplingTask(prompt)));
        if (given.Options.PromptsFile.Length > 0)
            tasks.AddRange(PromptList.Read(given.Options.PromptsFile).Select(prompt => new SamplingTask(prompt)));
        // A list that only the configuration names is what to draw when nothing else is asked for.
        bool listed = RecipeArguments.Gives(given.ConfigOverrides, "test_file_list");
        if (config.TestFileList.Length > 0 && (listed || tasks.Count == 0))
            tasks.AddRange(ValidationCaptions.Read(config, Terminal.Warn));
        if (tasks.Count == 0 && !knowsText)
            tasks.Add(new SamplingTask(""));
        if (tasks.Count == 0)
            throw new MdmException(
                "no prompt is given: write one behind 'mdm sample', or use --prompts-file or --test-file-list");
        return tasks.SelectMany(task => Enumerable.Repeat(task, given.Options.Count)).ToArray();
    }

    // One bad caption among thousands in a file is drawn with a warning; one that somebody has just typed is a mistake.
    private static void RequireMeaning(string prompt, CaptionTokenizer? captions)
    {
        if (captions == null)
            Terminal.Warn("this network was trained without text and draws whatever it likes");
        else if (captions.IsUnknown(prompt))
            throw new MdmException($"no part of the prompt '{CaptionTokenizer.Start(prompt)}' is in the model's vocabulary");
    }
}
