using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Text;

/// <summary>Makes the text model that a configuration or a checkpoint names.</summary>
public static class TextModels
{
    internal static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
    };

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
    /// <exception cref="MdmException">It is not one of those that exist, or its files cannot be read.</exception>
    public static ITextModel? Create(ProgramConfig config, IDevice device) => config.TextModel switch
    {
        _ when config.UsePrecomputedTextEmbeddings => null,
        "" or NoModel => null,
        ProgramConfig.WordsTextModel => new WordTableTextModel(device, config.VocabFile, config.TextSeed, config.TextDim, config.TextContext),
        _ => throw new MdmException($"text_model is '{config.TextModel}', which this version cannot run yet; "
            + $"expected '{ProgramConfig.WordsTextModel}' or '{NoModel}'"),
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

    /// <summary>The text model that was saved beside a checkpoint, or null if none was.</summary>
    /// <param name="folder">The checkpoint's folder.</param>
    /// <param name="device">Where it computes.</param>
    /// <exception cref="MdmException">Its files are damaged or of another kind.</exception>
    public static ITextModel? Load(string folder, IDevice device)
    {
        string path = Path.Combine(folder, WordTableTextModel.DescriptionFile);
        if (!File.Exists(path))
            return null;
        WordTableTextModel.Description? found = Read(path);
        if (found?.Kind != WordTableTextModel.Kind || found.Vocabulary is not { Length: > 0 })
            throw new MdmException($"{path}: found a text model of kind '{found?.Kind}', expected '{WordTableTextModel.Kind}'");
        // Only a name in the same folder: a description from elsewhere must not make us read other files.
        string vocabulary = Path.Combine(folder, Path.GetFileName(found.Vocabulary));
        return new WordTableTextModel(device, vocabulary, found.Seed, found.Width, found.Context);
    }

    private static WordTableTextModel.Description? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<WordTableTextModel.Description>(File.ReadAllText(path), Json);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }
}
