using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Tensors;

namespace Mdm.Model.Sampling;

/// <summary>Tokens and text features of a job's prompts. The negative prompt's features are computed once for every shape of a
/// batch.</summary>
internal sealed class PromptFeatures : IDisposable
{
    private readonly ITextModel _text;
    private readonly CaptionTokenizer _captions;
    private readonly int[] _negative;
    private readonly bool _paddingCounts;
    private readonly Action<string> _warn;
    private readonly Dictionary<string, int[]> _tokens = [];
    private (int Batch, int Length, TextFeatures Features)? _kept;

    /// <param name="model">One with a text model.</param>
    /// <param name="negativePrompt">Empty: the empty prompt.</param>
    /// <param name="warn">Told once of each prompt that is not taken as it is.</param>
    public PromptFeatures(SamplingModel model, string negativePrompt, Action<string> warn)
    {
        (_text, _captions, _warn) = (model.Text!, model.Captions!, warn);
        _paddingCounts = model.Network.Config.Chain().Any(unet => !unet.MaskedCrossAttention);
        _negative = negativePrompt.Length == 0 ? _captions.Empty : Tokens(negativePrompt);
    }

    /// <summary>Prompts with the same mark may share a batch. A network that looks at padding too must not be shown more of it
    /// because of a picture's neighbours.</summary>
    public int Mark(string prompt) => _paddingCounts ? Length([prompt], 0) : 0;

    /// <summary>Tokens of a batch with their padding.</summary>
    /// <param name="prompts">All of the batch.</param>
    /// <param name="atLeast">So many, where the prompts have fewer.</param>
    public int Length(IEnumerable<string> prompts, int atLeast) =>
        // Both halves of a guided batch must have the same length.
        Math.Max(Math.Max(_captions.PaddedLength, atLeast),
            Math.Max(1, prompts.Select(Tokens).Append(_negative).Max(tokens => tokens.Length)));

    /// <summary>Computes the features of all prompts beforehand, if the text model has room for them.</summary>
    /// <param name="prompts">All that are to come.</param>
    /// <param name="progress">Told what is done and its share, 0..1; from any thread.</param>
    public void Prepare(IEnumerable<string> prompts, Action<string, double>? progress) =>
        _text.Prepare([.. prompts.Select(Tokens).Append(_negative)], progress);

    /// <summary>Features [B,length,·] of prompts, each the same in any company to the last bit.</summary>
    public TextFeatures Encode(IEnumerable<string> prompts, int length)
    {
        int[][] captions = [.. prompts.Select(Tokens)];
        // Each by itself first: a language model keeps what it has encoded, and sums of a batch have another order.
        foreach (int[] caption in captions)
        {
            using Scope scope = Scope.Enter();
            _text.Encode([caption]);
        }

        return _text.Encode(captions, length);
    }

    /// <summary>Features of the negative prompt for a whole batch; they belong to this object.</summary>
    public TextFeatures Negative(int batch, int length)
    {
        if (_kept is { } kept && (kept.Batch, kept.Length) == (batch, length))
            return kept.Features;
        Dispose();
        TextFeatures features = _text.Encode([.. Enumerable.Repeat(_negative, batch)], length);
        Scope.Detach(features.Values);
        if (features.Mask != null)
            Scope.Detach(features.Mask);
        _kept = (batch, length, features);
        return features;
    }

    public void Dispose()
    {
        _kept?.Features.Values.Dispose();
        _kept?.Features.Mask?.Dispose();
        _kept = null;
    }

    private int[] Tokens(string prompt)
    {
        if (_tokens.TryGetValue(prompt, out int[]? tokens))
            return tokens;
        _tokens[prompt] = tokens = _captions.EncodePrompt(prompt, out string? warning);
        if (warning != null)
            _warn(warning);
        return tokens;
    }
}
