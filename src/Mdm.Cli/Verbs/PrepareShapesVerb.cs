using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Shapes;

namespace Mdm.Cli.Verbs;

internal static class PrepareShapesVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm prepare shapes [options] FOLDER",
        "Draws a captioned data set of coloured shapes: archives of PNGs with tables of captions, an index for --file-list, and a "
        + "vocabulary. Combinations that are held out occur in the validation part only.");

    public static Verb Verb { get; } = new("prepare shapes", "draws a captioned data set of shapes", Run);

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
    }

    private static int Run(string[] args)
    {
        VerbArguments<Options> given = s_options.Parse(args, Terminal.Warn);
        if (given.Help)
        {
            Console.WriteLine(s_options.Help());
            return Shell.Success;
        }

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
            Scenes = new ShapeOptions { HoldOut = options.HoldOut },
        };
        ShapesDatasetFiles files = Progress.Bar("drawing", report => ShapesDataset.Write(given.Words[0], dataset,
            (done, all) => report((double)done / all), interruption.Token));
        Console.WriteLine($"training index    {files.TrainingIndex} ({options.Count} images)");
        Console.WriteLine($"validation index  {files.ValidationIndex} ({options.ValidationCount} images)");
        Console.WriteLine($"vocabulary        {files.Vocabulary}");
        return Shell.Success;
    }
}
