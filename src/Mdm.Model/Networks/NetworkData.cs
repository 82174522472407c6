using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Networks;

/// <summary>What the language model says of a batch of captions.</summary>
/// <param name="Values">[B,N,D], one feature vector per token.</param>
/// <param name="Mask">[B,N] float32: 1 for a token, 0 for padding; null: all are tokens.</param>
public sealed record TextFeatures(Tensor Values, Tensor? Mask);

/// <summary>What a denoising network is asked.</summary>
/// <param name="Images">Noisy images [B,H,W,3], highest resolution first. A higher resolution may have fewer samples than
/// the lowest: they are then the first ones of the batch.</param>
/// <param name="Times">[B] float32: time indices 0..T-1.</param>
/// <param name="Text">Null for an unconditional network.</param>
/// <param name="Micros">Values of the micro-conditions by name, each [B]; a missing one has its default.</param>
/// <param name="Encoded">What <see cref="DenoisingNetwork.Encode"/> made of the text before; null: it is encoded now.</param>
public sealed record NetworkInput(IReadOnlyList<Tensor> Images, Tensor Times, TextFeatures? Text,
    IReadOnlyDictionary<string, Tensor> Micros, EncodedText? Encoded = null);

/// <summary>The network's predictions, [B,H,W,3] each, highest resolution first.</summary>
public sealed record NetworkOutput(IReadOnlyList<Tensor> Predictions) : ITensorGroup
{
    public IEnumerable<Tensor> Tensors => Predictions;
}

/// <summary>Text as the blocks of all levels see it.</summary>
/// <param name="Tokens">[B,N,C] keys and values for cross-attention.</param>
/// <param name="Mask">[B,N], or null where padding may be attended to.</param>
/// <param name="Embedding">[B,T], added to the time embedding; null without cond_emb.</param>
public sealed record EncodedText(Tensor Tokens, Tensor? Mask, Tensor? Embedding) : ITensorGroup
{
    public IEnumerable<Tensor> Tensors
    {
        get
        {
            yield return Tokens;
            if (Mask != null)
                yield return Mask;
            if (Embedding != null)
                yield return Embedding;
        }
    }
}

/// <summary>What a network hands to the one nested in it.</summary>
internal sealed record LevelInput(
    IReadOnlyList<Tensor> Images, Tensor Times, EncodedText? Text, IReadOnlyDictionary<string, Tensor> Micros, Tensor? Features);

/// <summary>What a network gives back: its predictions and its features before the output layer.</summary>
internal sealed record LevelOutput(IReadOnlyList<Tensor> Predictions, Tensor Features) : ITensorGroup
{
    public IEnumerable<Tensor> Tensors => Predictions.Append(Features);
}

/// <summary>What every block sees beside its features.</summary>
/// <param name="Temb">silu of the time embedding, [B,T].</param>
/// <param name="Text">Null where there is none.</param>
/// <param name="Recompute">Gradient checkpointing: blocks are computed again in the backward pass.</param>
internal sealed record Conditions(Tensor Temb, EncodedText? Text, bool Recompute);
