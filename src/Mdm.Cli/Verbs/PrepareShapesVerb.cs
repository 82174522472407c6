using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Shapes;

namespace Mdm.Cli.Verbs;

internal static class PrepareShapesVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm prepare shapes [options] FOLDER",
        "Draws a captioned data set of coloured shapes: archives of PNGs with tables of captions, an index for --file-list, and "
        + "a vocabulary. Combinations that are held out occur in the validation part only.");

    public static Verb Verb { get; } = Verb.Of("prepare shapes", "draws a captioned data set of shapes", s_options, Run);

    public sealed class Options
    {
        [Setting("Training images", Min = 1)]
        public int Count { get; set; } = 20000;

        [Setting("Validation images", Min = 0)]
        public int ValidationCount { get; set; } = 200;

        [Setting("Side of the images", Min = 1, Placeholder = "PIXELS")]
        public int Size { get; set; } = 32;

        [Setting("Seed of all scenes", Min = 0)]
        public long Seed { get; set; }

        [Setting("Share of the combinations kept out of the training images", Min = 0, Max = 0.5)]
        public double HoldOut { get; set; } = 0.1;

        [Setting("Share of the scenes with two shapes", Min = 0, Max = 1)]
        public double Pairs { get; set; } = 0.5;

        [Setting("How far places and extents vary; 0: a caption is always drawn alike", Min = 0, Max = 1)]
        public double Jitter { get; set; } = 1;

        [Setting("Kinds of shapes: circle, square, triangle, diamond", Placeholder = "LIST")]
        public string Kinds { get; set; } = "circle,square,triangle,diamond";

        [Setting("Captions in one plain form only")]
        public bool PlainCaptions { get; set; }
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count != 1)
            throw new MdmException($"prepare shapes: {given.Words.Count} folders given, expected one");
        Options options = given.Options;
        using var interruption = new Interruption("interrupted: finishing this step");
        var dataset = new ShapesDatasetOptions
        {
            Count = options.Count,
            ValidationCount = options.ValidationCount,
            ImageSize = options.Size,
            Seed = (ulong)options.Seed,
            Scenes = new ShapeOptions
            {
                HoldOut = options.HoldOut,
                Pairs = options.Pairs,
                Jitter = options.Jitter,
                Kinds = Kinds(options.Kinds),
                VariedCaptions = !options.PlainCaptions,
            },
        };
        ShapesDatasetFiles files = Progress.Bar("drawing", report => ShapesDataset.Write(given.Words[0], dataset,
            (done, all) => report((double)done / all), interruption.Token));
        Console.WriteLine($"training index    {files.TrainingIndex} ({options.Count} images)");
        Console.WriteLine($"validation index  {files.ValidationIndex} ({options.ValidationCount} images)");
        Console.WriteLine($"vocabulary        {files.Vocabulary}");
        return Shell.Success;
    }

    private static ShapeKind[] Kinds(string list)
    {
        string[] names = list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return Array.ConvertAll(names, name => Enum.TryParse(name, ignoreCase: true, out ShapeKind kind) && Enum.IsDefined(kind)
            ? kind
            : throw new MdmException($"--kinds: found '{name}', expected {string.Join(", ", Enum.GetNames<ShapeKind>()).ToLowerInvariant()}"));
    }
}
