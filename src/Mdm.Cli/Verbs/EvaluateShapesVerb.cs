using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Shapes;
using Mdm.Tensors.Formats;
using Spectre.Console;

namespace Mdm.Cli.Verbs;

internal static class EvaluateShapesVerb
{
    private const string List = "lst.json";

    private static readonly OptionTable<Options> s_options = new("mdm evaluate shapes [options] FOLDER",
        "Judges samples of the shapes world against their captions by measuring pixels: kind, colour, size, relation, "
        + "background. FOLDER is one that 'mdm sample' wrote, or its lst.json.");

    public static Verb Verb { get; } = Verb.Of("evaluate shapes", "judges pictures of shapes against their captions", s_options, Run);

    public sealed class Options
    {
        [Setting("Share of held-out combinations that the data set was prepared with; 0: none", Min = 0, Max = 0.5)]
        public double HoldOut { get; set; } = 0.1;

        [Setting("Writes the table and every verdict here", Placeholder = "FILE")]
        public string Json { get; set; } = "";

        [Setting("Lists the pictures that are wrong, with the reasons")]
        public bool Wrong { get; set; }

        [Setting("Exit code 1 if a smaller share is right", Min = 0, Max = 1)]
        public double AtLeast { get; set; }
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count != 1)
            throw new MdmException($"evaluate shapes: {given.Words.Count} folders given, expected one");
        string list = Directory.Exists(given.Words[0]) ? Path.Combine(given.Words[0], List) : given.Words[0];
        if (!File.Exists(list))
            throw new MdmException($"there is no {list}, expected a folder that 'mdm sample' wrote, or its {List}");
        HeldOutCombinations? heldOut = given.Options.HoldOut > 0 ? new HeldOutCombinations(given.Options.HoldOut) : null;
        ShapesEvaluation evaluation = Progress.Bar("judging",
            report => ShapesEvaluation.OfList(list, heldOut, (done, all) => report((double)done / all)));

        var table = new Table().Border(TableBorder.Simple);
        foreach (string title in (string[])["group", "of", "right", "images", "share"])
            table.AddColumn(title);
        foreach (EvaluationRow row in evaluation.Rows.Where(row => row.Total > 0))
            table.AddRow(row.Group, row.Name, row.Correct.ToString(), row.Total.ToString(),
                row.Share.ToString("P1", CultureInfo.InvariantCulture));
        Terminal.Print(table);
        if (given.Options.Wrong)
            foreach (EvaluatedImage image in evaluation.Images.Where(image => !image.Correct))
            {
                string why = image.Error ?? string.Join("; ", image.Verdict!.Reasons);
                Console.WriteLine($"{image.Path}: \"{image.Caption}\": {why}");
            }

        if (given.Options.Json.Length > 0)
            AtomicFile.WriteText(given.Options.Json, evaluation.ToJson() + "\n");
        return evaluation.Share >= given.Options.AtLeast ? Shell.Success : Shell.Failure;
    }
}
