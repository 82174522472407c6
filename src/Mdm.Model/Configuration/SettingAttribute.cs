namespace Mdm.Model.Configuration;

/// <summary>Marks a property as a configuration field or an option of a verb. Its YAML and command-line name is the C# name in
/// snake_case; everything that reads, writes, explains or checks settings works from these marks.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class SettingAttribute(string help) : Attribute
{
    /// <summary>What the setting does, in words for --help (no full stop, no default).</summary>
    public string Help { get; } = help;

    /// <summary>Least value allowed, of a number or of every number in a list; NaN = no limit.</summary>
    public double Min { get; init; } = double.NaN;

    /// <summary>Greatest value allowed, as <see cref="Min"/>.</summary>
    public double Max { get; init; } = double.NaN;

    /// <summary>Another name by which the setting may be given, in snake_case.</summary>
    public string? Alias { get; init; }

    /// <summary>What --help shows for the value, where the type's own word (N, X, TEXT, LIST) says too little.</summary>
    public string? Placeholder { get; init; }
}

/// <summary>The names of this enumeration are written in lower case; without it they are written in upper case.</summary>
[AttributeUsage(AttributeTargets.Enum)]
public sealed class LowerCaseNamesAttribute : Attribute;
