using System.Globalization;
using System.Reflection;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Model.Configuration;

/// <summary>One setting of a class: how it is called, read from text, written as text, explained and checked.</summary>
public sealed class SettingField
{
    private readonly PropertyInfo _property;
    private readonly SettingAttribute _mark;

    internal SettingField(PropertyInfo property, SettingAttribute mark)
    {
        _property = property;
        _mark = mark;
        Name = SnakeCase(property.Name);
        Type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        IsNullable = Type != property.PropertyType
            || (!Type.IsValueType && new NullabilityInfoContext().Create(property).WriteState == NullabilityState.Nullable);
        IsSection = Type.IsClass && Type != typeof(string) && !Type.IsArray;
    }

    /// <summary>Name in YAML files and on the command line.</summary>
    public string Name { get; }

    /// <summary>Another name, or null.</summary>
    public string? Alias => _mark.Alias;

    /// <summary>What the setting does.</summary>
    public string Help => _mark.Help;

    /// <summary>True if nothing is an allowed value.</summary>
    public bool IsNullable { get; }

    /// <summary>True if the value is an object with settings of its own.</summary>
    public bool IsSection { get; }

    /// <summary>True if the value is true or false, so that an option needs no value.</summary>
    public bool IsSwitch => Type == typeof(bool);

    /// <summary>What --help shows for the value.</summary>
    public string Placeholder => _mark.Placeholder ?? (
        IsSwitch ? "" : Type == typeof(int) || Type == typeof(long) ? "N" : Type == typeof(double) ? "X"
        : Type.IsArray ? "LIST" : Type.IsEnum ? "NAME" : "TEXT");

    /// <summary>The allowed words of an enumeration, else empty.</summary>
    public IReadOnlyList<string> Choices => Type.IsEnum ? Enum.GetValues(Type).Cast<object>().Select(ChoiceName).ToArray() : [];

    internal Type Type { get; }

    /// <summary>The value of this setting in <paramref name="owner"/>.</summary>
    public object? Get(object owner) => _property.GetValue(owner);

    /// <summary>Changes the value of this setting in <paramref name="owner"/>.</summary>
    public void Set(object owner, object? value) => _property.SetValue(owner, value);

    /// <summary>Reads a value from one word.</summary>
    /// <exception cref="MdmException">Not a value of this type or out of range; the message has no name in front.</exception>
    public object? Parse(string text, bool quoted = false)
    {
        bool nothing = !quoted && IsNullWord(text);
        if (Type.IsEnum && ParseChoice(text) is { } choice)
            return choice;
        if (nothing && IsNullable)
            return null;
        if (Type == typeof(string))
            return nothing ? "" : text;
        if (Type.IsArray)
            return ParseList(nothing ? [] : SplitList(text));
        return Checked(ParseOne(Type, text) ?? throw Expected(text));
    }

    /// <summary>Reads a list from its entries; a setting that is not a list refuses.</summary>
    /// <exception cref="MdmException">As <see cref="Parse"/>.</exception>
    public object ParseList(IReadOnlyList<string> items)
    {
        if (!Type.IsArray)
            throw Expected($"[{string.Join(", ", items)}]");
        Type element = Type.GetElementType()!;
        Array list = Array.CreateInstance(element, items.Count);
        for (int i = 0; i < items.Count; i++)
            list.SetValue(ParseOne(element, items[i].Trim()) ?? throw Expected(items[i]), i);
        return Checked(list)!;
    }

    /// <summary>The value as a YAML scalar or flow list.</summary>
    public string Format(object? value) => value switch
    {
        null => "null",
        bool b => b ? "true" : "false",
        double d => FormatNumber(d),
        string s => s.Length == 0 ? "''" : s,
        Enum e => ChoiceName(e),
        Array a => "[" + string.Join(", ", a.Cast<object>().Select(Format)) + "]",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };

    /// <summary>What is wrong with a value by itself ("expected at least 1, found -64"), or null.</summary>
    public string? Fault(object? value) => value switch
    {
        Array list => list.Cast<object>().Select(Fault).FirstOrDefault(fault => fault != null),
        int or long or double => FaultOfNumber(Convert.ToDouble(value, CultureInfo.InvariantCulture)),
        null when !IsNullable => $"expected {TypeName}, found nothing",
        _ => null,
    };

    internal bool IsCalled(string name) => name == Name || (Alias != null && name == Alias);

    internal static string SnakeCase(string name)
    {
        var text = new StringBuilder();
        for (int i = 0; i < name.Length; i++)
        {
            bool starts = char.IsUpper(name[i]) && i > 0
                && (!char.IsUpper(name[i - 1]) || (i + 1 < name.Length && char.IsLower(name[i + 1])));
            text.Append(starts ? "_" : "").Append(char.ToLowerInvariant(name[i]));
        }

        return text.ToString();
    }

    internal static bool IsNullWord(string text) => text is "" or "~" or "null" or "Null" or "NULL" or "None" or "none";

    private string TypeName => Type == typeof(int) || Type == typeof(long) ? "an integer"
        : Type == typeof(double) ? "a number"
        : Type == typeof(bool) ? "true or false"
        : Type == typeof(int[]) ? "a list of integers"
        : Type == typeof(double[]) ? "a list of numbers"
        : Type.IsEnum ? "one of " + string.Join(", ", Choices)
        : IsSection ? "a section" : "text";

    internal MdmException Expected(string found) => new($"expected {TypeName}, found '{Shown(found)}'");

    /// <summary>Text that somebody wrote, fit for a message of one line: no control characters, and shortened.</summary>
    internal static string Shown(string text)
    {
        string start = text.Length <= 60 ? text : text[..57] + "...";
        return string.Concat(start.Select(c => char.IsControl(c) || c is '\u2028' or '\u2029' ? ' ' : c));
    }

    private object? Checked(object? value) =>
        Fault(value) is { } fault ? throw new MdmException(fault) : value;

    private string? FaultOfNumber(double value)
    {
        if (!double.IsFinite(value))
            return $"expected a finite number, found {FormatNumber(value)}";
        if (value < _mark.Min)
            return $"expected at least {FormatNumber(_mark.Min)}, found {FormatNumber(value)}";
        return value > _mark.Max ? $"expected at most {FormatNumber(_mark.Max)}, found {FormatNumber(value)}" : null;
    }

    private static object? ParseOne(Type type, string text)
    {
        if (type == typeof(bool))
            return text.ToLowerInvariant() switch
            {
                "true" or "yes" or "on" or "1" => true,
                "false" or "no" or "off" or "0" => false,
                _ => null,
            };
        if (type == typeof(double))
            return text.ToLowerInvariant() switch
            {
                ".nan" => double.NaN,
                ".inf" or "+.inf" => double.PositiveInfinity,
                "-.inf" => double.NegativeInfinity,
                _ => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double d) ? d : null,
            };
        // 1e6 is an integer too: 850000 is hard to type right.
        if (!decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal n) || n != decimal.Truncate(n))
            return null;
        if (type == typeof(int))
            return n is >= int.MinValue and <= int.MaxValue ? (int)n : null;
        return n is >= long.MinValue and <= long.MaxValue ? (long)n : null;
    }

    private object? ParseChoice(string text)
    {
        foreach (object value in Enum.GetValues(Type))
            if (string.Equals(ChoiceName(value), text.Replace('-', '_'), StringComparison.OrdinalIgnoreCase))
                return value;
        return IsNullable && IsNullWord(text) ? null : throw Expected(text);
    }

    private static string ChoiceName(object value)
    {
        string name = SnakeCase(value.ToString()!);
        return value.GetType().IsDefined(typeof(LowerCaseNamesAttribute)) ? name : name.ToUpperInvariant();
    }

    private string[] SplitList(string text)
    {
        string inner = text.Trim();
        if (inner.StartsWith('[') && inner.EndsWith(']'))
            inner = inner[1..^1];
        char[] separators = Type == typeof(double[]) ? [',', ':'] : [','];
        return inner.Split(separators, StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
    }

    private static string FormatNumber(double value) =>
        double.IsNaN(value) ? ".nan"
        : double.IsInfinity(value) ? (value > 0 ? ".inf" : "-.inf")
        : value.ToString("R", CultureInfo.InvariantCulture);
}
