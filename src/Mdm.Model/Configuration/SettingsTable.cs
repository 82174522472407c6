using System.Collections.Concurrent;
using System.Reflection;

namespace Mdm.Model.Configuration;

/// <summary>A setting at its place in a configuration, such as <c>reader_config.max_token_length</c>.</summary>
/// <param name="Path">Full name.</param>
/// <param name="Owner">The object that has the setting.</param>
/// <param name="Field">The setting.</param>
public readonly record struct PlacedSetting(string Path, object Owner, SettingField Field)
{
    /// <summary>The value found there.</summary>
    public object? Value => Field.Get(Owner);

    /// <summary>True if <paramref name="name"/> is this path, or the end of it, by name or alias.</summary>
    internal bool Matches(string name) =>
        EndsAs(Path, name) || (Field.Alias is { } alias && EndsAs(Path[..^Field.Name.Length] + alias, name));

    private static bool EndsAs(string path, string name) =>
        path == name || path.EndsWith("." + name, StringComparison.Ordinal);
}

/// <summary>The settings of a class, from its <see cref="SettingAttribute"/> marks. YAML reading and writing, the command line,
/// --help and validation all work from these tables.</summary>
public sealed class SettingsTable
{
    private static readonly ConcurrentDictionary<Type, SettingsTable> Tables = new();

    private SettingsTable(Type type)
    {
        Fields = type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Select(p => (Property: p, Mark: p.GetCustomAttribute<SettingAttribute>()))
            .Where(p => p.Mark != null)
            .Select(p => new SettingField(p.Property, p.Mark!))
            .ToArray();
    }

    /// <summary>Settings in the order of declaration, sections included.</summary>
    public IReadOnlyList<SettingField> Fields { get; }

    /// <summary>The table of a class.</summary>
    public static SettingsTable Of(Type type) => Tables.GetOrAdd(type, t => new SettingsTable(t));

    /// <summary>The setting of that name or alias (underscores), or null.</summary>
    public SettingField? Find(string name) => Fields.FirstOrDefault(f => f.IsCalled(name));

    /// <summary>Every setting of an object and of its sections, sections themselves left out.</summary>
    public static IEnumerable<PlacedSetting> Walk(object owner, string prefix = "")
    {
        foreach (SettingField field in Of(owner.GetType()).Fields)
            if (!field.IsSection)
                yield return new PlacedSetting(prefix + field.Name, owner, field);
            else if (field.Get(owner) is { } section)
                foreach (PlacedSetting inner in Walk(section, prefix + field.Name + "."))
                    yield return inner;
    }

    /// <summary>A setting of a class, or of any section under it, by its own name or the end of its path; null where there is
    /// none. Which object it belongs to does not matter here: the same name always has the same type.</summary>
    internal static SettingField? FindAnywhere(Type type, string name) => FindAnywhere(type, name.Split('.'), []);

    private static SettingField? FindAnywhere(Type type, string[] path, HashSet<Type> seen)
    {
        if (Along(type, path) is { } here)
            return here;
        if (!seen.Add(type))
            return null;
        return Of(type).Fields.Where(f => f.IsSection)
            .Select(f => FindAnywhere(f.Type, path, seen)).FirstOrDefault(f => f != null);
    }

    private static SettingField? Along(Type type, string[] path)
    {
        foreach (string part in path[..^1])
        {
            if (Of(type).Find(part) is not { IsSection: true } section)
                return null;
            type = section.Type;
        }

        return Of(type).Find(path[^1]);
    }

    /// <summary>All names that a command line may use for the settings of a class and its sections.</summary>
    internal static IReadOnlyList<string> AllNames(Type type)
    {
        var names = new List<string>();
        Collect(type, []);
        return names;

        void Collect(Type of, HashSet<Type> seen)
        {
            if (!seen.Add(of))
                return;
            foreach (SettingField field in Of(of).Fields)
                if (field.IsSection)
                    Collect(field.Type, seen);
                else
                    names.Add(field.Name);
        }
    }
}
