using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Model.Text;

namespace Mdm.Cli.Verbs;

internal static class EmbedVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm embed [options] --file-list INDEX --output-dir DIR",
        "Computes the text features of a data set's captions once, so that training needs no text model in memory: tables with "
        + "the columns text_tar and text_file, archives of .npy files, and an index for --file-list. Ctrl-C keeps the shards "
        + "that are done; the same command goes on.", takesConfig: true,
        "file_list", "output_dir", "text_model", "vocab_file", "batch_size", "max_caption_length", "max_token_length", "fp16",
        "device");

    public static Verb Verb { get; } = Verb.Of("embed", "computes a data set's text features beforehand", s_options, Run);

    public sealed class Options
    {
        [Setting("Configuration", Placeholder = "FILE")]
        public string ConfigPath { get; set; } = "";

        [Setting("Stores the numbers as float16, which halves the files")]
        public bool Half { get; set; }
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count > 0)
            throw new MdmException($"embed: '{given.Words[0]}' is no option; options begin with --");
        ProgramConfig config = ConfigLoader.Load(
            given.Options.ConfigPath.Length > 0 ? given.Options.ConfigPath : null, given.ConfigOverrides, Terminal.Warn);
        if (config.FileList.Length == 0)
            throw new MdmException("file_list is not set: name the data set's index with --file-list or in --config-path");
        if (config.OutputDir.Length == 0)
            throw new MdmException("output_dir is not set: name a folder with --output-dir or in --config-path");
        // The result is for training with them; the features themselves come from the text model.
        config.UsePrecomputedTextEmbeddings = false;
        IDevice device = DeviceChoice.Open(config);
        using var interruption = new Interruption("interrupted: shards that are done are kept, the same command goes on");
        using ITextModel text = Progress.Bar(TextModels.Loading, report => TextModels.Create(config, device, report))
            ?? throw new MdmException("text_model is 'none', expected the model that makes the features");
        Terminal.Note(text.Name);
        var embedding = new TextEmbedding(text, config.ReaderConfig, config.BatchSize, given.Options.Half);
        EmbeddedDataset result = Progress.Bar("embedding", report =>
            embedding.Run(config.FileList, config.OutputDir, report, Terminal.Warn, interruption.Token));
        string before = result.Kept == 0 ? "" : $"; {result.Kept} shards were done before";
        Console.WriteLine($"{result.Samples} samples, {result.Captions} captions, {result.Dropped} dropped as too long{before}");
        Console.WriteLine($"index  {result.Index}");
        Console.WriteLine($"train with --file-list={result.Index} --use-precomputed-text-embeddings "
            + $"--language-model-dim={text.Width}");
        return Shell.Success;
    }
}
