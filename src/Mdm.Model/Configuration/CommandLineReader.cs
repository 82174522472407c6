using Mdm.Kernels;

namespace Mdm.Model.Configuration;

/// <summary>An option as given: its name in underscores without dashes in front, and its value as text.</summary>
internal readonly record struct GivenOption(string Name, string Value);

/// <summary>Splits a command line into options and other words. <c>--name=value</c>, <c>--name value</c>, switches with or
/// without a value, <c>--no-name</c> for switches; dashes and underscores are the same; <c>--</c> ends the options.</summary>
internal sealed class CommandLineReader(Func<string, SettingField?> find, Func<string, bool> skipped, Action<string> warn)
{
    private readonly List<GivenOption> _options = [];
    private readonly List<string> _words = [];

    /// <summary>Options in the order given.</summary>
    public IReadOnlyList<GivenOption> Options => _options;

    /// <summary>Words that are not options.</summary>
    public IReadOnlyList<string> Words => _words;

    /// <summary>Reads all arguments.</summary>
    /// <param name="args">The words of the command line.</param>
    /// <param name="unknown">Makes the error for a name that nobody knows.</param>
    /// <exception cref="MdmException">An unknown option or a missing value.</exception>
    public void Read(IReadOnlyList<string> args, Func<string, MdmException> unknown)
    {
        for (int i = 0; i < args.Count; i++)
        {
            if (args[i] == "--")
            {
                _words.AddRange(args.Skip(i + 1));
                return;
            }

            if (args[i].Length > 1 && args[i][0] == '-' && char.IsAsciiLetter(args[i][1]) && !args[i].Contains(' '))
                throw new MdmException($"unknown option {args[i]}; options begin with two dashes");
            if (!IsOption(args[i]))
                _words.Add(args[i]);
            else
                ReadOption(args, ref i, unknown);
        }
    }

    internal static bool IsOption(string word) =>
        word.StartsWith("--", StringComparison.Ordinal) && word.Length > 2 && !char.IsWhiteSpace(word[2]);

    private void ReadOption(IReadOnlyList<string> args, ref int i, Func<string, MdmException> unknown)
    {
        string[] parts = args[i][2..].Split('=', 2);
        string name = parts[0].Replace('-', '_');
        string? value = parts.Length == 2 ? parts[1] : null;
        SettingField? field = find(name);
        bool negated = field == null && name.StartsWith("no_", StringComparison.Ordinal)
            && find(name[3..]) is { IsSwitch: true };
        if (negated)
            (name, field) = (name[3..], find(name[3..]));

        bool next = i + 1 < args.Count;
        if (field == null && !skipped(name))
            throw unknown(parts[0]);
        if (field == null)
        {
            warn($"--{parts[0]} means nothing here and is skipped");
            if (value == null && next && !IsOption(args[i + 1]))
                i++;
            return;
        }

        if (field.IsSection)
            throw new MdmException($"--{parts[0]} is a section; give one of its fields, such as "
                + $"--{parts[0]}.{SettingsTable.Of(field.Type).Fields[0].Name}");
        if (field.IsSwitch)
            value ??= next && IsSwitchWord(args[i + 1]) ? args[++i] : "true";
        else if (value == null)
            value = next && !IsOption(args[i + 1]) ? args[++i] : throw new MdmException($"--{parts[0]}: expected a value");
        if (negated)
            value = Opposite(field, parts[0], value);
        _options.Add(new GivenOption(name, value));
    }

    private static string Opposite(SettingField field, string name, string value)
    {
        try
        {
            return (bool)field.Parse(value)! ? "false" : "true";
        }
        catch (MdmException e)
        {
            throw new MdmException($"--{name}: {e.Message}");
        }
    }

    private static bool IsSwitchWord(string word) =>
        word.ToLowerInvariant() is "0" or "1" or "true" or "false" or "yes" or "no" or "on" or "off";
}
