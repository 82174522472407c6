using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Sampling;
using Mdm.Model.Text;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;
using Spectre.Console;

namespace Mdm.Cli.Verbs;

internal static class InspectVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm inspect [options] FILE",
        "Tells what a configuration describes (modules, parameters, operations per image, memory for sampling and training) or "
        + "what a checkpoint holds, or shows the recipe in a picture that 'mdm sample' drew. Nothing is allocated or computed.",
        takesConfig: true);

    public static Verb Verb { get; } = Verb.Of("inspect", "tells what a config, checkpoint or picture holds", s_options, Run);

    public sealed class Options
    {
        [Setting("Lists every parameter with its shape")]
        public bool Parameters { get; set; }

        [Setting("Tokens of a caption, for the estimates", Min = 1)]
        public int Tokens { get; set; } = 128;
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count != 1)
            throw new MdmException($"inspect: {given.Words.Count} files given, expected one configuration, checkpoint or picture");
        string path = given.Words[0];
        switch (Path.GetExtension(path).ToLowerInvariant())
        {
            case ".yaml" or ".yml":
                InspectConfig(path, given);
                break;
            case ".png":
                Console.WriteLine(Recipe.Read(path).ToJson(indented: true));
                break;
            default:
                InspectCheckpoint(path, given.Options);
                break;
        }

        return Shell.Success;
    }

    private static void InspectConfig(string path, VerbArguments<Options> given)
    {
        ProgramConfig config = ConfigLoader.Load(path, given.ConfigOverrides, Terminal.Warn);
        ConfigValidator.Validate(config.UnetConfig);
        int textWidth = TextModels.WidthOf(config);
        DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, textWidth);
        PrintModules(network.Store.Parameters.Select(p => (p.Name, Array.ConvertAll(p.FileShape.ToArray(), size => (long)size))),
            given.Options.Parameters);

        int size = config.ResolvedSampleSize > 0 ? config.ResolvedSampleSize : DefaultSize(network);
        ConfigValidator.ValidateSize(config.UnetConfig, size, "image_size");
        NetworkCost cost = NetworkCost.Of(config, textWidth, size, config.BatchSize, given.Options.Tokens);
        int innermost = size / network.NestRatios[0];
        string resolutions = string.Join(" around ", network.NestRatios.Select(ratio => $"{innermost * ratio}x{innermost * ratio}"));
        Console.WriteLine($"model        {config.UnetConfig.ModelName}, {resolutions}, text width {textWidth}");
        if (config.UnetConfig.GridSide is > 1 and var side)
            Console.WriteLine($"frames       {side * side} in a grid of {side}x{side}, {size / side}x{size / side} each");
        Console.WriteLine($"parameters   {Number(network.Store.ParameterCount)} in {network.Store.Parameters.Count} tensors");
        string text = cost.TextFlops == 0
            ? ""
            : $"; once for its text {cost.TextFlops / 1e9:F2} GFLOP with {given.Options.Tokens} tokens";
        Console.WriteLine($"prediction   {cost.ForwardFlops / 1e9:F2} GFLOP per image{text}");
        Console.WriteLine($"training     {cost.TrainingFlops / 1e9:F2} GFLOP per image and step");
        Console.WriteLine($"memory       {Mebibytes(cost.SamplingBytes)} to predict a batch of {config.BatchSize}, "
            + $"{Mebibytes(cost.TrainingBytes)} to train one ({(config.Fp16 ? "bfloat16" : "float32")})");
    }

    // Published models work on 64 pixels at the innermost level; without a size in the file that is the best guess.
    private static int DefaultSize(DenoisingNetwork network) => 64 * network.NestRatios[0];

    private static void InspectCheckpoint(string path, Options options)
    {
        using ITensorFile file = TensorFile.Open(path);
        if (file.Tensors.Count == 0)
            throw new MdmException($"{path} holds no tensors, expected a checkpoint");
        PrintModules(file.Tensors.Values.Select(t => (t.Name, t.Shape)), options.Parameters);
        long count = file.Tensors.Values.Sum(t => t.Count), bytes = file.Tensors.Values.Sum(t => t.ByteCount);
        int nestings = file.Tensors.Keys.Max(name => name.Split("inner_unet.").Length - 1);
        Console.WriteLine($"model        {UNetConfig.NameOfModel(nestings)}");
        Console.WriteLine($"parameters   {Number(count)} in {file.Tensors.Count} tensors, {Mebibytes(bytes)}, "
            + string.Join(", ", file.Tensors.Values.Select(t => t.Type).Distinct()));
        foreach ((string name, string value) in file.Metadata)
            Console.WriteLine($"{name,-12} {value}");
    }

    /// <summary>One line per part of the network, or per parameter.</summary>
    private static void PrintModules(IEnumerable<(string Name, long[] Shape)> parameters, bool each)
    {
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn(each ? "parameter" : "module");
        table.AddColumn(each ? "shape" : "tensors");
        table.AddColumn(new TableColumn("parameters").RightAligned());
        if (each)
            foreach ((string name, long[] shape) in parameters)
                table.AddRow(Markup.Escape(name), Markup.Escape($"[{string.Join(", ", shape)}]"), Number(Count(shape)));
        else
            foreach (var part in parameters.GroupBy(p => PartOf(p.Name)))
                table.AddRow(Markup.Escape(part.Key), part.Count().ToString(), Number(part.Sum(p => Count(p.Shape))));
        Terminal.Print(table);
    }

    /// <summary>down_blocks.0.resnets.1.conv1.weight is a part of down_blocks.0, in whichever nested network.</summary>
    private static string PartOf(string name)
    {
        string[] words = name.Split('.');
        int inner = words.TakeWhile(word => word == "inner_unet").Count();
        bool numbered = words.Length > inner + 1 && int.TryParse(words[inner + 1], out _);
        return string.Join('.', words.Take(inner + (numbered ? 2 : 1)));
    }

    private static long Count(long[] shape) => shape.Aggregate(1L, (product, size) => product * size);

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Mebibytes(long bytes) => $"{bytes / 1048576.0:N0} MiB";
}
