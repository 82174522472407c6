using Mdm.Tensors;

namespace Mdm.Model.Networks;

/// <summary>What a network is told beside images and times.</summary>
/// <param name="Text">Null for an unconditional network.</param>
/// <param name="Micros">Values of the micro-conditions by name, each [B].</param>
public sealed record Conditioning(TextFeatures? Text, IReadOnlyDictionary<string, Tensor> Micros)
{
    /// <summary>Which tensors there are: equal for two that differ in numbers and shapes only.</summary>
    public string Kind => $"{(Text == null ? "" : Text.Mask == null ? "text" : "text, mask")} {string.Join(' ', Names)}";

    /// <summary>All tensors, in the order of <see cref="With"/>.</summary>
    public IEnumerable<Tensor> Tensors
    {
        get
        {
            if (Text != null)
                yield return Text.Values;
            if (Text?.Mask != null)
                yield return Text.Mask;
            foreach (string name in Names)
                yield return Micros[name];
        }
    }

    private IEnumerable<string> Names => Micros.Keys.Order(StringComparer.Ordinal);

    /// <summary>The same kind with other tensors, which are taken from the queue.</summary>
    public Conditioning With(Queue<Tensor> tensors) => new(
        Text == null ? null : new TextFeatures(tensors.Dequeue(), Text.Mask == null ? null : tensors.Dequeue()),
        Names.ToDictionary(name => name, _ => tensors.Dequeue()));
}
