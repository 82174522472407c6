using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Libraries;
using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Formats.Images;
using Spectre.Console;

namespace Mdm.Cli.Verbs;

internal static class DoctorVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm doctor [options]",
        "Shows what the program found on this machine, and for what is missing, what that costs and what to install. "
        + "With --device, the exit code tells whether that device can be used.");

    public static Verb Verb { get; } = Verb.Of("doctor", "shows what was found on this machine and what is missing", s_options, Run);

    public sealed class Options
    {
        [Setting("A device that must be usable", Placeholder = "NAME")]
        public string Device { get; set; } = "";
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count > 0)
            throw new MdmException($"doctor: '{given.Words[0]}' is not an option");
        string device = given.Options.Device;
        if (device.Length > 0 && !Devices.IsName(device))
            throw new MdmException($"device '{device}' is not known, expected {Devices.Names}");
        var table = new Table().Border(TableBorder.Simple).HideHeaders();
        table.AddColumn(new TableColumn("") { NoWrap = true });
        table.AddColumn(new TableColumn("") { NoWrap = true });
        table.AddColumn("");
        foreach (Finding finding in (Finding[])[.. OfThisProgram(), .. Finding.OfGpus(), Jpeg(), Auto()])
        {
            table.AddRow(Markup.Escape(finding.What), finding.IsThere ? "[green]yes[/]" : "[yellow]no[/]",
                Markup.Escape(finding.Text));
        }

        Terminal.Print(table);
        if (device.Length == 0)
            return Shell.Success;
        Console.WriteLine($"{device}: {Devices.Open(device).Description}");
        return Shell.Success;
    }

    private static IEnumerable<Finding> OfThisProgram()
    {
        yield return new Finding("mdm", true,
            $"{Shell.Version}, {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}");
        string advice = CpuFeatures.Level == CpuLevel.Plain ? "; without AVX2 the CPU computes several times slower" : "";
        double memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 1073741824.0;
        yield return new Finding("CPU", CpuFeatures.Level > CpuLevel.Plain,
            $"{CpuThreads.Count} threads, {CpuFeatures.Level}, {memory:0.#} GB of memory{advice}");
    }

    private static Finding Jpeg() => JpegReader.IsAvailable
        ? new Finding("libturbojpeg", true, "JPEG pictures can be read and written")
        : new Finding("libturbojpeg", false, "no JPEG pictures, only PNG; apt install libturbojpeg0 (Fedora: turbojpeg)");

    private static Finding Auto() => CudaDevice.WhyNot(0) is { } problem
        ? new Finding("--device auto", true, $"cpu, because {problem}")
        : new Finding("--device auto", true, "cuda:0");
}
