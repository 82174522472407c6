using Mdm.Kernels;

namespace Mdm.Model.Configuration;

/// <summary>Puts what a YAML file says into a configuration.</summary>
internal sealed class ConfigYaml(string file, ProgramConfig config, Action<string> warn)
{
    private const int DeepestSection = 16;

    private readonly List<string> _legacy = [];
    private readonly List<YamlEntry> _misplaced = [];

    /// <summary>Applies the top-level map.</summary>
    /// <exception cref="MdmException">An unknown key, or a value of the wrong type or range.</exception>
    public void Apply(YamlValue root)
    {
        ApplyMap(root, config, "");
        // After the sections, wherever they stand in the file: the original drops these keys, here they count.
        foreach (YamlEntry entry in _misplaced)
            ApplyMisplaced(entry);
        if (_legacy.Count > 0)
            warn($"{file}: skipped keys that mean nothing here: {string.Join(", ", _legacy)}");
    }

    private void ApplyMap(YamlValue map, object owner, string prefix)
    {
        foreach (YamlEntry entry in LastOfEach(map.Entries!))
        {
            string key = entry.Key.Replace('-', '_');
            if (key == "vision_model" && owner is ProgramConfig)
                ApplyVisionModel(entry, map);
            else if (SettingsTable.Of(owner.GetType()).Find(key) is { } field)
                ApplyField(entry, owner, field, prefix + field.Name);
            else if (LegacyKeys.Contains(key, topLevel: prefix == ""))
                _legacy.Add($"{key} (line {entry.Line})");
            else if (prefix == "" && SettingsTable.FindAnywhere(typeof(ProgramConfig), key) is { IsSection: false })
                _misplaced.Add(entry);
            else
                throw Unknown(entry, owner, prefix, key);
        }
    }

    private void ApplyField(YamlEntry entry, object owner, SettingField field, string path)
    {
        if (field.IsSection)
        {
            ApplySection(entry, owner, field, path);
            return;
        }

        try
        {
            field.Set(owner, Read(entry.Value, field, path));
        }
        catch (MdmException e)
        {
            throw new MdmException($"{file}, line {entry.Value.Line}: {path}: {e.Message}");
        }
    }

    private object? Read(YamlValue value, SettingField field, string path)
    {
        if (value.Entries != null || (value.Items?.Any(i => i.Scalar == null) ?? false))
            throw field.Expected(value.Shown);
        return value.Items != null
            ? field.ParseList(value.Items.Select(i => i.Scalar!).ToArray())
            : field.Parse(ConfigLoader.WithoutOldNames(field, path, value.Scalar!, warn), value.Quoted);
    }

    private void ApplySection(YamlEntry entry, object owner, SettingField field, string path)
    {
        if (entry.Value.IsNothing)
        {
            if (field.IsNullable)
                field.Set(owner, null);
            return;
        }

        if (entry.Value.Entries == null)
            throw new MdmException($"{file}, line {entry.Value.Line}: {path}: expected a section, "
                + $"found '{SettingField.Shown(entry.Value.Shown)}'");
        // Anchors can nest networks far deeper than the file itself is nested.
        if (path.Count(c => c == '.') > DeepestSection)
            throw new MdmException($"{file}, line {entry.Line}: sections nested deeper than {DeepestSection}");
        ApplyMap(entry.Value, ConfigLoader.Section(owner, field), path + ".");
    }

    private void ApplyVisionModel(YamlEntry entry, YamlValue map)
    {
        string? model = map.Entries!.LastOrDefault(e => e.Key == "model").Value?.Scalar;
        if (model == null)
            config.Model = entry.Value.IsNothing ? null : entry.Value.Scalar;
        else if (model != entry.Value.Scalar)
            warn($"{file}, line {entry.Line}: vision_model {SettingField.Shown(entry.Value.Shown)} differs from model "
                + $"{SettingField.Shown(model)}, which is used");
    }

    private void ApplyMisplaced(YamlEntry entry)
    {
        string key = entry.Key.Replace('-', '_');
        PlacedSetting[] places = SettingsTable.Walk(config).Where(s => s.Matches(key)).ToArray();
        if (places.Length != 1)
            throw new MdmException($"{file}, line {entry.Line}: unknown key '{entry.Key}' at the top level; "
                + $"it belongs in a section: {string.Join(", ", places.Select(p => p.Path))}");
        ApplyField(entry, places[0].Owner, places[0].Field, places[0].Path);
        warn($"{file}, line {entry.Line}: {key} at the top level is applied as {places[0].Path}");
    }

    private MdmException Unknown(YamlEntry entry, object owner, string prefix, string key)
    {
        string[] here = SettingsTable.Of(owner.GetType()).Fields.Select(f => f.Name).ToArray();
        string place = prefix == "" ? "at the top level" : $"in {prefix[..^1]}";
        string hint = NearestName.Hint(key, here);
        if (hint == "" && SettingsTable.Walk(config).Where(s => s.Matches(key)).ToArray() is { Length: > 0 } elsewhere)
            hint = $"; it belongs to {string.Join(", ", elsewhere.Select(s => s.Path))}";
        if (hint == "")
            hint = NearestName.Hint(key, SettingsTable.Walk(config).Select(s => s.Field.Name).Distinct());
        return new MdmException($"{file}, line {entry.Line}: unknown key '{SettingField.Shown(entry.Key)}' {place}{hint}");
    }

    private IEnumerable<YamlEntry> LastOfEach(IReadOnlyList<YamlEntry> entries)
    {
        foreach (IGrouping<string, YamlEntry> same in entries.GroupBy(e => e.Key.Replace('-', '_')))
        {
            YamlEntry last = same.Last();
            if (same.Count() > 1)
                warn($"{file}: {same.Key} is given {same.Count()} times (lines {string.Join(", ", same.Select(e => e.Line))}); "
                    + $"the one on line {last.Line} is used");
            yield return last;
        }
    }
}
