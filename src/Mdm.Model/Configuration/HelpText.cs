using System.Text;

namespace Mdm.Model.Configuration;

/// <summary>Lays out --help: option names on the left, their descriptions aligned and wrapped on the right.</summary>
internal sealed class HelpText
{
    private const int Width = 80;
    private const int Column = 30;

    private readonly StringBuilder _text = new();

    /// <summary>A wrapped paragraph and an empty line.</summary>
    public void Paragraph(string words)
    {
        foreach (string line in Wrap(words, Width))
            _text.Append(line).Append('\n');
        _text.Append('\n');
    }

    /// <summary>The name of a group of options.</summary>
    public void Heading(string name) => _text.Append(name).Append(":\n");

    /// <summary>As <see cref="Heading"/>, after an empty line.</summary>
    public void Section(string name) => Heading("\n" + name);

    /// <summary>An option and what it does.</summary>
    public void Entry(string option, string help)
    {
        string left = "  " + option;
        bool fits = left.Length <= Column - 2;
        if (!fits)
            _text.Append(left).Append('\n');
        string start = fits ? left.PadRight(Column) : new string(' ', Column);
        foreach (string line in Wrap(help, Width - Column))
        {
            _text.Append(start).Append(line).Append('\n');
            start = new string(' ', Column);
        }
    }

    /// <summary>A setting with its other name, its allowed words and its default.</summary>
    public void Setting(SettingField field, string name, object? defaultValue)
    {
        if (field.Alias is { } alias)
            name += $", --{alias}";
        string help = field.Help;
        if (field.Choices.Count > 0)
            help += $" ({string.Join(", ", field.Choices)})";
        if (defaultValue is not (null or "" or false))
            help += $" [{field.Format(defaultValue).Trim('[', ']')}]";
        Entry($"--{name} {field.Placeholder}".TrimEnd(), help);
    }

    /// <summary>All fields of a configuration, section by section.</summary>
    public void Configuration(ProgramConfig defaults)
    {
        _text.Append('\n');
        Paragraph("Configuration fields, by their own names where these are unique, else by path, such as "
            + "--unet_config.inner_config.resolution_channels. They stand in YAML files under the same names.");
        Section("Configuration", defaults);
    }

    public override string ToString() => _text.ToString();

    private void Section(string heading, object owner)
    {
        IReadOnlyList<SettingField> fields = SettingsTable.Of(owner.GetType()).Fields;
        Heading(heading);
        foreach (SettingField field in fields.Where(f => !f.IsSection))
            Setting(field, field.Name, field.Get(owner));
        foreach (SettingField field in fields.Where(f => f.IsSection && f.Get(owner) != null))
        {
            _text.Append('\n');
            Section(heading == "Configuration" ? field.Name : $"{heading}.{field.Name}", field.Get(owner)!);
        }
    }

    private static IEnumerable<string> Wrap(string words, int width)
    {
        var line = new StringBuilder();
        foreach (string word in words.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.Length > 0 && line.Length + 1 + word.Length > width)
            {
                yield return line.ToString();
                line.Clear();
            }

            line.Append(line.Length > 0 ? " " : "").Append(word);
        }

        yield return line.ToString();
    }
}
