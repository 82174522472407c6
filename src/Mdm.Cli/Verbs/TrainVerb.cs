using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Training;
using Mdm.Tensors;

namespace Mdm.Cli.Verbs;

internal static class TrainVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm train [options] --config-path FILE",
        "Trains a network on a data set of tar archives and TSV tables. Checkpoints, the log and the state for --resume go to "
        + "--output-dir. Ctrl-C saves and stops.", takesConfig: true,
        "file_list", "output_dir", "vocab_file", "pretrained_vision_file", "num_training_steps", "warmup_steps", "batch_size",
        "lr", "save_freq", "log_freq", "seed", "device", "kernels");

    public static Verb Verb { get; } = Verb.Of("train", "trains a network", s_options, Run);

    public sealed class Options
    {
        [Setting("Configuration", Placeholder = "FILE")]
        public string ConfigPath { get; set; } = "";

        [Setting("Goes on from the training state in --output-dir")]
        public bool Resume { get; set; }

        [Setting("Stops after so many minutes; 0: no limit", Min = 0)]
        public double Minutes { get; set; }
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count > 0)
            throw new MdmException($"train: '{given.Words[0]}' is no option; options begin with --");
        ProgramConfig config = ConfigLoader.Load(
            given.Options.ConfigPath.Length > 0 ? given.Options.ConfigPath : null, given.ConfigOverrides, Terminal.Warn);
        ConfigValidator.Validate(config);
        RequirePlaces(config);
        IDevice device = DeviceChoice.Open(config);
        TimeSpan? limit = given.Options.Minutes > 0 ? TimeSpan.FromMinutes(given.Options.Minutes) : null;
        using var interruption = new Interruption("interrupted: finishing this step and saving");
        TrainingResult result = Train(config, device, given.Options.Resume, limit, interruption.Token);
        Console.WriteLine($"checkpoint  {result.Checkpoint}");
        Console.WriteLine($"loss curve  {Path.Combine(config.OutputDir, TrainingDisplay.CurveFile)}");
        Console.WriteLine($"memory      {device.Memory.Peak / 1048576.0:F0} MiB at most in tensors");
        if (result.Reason == StopReason.Cancelled)
            Console.WriteLine($"interrupted at step {result.Steps}; the same command with --resume goes on");
        return result.Reason == StopReason.Cancelled ? Shell.Interrupted : Shell.Success;
    }

    private static void RequirePlaces(ProgramConfig config)
    {
        if (config.FileList.Length == 0)
            throw new MdmException("file_list is not set: name the training data's index with --file-list or in --config-path");
        if (config.OutputDir.Length == 0)
            throw new MdmException("output_dir is not set: name a folder with --output-dir or in --config-path");
    }

    private static TrainingResult Train(
        ProgramConfig config, IDevice device, bool resume, TimeSpan? limit, CancellationToken cancellation)
    {
        string state = Path.Combine(config.OutputDir, TrainingState.FileName);
        if (!resume && File.Exists(state))
            Terminal.Warn($"{state} is of an earlier run, which this one replaces; --resume would go on from it");
        var display = new TrainingDisplay(limit);
        var trainerOptions = new TrainerOptions { Resume = resume, TimeLimit = limit, Observer = display };
        using Trainer trainer = Progress.Stages("loading",
            report => new Trainer(config, device, trainerOptions with { Loading = report }));
        return display.Run(trainer, config.OutputDir, cancellation);
    }
}
