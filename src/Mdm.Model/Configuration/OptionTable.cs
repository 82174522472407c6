using Mdm.Kernels;

namespace Mdm.Model.Configuration;

/// <summary>What somebody typed after a verb.</summary>
/// <param name="Options">The verb's own options.</param>
/// <param name="ConfigOverrides">Configuration fields, for <see cref="ConfigLoader.Load"/>, as <c>--path=value</c>.</param>
/// <param name="Words">Words that are not options.</param>
/// <param name="Help">True if --help (or -h) was among them; nothing else is checked then.</param>
/// <param name="HelpAll">True if --help-all was, which asks for the configuration fields too.</param>
public sealed record VerbArguments<TOptions>(
    TOptions Options, IReadOnlyList<string> ConfigOverrides, IReadOnlyList<string> Words, bool Help, bool HelpAll);

/// <summary>The options of one verb: the properties of <typeparamref name="TOptions"/> that have a
/// <see cref="SettingAttribute"/>, and for verbs that take a configuration every field of <see cref="ProgramConfig"/>.
/// (CommandLineParser is not used: its options must be properties known when compiling, and the fields of a configuration
/// depend on how many networks are nested.)</summary>
/// <param name="usage">The verb and its words, such as <c>mdm sample [options] [prompt ...]</c>.</param>
/// <param name="summary">What the verb does, in a sentence or two.</param>
/// <param name="takesConfig">Whether configuration fields may be given.</param>
/// <param name="common">The configuration fields that --help shows, since most people need no others here.</param>
public sealed class OptionTable<TOptions>(string usage, string summary, bool takesConfig = false, params string[] common)
    where TOptions : class, new()
{
    private static readonly SettingsTable Own = SettingsTable.Of(typeof(TOptions));

    /// <summary>Reads the words after the verb.</summary>
    /// <exception cref="MdmException">An unknown option (the nearest one is named), a missing value or one of the wrong
    /// type or range.</exception>
    public VerbArguments<TOptions> Parse(IReadOnlyList<string> args, Action<string>? warn = null)
    {
        var options = new TOptions();
        string[] beforeEnd = [.. args.TakeWhile(a => a != "--")];
        bool all = beforeEnd.Contains("--help-all"), help = all || beforeEnd.Contains("--help") || beforeEnd.Contains("-h");
        if (help)
            return new VerbArguments<TOptions>(options, [], [], true, all);

        var reader = new CommandLineReader(Find, name => takesConfig && LegacyKeys.ContainsOption(name), warn ?? (_ => { }));
        reader.Read(args, name => ConfigLoader.UnknownOption(name, Names()));
        var overrides = new List<string>();
        foreach (GivenOption option in reader.Options)
        {
            if (Own.Find(option.Name) is not { } field)
            {
                overrides.Add($"--{option.Name}={option.Value}");
                continue;
            }

            try
            {
                field.Set(options, field.Parse(option.Value));
            }
            catch (MdmException e)
            {
                throw new MdmException($"--{option.Name.Replace('_', '-')}: {e.Message}");
            }
        }

        return new VerbArguments<TOptions>(options, overrides, reader.Words, false, false);
    }

    /// <summary>The text of --help, at most 80 columns wide.</summary>
    /// <param name="withConfig">Also lists the configuration fields, as --help-all does.</param>
    public string Help(bool withConfig = false)
    {
        var text = new HelpText();
        text.Paragraph("Usage: " + usage);
        text.Paragraph(summary);
        text.Heading("Options");
        var defaults = new TOptions();
        foreach (SettingField field in Own.Fields)
            text.Setting(field, field.Name.Replace('_', '-'), field.Get(defaults));
        text.Entry("--help", "Shows this text");
        if (takesConfig)
            text.Entry("--help-all", "Also lists the configuration fields, each of which is an option too");
        var config = new ProgramConfig();
        if (common.Length > 0)
            text.Section("Settings of the configuration, with their values where it does not say");
        foreach (PlacedSetting place in common.Select(name => SettingsTable.Walk(config).First(setting => setting.Matches(name))))
            text.Setting(place.Field, place.Field.Name.Replace('_', '-'), place.Value);
        if (takesConfig && withConfig)
            text.Configuration(config);
        return text.ToString();
    }

    private SettingField? Find(string name) => Own.Find(name) ?? (takesConfig ? ConfigLoader.FindOption(name) : null);

    private IEnumerable<string> Names()
    {
        IEnumerable<string> own = Own.Fields.Select(f => f.Name.Replace('_', '-')).Append("help");
        return takesConfig ? own.Concat(SettingsTable.AllNames(typeof(ProgramConfig))) : own;
    }
}
