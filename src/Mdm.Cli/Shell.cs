using System.Reflection;
using Mdm.Cli.Verbs;
using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Cli;

/// <summary>A command of the program.</summary>
/// <param name="Name">As typed; may be two words.</param>
/// <param name="Summary">One line.</param>
/// <param name="Run">Gets the words behind the name; returns the exit code.</param>
internal sealed record Verb(string Name, string Summary, Func<string[], int> Run)
{
    /// <summary>A command that is told what its table of options made of the words, unless they ask for help.</summary>
    public static Verb Of<T>(string name, string summary, OptionTable<T> options, Func<VerbArguments<T>, int> run)
        where T : class, new() =>
        new(name, summary, words =>
        {
            VerbArguments<T> given = options.Parse(words, Terminal.Warn);
            if (!given.Help)
                return run(given);
            Console.WriteLine(options.Help(given.HelpAll));
            return Shell.Success;
        });
}

/// <summary>Finds the verb, runs it, and turns everything that can go wrong into one line and an exit code.</summary>
internal static class Shell
{
    public const int Success = 0;
    public const int Failure = 1;
    public const int Interrupted = 130;

    private const int NameColumn = 20;

    public static IReadOnlyList<Verb> Verbs { get; } =
    [
        QuickstartVerb.Verb,
        TrainVerb.Verb,
        SampleVerb.Verb,
        PrepareShapesVerb.Verb,
        EvaluateShapesVerb.Verb,
        InspectVerb.Verb,
        ProfileVerb.Verb,
        GradcheckVerb.Verb,
        DoctorVerb.Verb,
        FetchVerb.Verb,
        EmbedVerb.Verb,
        ConvertVerb.Verb,
    ];

    public static int Run(string[] args)
    {
        try
        {
            return Dispatch(args);
        }
        catch (MdmException e)
        {
            Terminal.Error(e.Message);
            return Failure;
        }
        catch (OperationCanceledException)
        {
            Terminal.Error("interrupted");
            return Interrupted;
        }
        catch (OutOfDeviceMemoryException e)
        {
            Terminal.Error(e.Message);
            return Failure;
        }
        catch (OutOfMemoryException)
        {
            Terminal.Error("out of memory: try a smaller --batch-size, or --gradient-checkpointing when training");
            return Failure;
        }
        catch (Exception e) when (Environment.GetEnvironmentVariable("MDM_DEBUG") is not { Length: > 0 })
        {
            Terminal.Error($"{OneLine(e)} (a mistake in this program; MDM_DEBUG=1 shows where)");
            return Failure;
        }
    }

    private static int Dispatch(string[] args)
    {
        if (args.Length == 0 || (args[0] is "--help" or "-h" or "help" && args.Length == 1))
        {
            Console.WriteLine(Help());
            return Success;
        }

        if (args[0] is "--version")
        {
            Console.WriteLine($"mdm {Version}");
            return Success;
        }

        if (args[0] == "help")
            args = [.. args[1..], "--help"];
        // The longest name first: "prepare shapes" before "prepare".
        foreach (Verb verb in Verbs.OrderByDescending(v => v.Name.Length))
        {
            string[] words = verb.Name.Split(' ');
            if (args.Length >= words.Length && args.AsSpan(0, words.Length).SequenceEqual(words))
                return verb.Run(args[words.Length..]);
        }

        throw UnknownVerb(args);
    }

    private static MdmException UnknownVerb(string[] args)
    {
        string first = args[0];
        if (first.StartsWith('-'))
        {
            return new MdmException($"unknown option {first}; "
                + (NearestName.Find(first.TrimStart('-'), ["help", "version"]) is { } option ? $"did you mean '--{option}'?"
                    : "a command comes first, 'mdm --help' lists them"));
        }

        if (OriginalPrograms.CounterpartOf(first) is { } counterpart)
            return new MdmException($"{first}: {counterpart}");
        if (Verbs.FirstOrDefault(verb => verb.Name.StartsWith(first + " ", StringComparison.Ordinal)) is { } begun)
            return new MdmException($"'{first}' is the beginning of a command; did you mean 'mdm {begun.Name}'?");
        // One word or two, whichever comes near to a name.
        string both = string.Join(' ', args.TakeWhile(word => !word.StartsWith('-')).Take(2));
        IEnumerable<string> names = Verbs.Select(verb => verb.Name);
        string? nearest = NearestName.Find(both, names) ?? NearestName.Find(first, names);
        return new MdmException($"'{first}' is not a command; "
            + (nearest != null ? $"did you mean 'mdm {nearest}'?" : "'mdm --help' lists them"));
    }

    public static string Version { get; } = typeof(Shell).Assembly
        .GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private static string Help()
    {
        var lines = new List<string>
        {
            "Trains and samples Matryoshka Diffusion Models (arXiv 2310.15111).",
            "",
            "Usage: mdm COMMAND [options]",
            "",
            "Commands",
        };
        lines.AddRange(Verbs.Select(verb => $"  {verb.Name.PadRight(NameColumn)}{verb.Summary}"));
        lines.Add("");
        lines.Add("mdm COMMAND --help tells more about one.");
        return string.Join(Environment.NewLine, lines);
    }

    private static string OneLine(Exception e) =>
        $"{e.GetType().Name}: {string.Join(' ', e.Message.Split((char[])['\r', '\n'], StringSplitOptions.RemoveEmptyEntries))}";
}
