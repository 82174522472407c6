using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

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
/// <param name="Prepared">What <see cref="DenoisingNetwork.Prepare"/> made of the text before, which then is not looked at;
/// null: the text is encoded now.</param>
public sealed record NetworkInput(IReadOnlyList<Tensor> Images, Tensor Times, TextFeatures? Text,
    IReadOnlyDictionary<string, Tensor> Micros, EncodedText? Prepared = null);

/// <summary>The network's predictions, [B,H,W,3] each, highest resolution first.</summary>
public sealed record NetworkOutput(IReadOnlyList<Tensor> Predictions) : ITensorGroup
{
    public IEnumerable<Tensor> Tensors => Predictions;
}

/// <summary>Text as the blocks of all levels see it.</summary>
/// <param name="Tokens">[B,N,C]: what keys and values for cross-attention are made of.</param>
/// <param name="Mask">[B,N], or null where padding may be attended to.</param>
/// <param name="Embedding">[B,T], added to the time embedding; null without cond_emb.</param>
public sealed record EncodedText(Tensor Tokens, Tensor? Mask, Tensor? Embedding) : ITensorGroup
{
    /// <summary>Keys and values [B,N,·] by the path of the attention that reads them, in the order of the paths. Empty: every
    /// attention makes its own of the tokens, as training wants it.</summary>
    public IReadOnlyDictionary<string, Tensor> KeysValues
    {
        get;
        init => field = new SortedDictionary<string, Tensor>(value.ToDictionary(), StringComparer.Ordinal);
    } = new SortedDictionary<string, Tensor>();

    public IEnumerable<Tensor> Tensors
    {
        get
        {
            yield return Tokens;
            if (Mask != null)
                yield return Mask;
            if (Embedding != null)
                yield return Embedding;
            foreach (Tensor keysValues in KeysValues.Values)
                yield return keysValues;
        }
    }

    /// <summary>The same with other tensors, made of these in the order of <see cref="Tensors"/>.</summary>
    public EncodedText Map(Func<Tensor, Tensor> change) =>
        new(change(Tokens), Mask == null ? null : change(Mask), Embedding == null ? null : change(Embedding))
        {
            KeysValues = KeysValues.ToDictionary(layer => layer.Key, layer => change(layer.Value)),
        };

    /// <summary>The same kind with other tensors, which are taken from the queue.</summary>
    public EncodedText With(Queue<Tensor> tensors) => Map(_ => tensors.Dequeue());

    /// <summary>The first samples' part.</summary>
    public EncodedText First(int samples) => samples == Tokens.Shape[0] ? this : Map(x => Op.BatchSlice(x, 0, samples));
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
