using System.Globalization;
using System.Text.Json;
using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Profiling;
using Mdm.Model.Configuration;
using Mdm.Model.Profiling;
using Mdm.Model.Text;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;
using Spectre.Console;

namespace Mdm.Cli.Verbs;

internal static class ProfileVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm profile [options]",
        "Tells where the time of a training or sampling step goes: calls, time, rates and the share of the machine's roofline "
        + "(peaks are measured on the spot, by a large matrix product and a copy). Where cuBLASLt or cuDNN is there, the column "
        + "'library' has its time over ours. Weights and data are made up. Without --config-path it is the quickstart's network.",
        takesConfig: true, "device", "kernels", "batch_size", "fp16");

    public static Verb Verb { get; } = Verb.Of("profile", "tells where the time of a step or a kernel goes", s_options, Run);

    [LowerCaseNames]
    public enum StepKind
    {
        Train,
        Sample,
    }

    [LowerCaseNames]
    public enum Grouping
    {
        Kernel,
        Shape,
        Module,
    }

    public sealed class Options
    {
        [Setting("Configuration", Placeholder = "FILE")]
        public string ConfigPath { get; set; } = "";

        [Setting("Which step: train or sample", Placeholder = "KIND")]
        public StepKind Step { get; set; }

        [Setting("Steps that are measured", Min = 1)]
        public int Steps { get; set; } = 5;

        [Setting("Steps before that", Min = 0)]
        public int WarmUp { get; set; } = 2;

        [Setting("Tokens of a caption", Min = 1)]
        public int Tokens { get; set; } = 32;

        [Setting("Rows of the table: kernel, shape (each size of a kernel) or module", Placeholder = "WHAT")]
        public Grouping By { get; set; }

        [Setting("Rows that are printed", Min = 1)]
        public int Top { get; set; } = 30;

        [Setting("Only kernels whose name contains this, each call repeated on its own", Placeholder = "NAME")]
        public string Kernel { get; set; } = "";

        [Setting("With --kernel: calls of these sizes (separated by commas), no network", Placeholder = "SIZES")]
        public string Shape { get; set; } = "";

        [Setting("Also writes the table to a file", Placeholder = "FILE")]
        public string Json { get; set; } = "";

        [Setting("Also writes one step as a trace for ui.perfetto.dev", Placeholder = "FILE")]
        public string Trace { get; set; } = "";
    }

    /// <summary>So many calls in a row where kernels are measured on their own.</summary>
    private const int Repeats = 10;

    private static int Run(VerbArguments<Options> given)
    {
        Options options = given.Options;
        if (given.Words.Count > 0)
            throw new MdmException($"profile: '{given.Words[0]}' is no option; options begin with --");
        if (options.Shape.Length > 0 && options.Kernel.Length == 0)
            throw new MdmException("profile: --shape needs --kernel, the name of the kernel that has it");
        string[] shapes = options.Shape.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (options.Shape.Length > 0 && shapes.Length == 0)
            throw new MdmException($"profile: --shape is '{options.Shape}', expected sizes, several ones separated by commas");
        foreach (string shape in shapes)
            KernelWorkbench.Check(options.Kernel, shape);
        string path = options.ConfigPath.Length > 0 ? options.ConfigPath : BuiltInConfig.Path("quickstart.yaml");
        ProgramConfig config = ConfigLoader.Load(path, given.ConfigOverrides, Terminal.Warn);
        if (shapes.Length == 0)
            ConfigValidator.Validate(config);
        IDevice device = DeviceChoice.Open(config);
        DType type = config.Fp16 && device.Supports(DType.BFloat16) ? DType.BFloat16 : DType.Float32;
        var recorder = new ProfilingDevice(device, () => Module.Running?.Path ?? "");
        Profile profile = shapes.Length > 0
            ? OneKernel(recorder, device, type, shapes, options)
            : WholeStep(recorder, device, type, config, options);
        Print(profile, options);
        if (device is CudaDevice { KernelChoice: KernelChoice.Auto } cuda)
            Console.WriteLine($"choices: {cuda.ChoicesPath}");
        if (options.Json.Length > 0)
            AtomicFile.Write(options.Json, stream => WriteJson(stream, profile, device));
        if (options.Trace.Length > 0)
            AtomicFile.Write(options.Trace, stream => TraceFile.Write(stream, recorder));
        return Shell.Success;
    }

    /// <param name="StepSeconds">A whole step with each kernel timed, by the clock on the wall; NaN for single kernels.</param>
    /// <param name="RecordedSeconds">A whole step as it runs in earnest, where the device records it; NaN elsewhere.</param>
    private sealed record Profile(
        IReadOnlyList<ProfileRow> Rows, MachinePeaks Peaks, double StepSeconds, double RecordedSeconds, string Title);

    private static MachinePeaks PeaksOf(IDevice device, DType type)
    {
        MachinePeaks peaks = MachinePeaks.Measure(device, type);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{device.Description}: {peaks.Operations / 1e12:0.###} TFLOP/s in a product of {type}, "
            + $"{peaks.Bytes / 1e9:0.#} GB/s in a copy"));
        device.ResetPeak();
        return peaks;
    }

    private static Profile OneKernel(ProfilingDevice recorder, IDevice device, DType type, string[] shapes, Options options)
    {
        MachinePeaks peaks = PeaksOf(device, type);
        IReadOnlyList<TimedCall> Measure()
        {
            foreach (int repeats in (int[])[1, Repeats]) // the first round warms up
            {
                recorder.Reset();
                recorder.Repeats = repeats;
                foreach (string shape in shapes)
                    KernelWorkbench.Run(recorder, type, options.Kernel, shape);
            }

            return recorder.Times();
        }

        ProfileRow[] rows = [.. KernelProfile.Rows(Measure(), WithLibraries(device, Measure), 1, peaks, Name(Grouping.Shape))
            .Where(row => row.Name.StartsWith(options.Kernel + " ", StringComparison.OrdinalIgnoreCase))];
        return new Profile(rows, peaks, double.NaN, double.NaN, "single calls");
    }

    private static Profile WholeStep(
        ProfilingDevice recorder, IDevice device, DType type, ProgramConfig config, Options options)
    {
        double recorded = options.Kernel.Length == 0 && device.CanCapture && config.UseGraphs
            ? RecordedStep(device, config, options) : double.NaN;
        (Action step, IDisposable owner, string title) = Step(recorder, config, options);
        using (owner)
        {
            step(); // what cannot work fails here
            MachinePeaks peaks = PeaksOf(device, type);
            bool alone = options.Kernel.Length > 0;
            int steps = alone ? 1 : options.Steps;
            double wall = 0;
            IReadOnlyList<TimedCall> Measure()
            {
                recorder.Repeats = 1;
                for (int i = 0; i < options.WarmUp; i++)
                    step();
                recorder.Synchronize();
                recorder.Reset();
                recorder.Repeats = alone ? Repeats : 1;
                long from = recorder.Mark();
                for (int i = 0; i < steps; i++)
                    step();
                recorder.Synchronize();
                wall = recorder.Seconds(from, recorder.Mark()) / steps;
                return recorder.Times();
            }

            IReadOnlyList<TimedCall> libraries = WithLibraries(device, Measure);
            IReadOnlyList<ProfileRow> rows = KernelProfile.Rows(
                Measure(), libraries, steps, peaks, Name(alone ? Grouping.Shape : options.By));
            if (alone)
                rows = [.. rows.Where(row => row.Name.Contains(options.Kernel, StringComparison.OrdinalIgnoreCase))];
            if (rows.Count == 0)
                throw new MdmException($"profile: no kernel of this step has a name with '{options.Kernel}' in it");
            if (options.Trace.Length > 0)
            {
                recorder.Reset();
                step();
                recorder.Synchronize();
            }

            return new Profile(rows, peaks, alone ? double.NaN : wall, recorded, title);
        }
    }

    /// <summary>Seconds of a step without a clock around each kernel.</summary>
    private static double RecordedStep(IDevice device, ProgramConfig config, Options options)
    {
        const int untilRecorded = 3;
        (Action step, IDisposable owner, _) = Step(device, config, options);
        using (owner)
        {
            for (int i = 0; i < untilRecorded + options.WarmUp; i++)
                step();
            device.Synchronize();
            long from = device.Mark();
            for (int i = 0; i < options.Steps; i++)
                step();
            return device.Seconds(from, device.Mark()) / options.Steps;
        }
    }

    private static (Action Step, IDisposable Owner, string Title) Step(IDevice device, ProgramConfig config, Options options)
    {
        int width = TextModels.WidthOf(config), size = config.ResolvedSampleSize, batch = config.BatchSize;
        string name = config.UnetConfig.ModelName;
        if (options.Step == StepKind.Train)
        {
            var training = new SyntheticTraining(config, width, device, options.Tokens);
            return (training.Run, training, $"training step of {name}, batch {batch}");
        }

        var sampling = new SyntheticSampling(config, width, device, options.Tokens, batch, size);
        return (sampling.Run, sampling, $"sampling step of {name}, {batch} {(batch == 1 ? "picture" : "pictures")} of {size}x{size}");
    }

    /// <summary>The same calls where libraries come first; none where there are no libraries.</summary>
    private static IReadOnlyList<TimedCall> WithLibraries(IDevice device, Func<IReadOnlyList<TimedCall>> measure)
    {
        if (device is not CudaDevice { HasLibraries: true } cuda)
            return [];
        KernelChoice asked = cuda.KernelChoice;
        cuda.KernelChoice = KernelChoice.Library;
        try
        {
            return measure();
        }
        finally
        {
            cuda.KernelChoice = asked;
        }
    }

    private static Func<KernelRecord, string> Name(Grouping by) => by switch
    {
        Grouping.Kernel => static call => call.Kernel,
        Grouping.Shape => static call => $"{call.Kernel} {call.Shape}",
        _ => static call => call.Where.Length > 0 ? call.Where : "(outside the network)",
    };

    private static void Print(Profile profile, Options options)
    {
        double all = profile.Rows.Sum(row => row.Seconds);
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn("");
        bool compared = profile.Rows.Any(row => !double.IsNaN(row.LibraryRatio));
        foreach (string title in (string[])
            ["calls", "ms", "time", "TFLOP/s", "GB/s", "roofline", .. compared ? (string[])["library"] : []])
            table.AddColumn(new TableColumn(title) { NoWrap = true }.RightAligned());
        foreach (ProfileRow row in profile.Rows.Take(options.Top))
        {
            string library = double.IsNaN(row.LibraryRatio) ? "" : Text(row.LibraryRatio, "0.00");
            table.AddRow([Markup.Escape(row.Name), Text(row.Calls, "0.#"), Text(row.Seconds * 1e3, "0.000"),
                Text(row.Seconds / all, "0.0 %"), Text(row.Operations / row.Seconds / 1e12, "0.000"),
                Text(row.Bytes / row.Seconds / 1e9, "0.0"), Text(row.Share, "0 %"), .. compared ? (string[])[library] : []]);
        }

        Terminal.Print(table);
        if (profile.Rows.Count > options.Top)
            Console.WriteLine($"and {profile.Rows.Count - options.Top} more rows; --top shows them");
        if (double.IsNaN(profile.StepSeconds))
            return;
        double least = profile.Rows.Sum(row => row.LeastSeconds), operations = profile.Rows.Sum(row => row.Operations);
        string Rates(double seconds) => string.Create(CultureInfo.InvariantCulture,
            $"{operations / seconds / 1e12:0.000} TFLOP/s, {operations / seconds / profile.Peaks.Operations:0 %} of the product's, "
            + $"{least / seconds:0 %} of the roofline");
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{profile.Title}: {profile.StepSeconds * 1e3:0.00} ms, of which {all * 1e3:0.00} ms in "
            + $"{profile.Rows.Sum(row => row.Calls):0} kernel calls; {Rates(profile.StepSeconds)}"));
        if (!double.IsNaN(profile.RecordedSeconds))
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"recorded and replayed, as in earnest: {profile.RecordedSeconds * 1e3:0.00} ms; {Rates(profile.RecordedSeconds)}"));
        }
    }

    // Nothing for a rate of a call that was too short for the clock.
    private static string Text(double value, string format) =>
        double.IsFinite(value) ? value.ToString(format, CultureInfo.InvariantCulture) : "";

    private static void WriteJson(Stream stream, Profile profile, IDevice device)
    {
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteString("device", device.Description);
        json.WriteString("what", profile.Title);
        json.WriteNumber("peak_flops", profile.Peaks.Operations);
        json.WriteNumber("peak_bytes", profile.Peaks.Bytes);
        if (!double.IsNaN(profile.StepSeconds))
            json.WriteNumber("step_seconds", profile.StepSeconds);
        if (!double.IsNaN(profile.RecordedSeconds))
            json.WriteNumber("recorded_step_seconds", profile.RecordedSeconds);
        json.WriteNumber("peak_memory_bytes", device.Memory.Peak);
        json.WriteStartArray("rows");
        foreach (ProfileRow row in profile.Rows)
        {
            json.WriteStartObject();
            json.WriteString("name", row.Name);
            json.WriteNumber("calls", row.Calls);
            json.WriteNumber("seconds", row.Seconds);
            json.WriteNumber("operations", row.Operations);
            json.WriteNumber("bytes", row.Bytes);
            json.WriteNumber("roofline", row.Share);
            if (!double.IsNaN(row.LibraryRatio))
                json.WriteNumber("library_ratio", row.LibraryRatio);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }
}
