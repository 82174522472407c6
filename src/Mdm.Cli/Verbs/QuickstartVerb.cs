using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Sampling;
using Mdm.Model.Shapes;
using Mdm.Model.Training;
using Mdm.Tensors;

namespace Mdm.Cli.Verbs;

/// <summary>From nothing to pictures: draws a data set, trains a small nested network on it, samples, and says where
/// all is.</summary>
internal static class QuickstartVerb
{
    private const string ConfigResource = "quickstart.yaml";
    private const int ValidationImages = 200, HeldOutPrompts = 16;

    /// <summary>Scenes vary less than they could, so that a few minutes are enough to learn them.</summary>
    private static readonly ShapeOptions s_scenes = new()
    {
        HoldOut = 0.1,
        Jitter = 0.1,
        VariedCaptions = false,
        Kinds = [ShapeKind.Circle, ShapeKind.Square, ShapeKind.Triangle],
    };

    private const string ExamplePrompt = "a large red circle above a small blue square";

    private static readonly OptionTable<Options> s_options = new("mdm quickstart [options]",
        "Draws a captioned data set of shapes, trains a nested U-Net on it for some minutes, and samples pictures of "
        + "combinations that were not in the data. Ctrl-C saves; the same command goes on.", takesConfig: true, "device", "kernels",
        "threads");

    public static Verb Verb { get; } = Verb.Of("quickstart", "trains and samples a small model within minutes", s_options, Run);

    public sealed class Options
    {
        [Setting("Minutes of training", Min = 0)]
        public double Minutes { get; set; } = 3.8;

        [Setting("Training images to draw", Min = 1)]
        public int Images { get; set; } = 20000;

        [Setting("Seed of data, weights and samples", Min = 0)]
        public long Seed { get; set; } = 1;

        [Setting("Where everything goes", Placeholder = "DIR")]
        public string OutputDir { get; set; } = "outputs/quickstart";
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count > 0)
            throw new MdmException($"quickstart: '{given.Words[0]}' is no option; options begin with --");
        if (given.Options.Minutes <= 0)
            throw new MdmException($"--minutes: found {given.Options.Minutes}, expected more than 0");
        using var interruption = new Interruption("interrupted: finishing this step and saving");
        try
        {
            return Run(given, interruption.Token);
        }
        catch (OperationCanceledException)
        {
            Console.WriteLine("interrupted: the same command goes on");
            return Shell.Interrupted;
        }
    }

    private static int Run(VerbArguments<Options> given, CancellationToken cancellation)
    {
        RequireSeed(given.Options);
        ShapesDatasetFiles data = Draw(given.Options, cancellation);
        ProgramConfig config = Configure(given, data);
        ConfigValidator.Validate(config);
        IDevice device = DeviceChoice.Open(config);
        TrainingResult result = Train(config, device, TimeSpan.FromMinutes(given.Options.Minutes), cancellation);
        if (result.Reason == StopReason.Cancelled)
        {
            Console.WriteLine(
                $"interrupted at step {result.Steps}: the same command goes on, and this draws with what was learnt:");
            Console.WriteLine($"  {Terminal.Command} sample --model-file {result.Checkpoint} \"{ExamplePrompt}\"");
            return Shell.Interrupted;
        }

        SamplingResult samples = Sample(config, result.Checkpoint, device, cancellation);
        string loss = result.Running.Average.ToString("F4", CultureInfo.InvariantCulture);
        Console.WriteLine($"checkpoint  {result.Checkpoint} ({result.Steps} steps, loss {loss})");
        Console.WriteLine($"loss curve  {Path.Combine(config.OutputDir, TrainingDisplay.CurveFile)}");
        Console.WriteLine($"grid        {samples.Grid}");
        Console.WriteLine($"gallery     {samples.Page}");
        Console.WriteLine($"draw more   {Terminal.Command} sample --model-file {result.Checkpoint} \"{ExamplePrompt}\"");
        return samples.Complete ? Shell.Success : Shell.Interrupted;
    }

    // The same command goes on with what is there; drawing the data of another seed in its place would spoil it.
    private static void RequireSeed(Options options)
    {
        string state = Path.Combine(ModelFolder(options), TrainingState.FileName);
        if (File.Exists(state) && TrainingState.Peek(state).Seed is var seed && seed != (ulong)options.Seed)
            throw new MdmException($"--seed: found {options.Seed}, expected {seed}, with which {options.OutputDir} was begun; "
                + "another --output-dir starts afresh");
    }

    private static string ModelFolder(Options options) => Path.Combine(options.OutputDir, "model");

    private static ShapesDatasetFiles Draw(Options options, CancellationToken cancellation)
    {
        var dataset = new ShapesDatasetOptions
        {
            Count = options.Images,
            ValidationCount = ValidationImages,
            Seed = (ulong)options.Seed,
            Scenes = s_scenes,
        };
        return Progress.Bar($"drawing {options.Images} images", report => ShapesDataset.Write(
            Path.Combine(options.OutputDir, "data"), dataset, (done, all) => report((double)done / all), cancellation));
    }

    private static TrainingResult Train(ProgramConfig config, IDevice device, TimeSpan limit, CancellationToken cancellation)
    {
        bool resume = File.Exists(Path.Combine(config.OutputDir, TrainingState.FileName));
        var display = new TrainingDisplay(limit);
        var trainerOptions = new TrainerOptions { Resume = resume, TimeLimit = limit, Observer = display };
        using Trainer trainer = Progress.Stages("loading",
            report => new Trainer(config, device, trainerOptions with { Loading = report }));
        double millions = trainer.Network.Store.ParameterCount / 1e6;
        Terminal.Note(string.Create(CultureInfo.InvariantCulture,
            $"{config.UnetConfig.ModelName}: {millions:F2} million parameters on {device.Description}"));
        string trained = trainer.Progress.Elapsed.TotalMinutes.ToString("F1", CultureInfo.InvariantCulture);
        if (resume && trainer.Progress.Elapsed >= limit)
            Terminal.Note($"{config.OutputDir} has been trained for {trained} minutes already; a larger --minutes trains on");
        else if (resume)
            Terminal.Note($"going on from {config.OutputDir} at {trained} minutes (another --output-dir starts afresh)");
        return display.Run(trainer, config.OutputDir, cancellation);
    }

    /// <summary>The built-in configuration, then what was typed.</summary>
    private static ProgramConfig Configure(VerbArguments<Options> given, ShapesDatasetFiles data)
    {
        string[] places =
        [
            $"--output_dir={ModelFolder(given.Options)}",
            $"--sample_dir={Path.Combine(given.Options.OutputDir, "samples")}",
            $"--file_list={data.TrainingIndex}",
            $"--vocab_file={data.Vocabulary}",
            $"--seed={given.Options.Seed}",
        ];
        return ConfigLoader.Load(BuiltInConfig.Path(ConfigResource), [.. places, .. given.ConfigOverrides], Terminal.Warn);
    }

    private static SamplingResult Sample(ProgramConfig config, string checkpoint, IDevice device, CancellationToken cancellation)
    {
        string[] prompts =
        [
            .. new ShapeGenerator((ulong)config.Seed, s_scenes).HeldOutPrompts(HeldOutPrompts),
        ];
        using SamplingModel model = SamplingModel.Open(config, checkpoint, device, Terminal.Warn);
        SamplingOptions options = SamplingSettings.From(config) with
        {
            Levels = true,
            Title = "Quickstart: combinations not in the data",
        };
        var job = new SamplingJob(model, options, Terminal.Warn);
        return Progress.Bar("sampling", report => job.Run(prompts.Select(prompt => new SamplingTask(prompt)).ToArray(),
            done => report(done / prompts.Length), cancellation));
    }
}
