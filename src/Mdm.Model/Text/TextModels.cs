using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Text.Hub;
using Mdm.Model.Text.T5;
using Mdm.Tensors;

namespace Mdm.Model.Text;

/// <summary>Makes the text model that a configuration or a checkpoint names.</summary>
public static class TextModels
{
    internal static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
    };

    /// <summary>What progress bars call the loading of a text model.</summary>
    public const string Loading = "loading the text model";

    // Encoder widths of the T5 models that configurations name.
    private static readonly Dictionary<string, int> s_t5Widths = new()
    {
        ["small"] = 512,
        ["base"] = 768,
        ["large"] = 1024,
        ["xl"] = 2048,
        ["xxl"] = 4096,
    };

    /// <summary>Value of text_model for networks without text.</summary>
    private const string NoModel = "none";

    /// <summary>The text model of a configuration; null if there is none, because the network knows no text (text_model is
    /// <c>none</c> or empty) or because its features were computed beforehand.</summary>
    /// <param name="config">Says which.</param>
    /// <param name="device">Where it computes.</param>
    /// <param name="progress">Told the share of the weights that is loaded, 0..1; from any thread.</param>
    /// <param name="load">False: large weights are only checked by name and shape, and loaded when they are first needed.</param>
    /// <exception cref="MdmException">It is not one of those that exist, or its files cannot be read.</exception>
    public static ITextModel? Create(
        ProgramConfig config, IDevice device, Action<double>? progress = null, bool load = true) => config.TextModel switch
        {
            _ when config.UsePrecomputedTextEmbeddings => null,
            "" or NoModel => null,
            ProgramConfig.WordsTextModel => new WordTableTextModel(device, config.VocabFile, config.TextSeed, config.TextDim,
                config.TextContext, config.ReaderConfig.UseTokenizerScores),
            _ => new T5TextModel(device, config.TextModel, config.VocabFile, Devices.ComputeType(device, config.Fp16), progress,
                useScores: config.ReaderConfig.UseTokenizerScores, load: load),
        };

    /// <summary>Width of the features that a configuration's text model makes, without loading it; 0: no text.</summary>
    /// <exception cref="MdmException">The model's name does not tell, and language_model_dim is not set.</exception>
    public static int WidthOf(ProgramConfig config)
    {
        if (config.UsePrecomputedTextEmbeddings || config.TextModel is "" or NoModel)
            return Width(config, null);
        if (config.TextModel == ProgramConfig.WordsTextModel)
            return config.TextDim;
        if (config.LanguageModelDim is { } width)
            return width;
        if (WidthOfT5(config.TextModel) is { } found)
            return found;
        string size = config.TextModel[(config.TextModel.LastIndexOf('-') + 1)..];
        return s_t5Widths.TryGetValue(size, out int known)
            ? known
            : throw new MdmException($"text_model is '{config.TextModel}', whose width is not known: give language_model_dim");
    }

    /// <summary>Width of the text features of a configuration whose text model is <paramref name="text"/>; 0 without text.</summary>
    /// <exception cref="MdmException">Features were computed beforehand, and nothing says how wide they are.</exception>
    public static int Width(ProgramConfig config, ITextModel? text) => text?.Width
        ?? (!config.UsePrecomputedTextEmbeddings ? 0 : config.LanguageModelDim
            ?? throw new MdmException("use_precomputed_text_embeddings: language_model_dim is not set, expected their width"));

    /// <summary>Width of the features of the text model that <see cref="Load"/>, or else <see cref="Create"/>, would make, without
    /// loading it; 0: no text; null where nothing tells.</summary>
    /// <param name="folder">The checkpoint's folder.</param>
    /// <param name="config">The configuration.</param>
    /// <exception cref="MdmException">A description is damaged.</exception>
    public static int? FindWidth(string folder, ProgramConfig config)
    {
        string path = Path.Combine(folder, WordTableTextModel.DescriptionFile);
        if (File.Exists(path))
        {
            return Read<Kinds>(path)?.Kind switch
            {
                WordTableTextModel.Kind => Read<WordTableTextModel.Description>(path)?.Width,
                T5TextModel.Kind => Read<T5TextModel.Description>(path) is { Model.Length: > 0 } t5
                    ? WidthOfT5(ModelOf(t5, config))
                    : null,
                _ => null,
            };
        }

        if (config.UsePrecomputedTextEmbeddings)
            return null;
        return config.TextModel switch
        {
            "" or NoModel => 0,
            ProgramConfig.WordsTextModel => config.TextDim,
            _ => WidthOfT5(config.TextModel),
        };
    }

    /// <summary>The text model that was saved beside a checkpoint, or null if none was.</summary>
    /// <param name="folder">The checkpoint's folder.</param>
    /// <param name="device">Where it computes.</param>
    /// <param name="config">The configuration: what a T5 model computes in, and where it is (text_model) if it is no longer
    /// where it was in training, and whether tokens have scores.</param>
    /// <param name="load">False: large weights are only checked by name and shape, and loaded when they are first needed.</param>
    /// <exception cref="MdmException">Its files are damaged or of another kind.</exception>
    public static ITextModel? Load(string folder, IDevice device, ProgramConfig? config = null, bool load = true)
    {
        string path = Path.Combine(folder, WordTableTextModel.DescriptionFile);
        if (!File.Exists(path))
            return null;
        string kind = Read<Kinds>(path)?.Kind ?? "";
        bool useScores = config?.ReaderConfig.UseTokenizerScores ?? true;
        // Only a name in the same folder: a description from elsewhere must not make us read other files.
        string Beside(string name) => Path.Combine(folder, Path.GetFileName(name)) is var file && File.Exists(file) ? file
            : throw new MdmException($"{file} is missing, which {path} says the text model needs");
        switch (kind)
        {
            case WordTableTextModel.Kind when Read<WordTableTextModel.Description>(path) is { Vocabulary.Length: > 0 } words:
                return new WordTableTextModel(device, Beside(words.Vocabulary), words.Seed, words.Width, words.Context, useScores);
            case T5TextModel.Kind when Read<T5TextModel.Description>(path) is { Model.Length: > 0 } t5:
                return new T5TextModel(device, ModelOf(t5, config), t5.Vocabulary == null ? "" : Beside(t5.Vocabulary),
                    Devices.ComputeType(device, config?.Fp16 ?? false), useScores: useScores, load: load);
            default:
                throw new MdmException($"{path}: found a text model of kind '{kind}', expected '{WordTableTextModel.Kind}' or "
                    + $"'{T5TextModel.Kind}'");
        }
    }

    // Where it was in training, or where the configuration says that it is now.
    private static string ModelOf(T5TextModel.Description saved, ProgramConfig? config) =>
        T5Location.Find(saved.Model, HubCache.Default) == null
        && config is { TextModel: not ("" or NoModel or ProgramConfig.WordsTextModel) }
            ? config.TextModel
            : saved.Model;

    // Null where the model is not on this machine.
    private static int? WidthOfT5(string model) =>
        T5Location.Find(model, HubCache.Default) is { } folder && Path.Combine(folder, "config.json") is var file && File.Exists(file)
            ? T5Config.Read(file).Width
            : null;

    private sealed record Kinds(string? Kind);

    private static T? Read<T>(string path)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize<T>(File.ReadAllText(path), Json);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }
}
