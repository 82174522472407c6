using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Checks;
using Spectre.Console;

namespace Mdm.Cli.Verbs;

internal static class GradcheckVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm gradcheck [options] [FILTER]",
        "Checks every operation on this machine: its result against float64 arithmetic, its gradients against central "
        + "differences. FILTER is a part of an operation's or a case's name. The exit code tells whether all is well.");

    public static Verb Verb { get; } = Verb.Of("gradcheck", "checks every operation and gradient on this machine", s_options, Run);

    public sealed class Options
    {
        [Setting("Where to compute", Placeholder = "NAME")]
        public string Device { get; set; } = "cpu";

        [Setting("Type of the activations: float32 or bfloat16", Placeholder = "NAME")]
        public string Type { get; set; } = "float32";

        [Setting($"Kernels for products: {Devices.KernelNames}", Placeholder = "NAME")]
        public string Kernels { get; set; } = "own";

        [Setting("Prints failures only")]
        public bool Quiet { get; set; }
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count > 1)
            throw new MdmException($"gradcheck: {given.Words.Count} filters given, expected one at most");
        string? filter = given.Words.Count == 1 ? given.Words[0] : null;
        IDevice device = DeviceChoice.Open(given.Options.Device, given.Options.Kernels);
        GradientCheck.Row[] rows = GradientCheck.Run(device, filter, TypeOf(given.Options.Type)).ToArray();
        if (rows.Length == 0)
            throw new MdmException($"gradcheck: no operation or case contains '{filter}'");
        return Report(rows, device.Description, given.Options.Quiet);
    }

    private static DType TypeOf(string name) => name.ToLowerInvariant() switch
    {
        "float32" => DType.Float32,
        "bfloat16" => DType.BFloat16,
        _ => throw new MdmException($"--type: found '{name}', expected float32 or bfloat16"),
    };

    /// <summary>Prints the table and a summary; the exit code says whether all cases are right.</summary>
    internal static int Report(IReadOnlyList<GradientCheck.Row> rows, string device, bool quiet)
    {
        var table = new Table().Border(TableBorder.Simple);
        foreach (string title in (string[])["operation", "case", "error\nforward", "error\nbackward", "verdict"])
            table.AddColumn(new TableColumn(title) { NoWrap = title.StartsWith("error", StringComparison.Ordinal) });
        foreach (GradientCheck.Row row in rows.Where(row => !row.Passed || !quiet))
        {
            string verdict = row.Passed ? "ok" : $"[red]{Markup.Escape(row.Verdict)}[/]";
            table.AddRow(
                Markup.Escape(row.Operation), Markup.Escape(row.Case), Error(row.ForwardError), Error(row.BackwardError), verdict);
        }

        if (table.Rows.Count > 0)
            Terminal.Print(table);
        int right = rows.Count(row => row.Passed);
        Console.WriteLine($"{device}: {right} of {rows.Count} cases are right");
        return right == rows.Count ? Shell.Success : Shell.Failure;
    }

    private static string Error(double value) =>
        double.IsNaN(value) ? "-" : value.ToString("0.0e-0", CultureInfo.InvariantCulture);
}
