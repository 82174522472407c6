using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Model.Sampling;
using Mdm.Tensors;

namespace Mdm.Cli.Verbs;

internal static class SampleVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm sample [options] [PROMPT ...]",
        "Draws a picture for every prompt: PNGs, a grid, lst.json and index.html. Without --model-file the small model of shapes "
        + "that comes with the program draws. Settings not given are those in the config.yaml beside the checkpoint.", takesConfig: true);

    public static Verb Verb { get; } = new("sample", "draws pictures for prompts", Run);

    public sealed class Options
    {
        [Setting("Configuration; default: config.yaml beside the checkpoint", Placeholder = "FILE")]
        public string ConfigPath { get; set; } = "";

        [Setting("Prompts, one a line", Placeholder = "FILE")]
        public string PromptsFile { get; set; } = "";

        [Setting("Pictures of each prompt", Min = 1)]
        public int Count { get; set; } = 1;

        [Setting("NONE, CLIP, DYNAMIC or DYNAMIC_IF; default: as configured", Placeholder = "NAME")]
        public string Threshold { get; set; } = "";

        [Setting("Also writes the path from noise to picture as animated PNGs")]
        public bool Animation { get; set; }
    }

    private static int Run(string[] args)
    {
        VerbArguments<Options> given = s_options.Parse(args, Terminal.Warn);
        if (given.Help)
        {
            Console.WriteLine(s_options.Help(given.HelpAll));
            return Shell.Success;
        }

        ProgramConfig config = Load(given, out string checkpoint);
        IReadOnlyList<SamplingTask> tasks = Tasks(given, config);
        IDevice device = DeviceChoice.Open(config);
        using CancellationTokenSource interruption = Terminal.Interruption();
        using SamplingModel model = SamplingModel.Load(config, checkpoint, device);
        SamplingOptions options = SamplingSettings.From(config) with
        {
            Threshold = SamplingSettings.Threshold(given.Options.Threshold),
            Animation = given.Options.Animation,
        };
        var job = new SamplingJob(model, options, Terminal.Warn);
        SamplingResult result = Progress.Bar("sampling",
            report => job.Run(tasks, done => report(done / tasks.Count), interruption.Token));
        Console.WriteLine($"{result.Items.Count} pictures, seed {options.Seed}");
        Console.WriteLine($"grid     {result.Grid}");
        Console.WriteLine($"gallery  {result.Page}");
        return result.Complete ? Shell.Success : Shell.Interrupted;
    }

    private static ProgramConfig Load(VerbArguments<Options> given, out string checkpoint)
    {
        // The checkpoint may be named on the command line or in the configuration; its folder may hold the configuration.
        string? path = given.Options.ConfigPath.Length > 0 ? given.Options.ConfigPath : null;
        checkpoint = ConfigLoader.Load(path, given.ConfigOverrides, _ => { }).ModelFile;
        if (checkpoint.Length == 0)
            checkpoint = ShippedModel.Find();
        string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(checkpoint))!, Model.Training.CheckpointWriter.ConfigFile);
        if (path == null && File.Exists(beside))
            path = beside;
        if (path == null)
            throw new MdmException($"there is no {beside}: name the checkpoint's configuration with --config-path");
        ProgramConfig config = ConfigLoader.Load(path, given.ConfigOverrides, Terminal.Warn);
        ConfigValidator.Validate(config);
        return config;
    }

    private static IReadOnlyList<SamplingTask> Tasks(VerbArguments<Options> given, ProgramConfig config)
    {
        var tasks = new List<SamplingTask>(given.Words.Select(prompt => new SamplingTask(prompt)));
        if (given.Options.PromptsFile.Length > 0)
            tasks.AddRange(PromptList.Read(given.Options.PromptsFile).Select(prompt => new SamplingTask(prompt)));
        if (config.TestFileList.Length > 0)
            tasks.AddRange(ValidationCaptions.Read(config, Terminal.Warn));
        if (tasks.Count == 0)
            throw new MdmException("no prompt is given: write one behind 'mdm sample', or use --prompts-file or --test-file-list");
        return tasks.SelectMany(task => Enumerable.Repeat(task, given.Options.Count)).ToArray();
    }
}
