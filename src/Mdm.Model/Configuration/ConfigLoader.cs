using Mdm.Kernels;

namespace Mdm.Model.Configuration;

/// <summary>Builds a configuration from defaults, then a YAML file, then the command line.</summary>
public static class ConfigLoader
{
    /// <summary>Reads a configuration. Types and ranges of single values are checked here, with file and line;
    /// <see cref="ConfigValidator"/> checks what depends on several.</summary>
    /// <param name="yamlPath">A YAML file, or null for the defaults.</param>
    /// <param name="overrides">Options such as <c>--num_diffusion_steps=10</c>, <c>--fp16 1</c>, <c>--use-adamw</c> or
    /// <c>--unet_config.inner_config.resolution_channels 64,128</c>: any field by its path, or by the end of its path where
    /// that is unique.</param>
    /// <param name="warn">Receives one line for everything that is accepted with a remark.</param>
    /// <exception cref="MdmException">One line with the place, the value found and the value expected.</exception>
    public static ProgramConfig Load(string? yamlPath, IReadOnlyList<string> overrides, Action<string> warn)
    {
        YamlValue? root = yamlPath == null ? null : YamlTree.Read(yamlPath);
        return Build(root, yamlPath ?? "", overrides, warn);
    }

    /// <summary>As <see cref="Load"/>, from YAML text; <paramref name="name"/> stands for the file in messages.</summary>
    public static ProgramConfig Parse(string yaml, string name, Action<string> warn) =>
        Build(YamlTree.Parse(name, yaml), name, [], warn);

    private static ProgramConfig Build(YamlValue? root, string file, IReadOnlyList<string> overrides, Action<string> warn)
    {
        var config = new ProgramConfig();
        if (root != null)
            new ConfigYaml(file, config, warn).Apply(root);
        ApplyOptions(config, overrides, warn);
        NestAsNamed(config);
        DropMissingPretrained(config, file, warn);
        return config;
    }

    /// <summary>The setting that a name on the command line means, whatever the nesting; null where there is none.</summary>
    internal static SettingField? FindOption(string name) =>
        SettingsTable.FindAnywhere(typeof(ProgramConfig), name == "vision_model" ? "model" : name);

    /// <summary>The error for an option that is not a configuration field.</summary>
    internal static MdmException UnknownOption(string name, IEnumerable<string> candidates) =>
        new($"unknown option --{SettingField.Shown(name)}; "
            + (NearestName.Find(name[(name.LastIndexOf('.') + 1)..], candidates) is { } nearest
                ? $"did you mean '--{nearest}'?"
                : "--help lists those that exist"));

    /// <summary>The object of a section, made where it is not there yet.</summary>
    internal static object Section(object owner, SettingField field)
    {
        if (field.Get(owner) is { } section)
            return section;
        object made = field.Type == typeof(UNetConfig)
            ? new UNetConfig { Nesting = true }
            : Activator.CreateInstance(field.Type)!;
        field.Set(owner, made);
        return made;
    }

    /// <summary>Replaces values that published files spell in an old way.</summary>
    internal static string WithoutOldNames(SettingField field, string path, string value, Action<string> warn)
    {
        if (field.Type != typeof(PredictionType) || !value.Equals("HA_STYLE", StringComparison.OrdinalIgnoreCase))
            return value;
        warn($"{path}: {value} is an old name of DDPM");
        return "DDPM";
    }

    private static void ApplyOptions(ProgramConfig config, IReadOnlyList<string> overrides, Action<string> warn)
    {
        var reader = new CommandLineReader(FindOption, LegacyKeys.ContainsOption, warn);
        reader.Read(overrides, name => UnknownOption(name, SettingsTable.AllNames(typeof(ProgramConfig))));
        if (reader.Words.Count > 0)
            throw new MdmException($"expected options that begin with --, found '{SettingField.Shown(reader.Words[0])}'");
        foreach (GivenOption option in reader.Options)
        {
            PlacedSetting place = Place(config, option.Name == "vision_model" ? "model" : option.Name);
            try
            {
                string value = WithoutOldNames(place.Field, place.Path, option.Value, warn);
                place.Field.Set(place.Owner, place.Field.Parse(value));
            }
            catch (MdmException e)
            {
                throw new MdmException($"--{option.Name}: {e.Message}");
            }
        }
    }

    private static PlacedSetting Place(ProgramConfig config, string name)
    {
        if (AlongPath(config, name) is { } exact)
            return exact;
        PlacedSetting[] places = SettingsTable.Walk(config).Where(s => s.Matches(name)).ToArray();
        return places.Length switch
        {
            1 => places[0],
            0 => throw new MdmException($"--{name}: this configuration has no such section; it nests "
                + $"{config.UnetConfig.Nestings} networks"),
            _ => throw new MdmException($"--{name} could mean {string.Join(" or ", places.Select(p => "--" + p.Path))}"),
        };
    }

    private static PlacedSetting? AlongPath(ProgramConfig config, string name)
    {
        string[] parts = name.Split('.');
        object owner = config;
        foreach (string part in parts[..^1])
        {
            if (SettingsTable.Of(owner.GetType()).Find(part) is not { IsSection: true } section)
                return null;
            owner = Section(owner, section);
        }

        return SettingsTable.Of(owner.GetType()).Find(parts[^1]) is { IsSection: false } field
            ? new PlacedSetting(name, owner, field) : null;
    }

    /// <summary>Fills in the model's name from the nesting; or, where only a name is given, nests default networks as the
    /// original does.</summary>
    private static void NestAsNamed(ProgramConfig config)
    {
        if (config.Model != null && config.UnetConfig.InnerConfig == null)
        {
            int nestings = Enumerable.Range(0, 5).FirstOrDefault(n => UNetConfig.NameOfModel(n) == config.Model);
            for (UNetConfig outer = config.UnetConfig; nestings > 0; nestings--)
                outer = outer.InnerConfig = new UNetConfig { Nesting = true };
        }

        config.Model ??= config.UnetConfig.ModelName;
    }

    private static void DropMissingPretrained(ProgramConfig config, string file, Action<string> warn)
    {
        foreach (UNetConfig network in config.UnetConfig.Chain())
        {
            if (network.InitializeInnerWithPretrained is not { } name || File.Exists(name))
                continue;
            string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(file == "" ? "." : file))!, name);
            bool found = File.Exists(beside);
            if (!found)
                warn($"initialize_inner_with_pretrained: there is no file {SettingField.Shown(name)}; the inner network starts from scratch");
            network.InitializeInnerWithPretrained = found ? beside : null;
        }
    }
}
