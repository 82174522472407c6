using System.Text;

namespace Mdm.Model.Configuration;

/// <summary>Writes configurations as YAML.</summary>
public static class ConfigSaver
{
    /// <summary>Every setting with its value, sections last; <see cref="ConfigLoader"/> reads it back to an equal
    /// configuration.</summary>
    public static string ToYaml(ProgramConfig config)
    {
        var text = new StringBuilder();
        Write(text, config, "");
        return text.ToString();
    }

    /// <summary>The settings of one section, such as a network, in the same form.</summary>
    public static string ToYaml(UNetConfig config)
    {
        var text = new StringBuilder();
        Write(text, config, "");
        return text.ToString();
    }

    private static void Write(StringBuilder text, object owner, string indent)
    {
        IReadOnlyList<SettingField> fields = SettingsTable.Of(owner.GetType()).Fields;
        foreach (SettingField field in fields.Where(f => !f.IsSection))
            text.Append(indent).Append(field.Name).Append(": ").Append(Scalar(field, field.Get(owner))).Append('\n');
        foreach (SettingField field in fields.Where(f => f.IsSection))
        {
            if (field.Get(owner) is not { } section)
                continue;
            text.Append(indent).Append(field.Name).Append(":\n");
            Write(text, section, indent + "  ");
        }
    }

    private static string Scalar(SettingField field, object? value) =>
        value is string s ? (IsPlain(s) ? s : Quoted(s)) : field.Format(value);

    /// <summary>Words that YAML cannot take for anything else stand without quotes.</summary>
    private static bool IsPlain(string s) =>
        s.Length > 0 && !SettingField.IsNullWord(s) && s.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '/' or '.' or '-')
        && s[0] != '-' && !s.StartsWith("...", StringComparison.Ordinal);

    private static string Quoted(string s)
    {
        var text = new StringBuilder("\"");
        foreach (char c in s)
            text.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                _ when char.IsControl(c) || c is '\u2028' or '\u2029' or '\uFEFF' => $"\\u{(int)c:X4}",
                _ => c.ToString(),
            });
        return text.Append('"').ToString();
    }
}
