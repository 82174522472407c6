using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Sampling;
using Mdm.Model.Text;
using Mdm.Model.Training;

namespace Mdm.Cli.Verbs;

internal static class SampleVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm sample [options] [PROMPT ...]",
        "Draws a picture for every prompt: PNGs, a grid, lst.json and index.html. Without --model-file the small model of "
        + "shapes that comes with the program draws. Settings not given are those in the config.yaml beside the checkpoint.",
        takesConfig: true,
        "model_file", "test_file_list", "min_examples", "sample_dir", "sample_image_size", "batch_size", "seed", "cfg_weight",
        "negative_prompt", "num_inference_steps", "ddim_eta", "output_inner", "device");

    public static Verb Verb { get; } = Verb.Of("sample", "draws pictures for prompts", s_options, Run);

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

    private static int Run(VerbArguments<Options> given)
    {
        ProgramConfig config = Load(given, out string checkpoint);
        IDevice device = DeviceChoice.OpenForSampling(config, given.ConfigOverrides);
        using var interruption = new Interruption("interrupted: finishing this step");
        using SamplingModel model = SamplingModel.Load(config, checkpoint, device);
        IReadOnlyList<SamplingTask> tasks = Tasks(given, config, model.Captions);
        SamplingOptions options = SamplingSettings.From(config) with
        {
            Threshold = SamplingSettings.Threshold(given.Options.Threshold),
            Animation = given.Options.Animation,
        };
        var job = new SamplingJob(model, options, Terminal.Warn);
        SamplingResult result = Progress.Bar("sampling",
            report => job.Run(tasks, done => report(done / tasks.Count), interruption.Token));
        string missing = result.Complete ? "" : $" of {tasks.Count}, interrupted";
        Console.WriteLine($"{result.Items.Count} {(result.Items.Count == 1 ? "picture" : "pictures")}{missing}, seed {options.Seed}");
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
        if (!File.Exists(checkpoint))
            throw new MdmException($"there is no checkpoint {checkpoint}");
        string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(checkpoint))!, CheckpointWriter.ConfigFile);
        if (path == null && File.Exists(beside))
            path = beside;
        if (path == null)
            throw new MdmException($"there is no {beside}: name the checkpoint's configuration with --config-path");
        ProgramConfig config = ConfigLoader.Load(path, given.ConfigOverrides, Terminal.Warn);
        ConfigValidator.Validate(config);
        return config;
    }

    private static IReadOnlyList<SamplingTask> Tasks(
        VerbArguments<Options> given, ProgramConfig config, CaptionTokenizer? captions)
    {
        foreach (string prompt in given.Words)
            RequireMeaning(prompt, captions);
        var tasks = new List<SamplingTask>(given.Words.Select(prompt => new SamplingTask(prompt)));
        if (given.Options.PromptsFile.Length > 0)
            tasks.AddRange(PromptList.Read(given.Options.PromptsFile).Select(prompt => new SamplingTask(prompt)));
        // A list that only the configuration names is what to draw when nothing else is asked for.
        bool listed = given.ConfigOverrides.Any(option => option.StartsWith("--test_file_list=", StringComparison.Ordinal));
        if (config.TestFileList.Length > 0 && (listed || tasks.Count == 0))
            tasks.AddRange(ValidationCaptions.Read(config, Terminal.Warn));
        if (tasks.Count == 0 && captions == null)
            tasks.Add(new SamplingTask(""));
        if (tasks.Count == 0)
            throw new MdmException(
                "no prompt is given: write one behind 'mdm sample', or use --prompts-file or --test-file-list");
        return tasks.SelectMany(task => Enumerable.Repeat(task, given.Options.Count)).ToArray();
    }

    // One bad caption among thousands in a file is drawn with a warning; one that somebody has just typed is a mistake.
    private static void RequireMeaning(string prompt, CaptionTokenizer? captions)
    {
        if (string.IsNullOrWhiteSpace(prompt))
            throw new MdmException("a prompt is empty, expected what the picture should show");
        if (captions == null)
            Terminal.Warn("this network was trained without text and draws whatever it likes");
        else if (captions.IsUnknown(prompt))
            throw new MdmException($"no part of the prompt '{CaptionTokenizer.Start(prompt)}' is in the model's vocabulary");
    }
}
