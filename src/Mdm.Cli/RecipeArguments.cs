using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Sampling;

namespace Mdm.Cli;

/// <summary>From the command line to the recipe in a picture, and back.</summary>
internal static class RecipeArguments
{
    private const string ConfigPath = "--config_path=";

    // Fields that a recipe holds under names of its own, or that do not change the picture.
    private static readonly string[] s_apart =
    [
        "model_file", "sample_dir", "device", "kernels", "threads", "seed", "cfg_weight", "guidance",
        "num_inference_steps", "ddim_eta", "eta", "negative_prompt", "sample_image_size", "batch_size", "output_inner", "test_file_list",
        "min_examples", "use_graphs", "port", "loglevel",
    ];

    // Beside the sections: what decides on the text features, and the precision.
    private static readonly string[] s_decisive =
        ["text_model", "text_dim", "text_seed", "text_context", "language_model_dim", "fp16"];

    /// <summary>What recipes say of a model.</summary>
    public static RecipeOrigin Origin(VerbArguments<SampleOptions> given, ProgramConfig config, string checkpoint) => new(
        Shell.Version, RecipeFile.Of(checkpoint), Hash(config),
        [.. Settings(given.ConfigOverrides), .. NamedConfig(given.Options)]);

    /// <summary>Whether a configuration field is given on a command line, by one of its names.</summary>
    public static bool Gives(IReadOnlyList<string> overrides, params string[] names) =>
        overrides.Any(option => names.Contains(NameOf(option)));

    /// <summary>The arguments that draw a picture again, changed by what else is given.</summary>
    public static VerbArguments<SampleOptions> Again(Recipe recipe, VerbArguments<SampleOptions> given)
    {
        SampleOptions own = given.Options;
        string[] config =
        [
            .. recipe.Settings.Where(setting => !setting.StartsWith(ConfigPath, StringComparison.Ordinal)),
            Text("seed", recipe.Seed), Text("cfg_weight", recipe.Guidance), Text("num_inference_steps", recipe.Steps),
            Text("sample_image_size", recipe.Size), Text("negative_prompt", recipe.NegativePrompt),
            Text("batch_size", recipe.Batch), .. recipe.Eta is { } eta ? [Text("ddim_eta", eta)] : Array.Empty<string>(),
            Text("model_file", recipe.Checkpoint.Path), .. given.ConfigOverrides,
        ];
        string namedConfig = recipe.Settings.LastOrDefault(
            setting => setting.StartsWith(ConfigPath, StringComparison.Ordinal)) ?? "";
        var options = new SampleOptions
        {
            ConfigPath = Either(own.ConfigPath, namedConfig.Length == 0 ? "" : namedConfig[ConfigPath.Length..]),
            Count = own.Count,
            Style = Either(own.Style, recipe.Style ?? ""),
            Sampler = Either(own.Sampler, recipe.Sampler),
            GuidanceSchedule = Either(own.GuidanceSchedule, recipe.GuidanceSchedule),
            Threshold = Either(own.Threshold, recipe.Threshold),
            Noise = Either(own.Noise, recipe.Noise),
            InitImage = Either(own.InitImage, recipe.InitImage?.Path ?? ""),
            Mask = Either(own.Mask, own.InitImage.Length > 0 ? "" : recipe.Mask?.Path ?? ""),
            Strength = own.Strength ?? recipe.Strength,
            From = own.From,
            Resume = own.Resume,
            Animation = own.Animation,
            LogsnrPlot = own.LogsnrPlot,
        };
        return given with { Options = options, ConfigOverrides = config };
    }

    /// <summary>Refuses files that are not those of the recipe, unless others were asked for.</summary>
    public static void RequireSame(Recipe recipe, VerbArguments<SampleOptions> given, RecipeOrigin found, SamplingOptions options)
    {
        string picture = given.Options.From;
        recipe.Checkpoint.Require(found.Checkpoint, "checkpoint", picture);
        if (recipe.ConfigSha256 != found.ConfigSha256 && !Settings(given.ConfigOverrides).Any())
        {
            throw new MdmException($"{picture} was drawn with another configuration: that of {found.Checkpoint.Path} has the hash "
                + $"{found.ConfigSha256[..16]}.., expected {recipe.ConfigSha256[..Math.Min(16, recipe.ConfigSha256.Length)]}..");
        }

        if (given.Options.InitImage.Length == 0 && options.Start is { } start)
        {
            recipe.InitImage?.Require(start.ImageFile, "init image", picture);
            if (start.MaskFile != null && given.Options.Mask.Length == 0)
                recipe.Mask?.Require(start.MaskFile, "mask", picture);
        }
    }

    /// <summary>SHA-256 of what the configuration says of networks, noise, captions and text.</summary>
    private static string Hash(ProgramConfig config)
    {
        IEnumerable<string> lines = ConfigSaver.ToYaml(config).Split('\n')
            .Where(line => line.StartsWith(' ') || line.EndsWith(':') || s_decisive.Contains(line.Split(':')[0]));
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', lines))));
    }

    private static IEnumerable<string> Settings(IReadOnlyList<string> overrides) =>
        overrides.Where(option => !s_apart.Contains(NameOf(option)));

    private static IEnumerable<string> NamedConfig(SampleOptions options) =>
        options.ConfigPath.Length == 0 ? [] : [ConfigPath + Path.GetFullPath(options.ConfigPath)];

    private static string NameOf(string option) => option[2..].Split('=')[0];

    private static string Either(string given, string recipe) => given.Length > 0 ? given : recipe;

    private static string Text<T>(string name, T value) => string.Create(CultureInfo.InvariantCulture, $"--{name}={value}");
}
