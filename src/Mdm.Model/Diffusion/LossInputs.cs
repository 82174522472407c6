using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Diffusion;

/// <summary>All that a loss is computed from, drawn and uploaded: what follows is a function of these tensors.</summary>
/// <param name="Images">[B,H,W,C] in [-1,1], the highest resolution.</param>
/// <param name="Numbers">Times and coefficients of every sample, see <see cref="SampleNumbers"/>.</param>
/// <param name="Noise">Standard normal numbers of every resolution, highest first, each for the whole batch.</param>
/// <param name="Conditioning">Text and micro-conditions.</param>
public sealed record LossInputs(Tensor Images, Tensor Numbers, IReadOnlyList<Tensor> Noise, Conditioning Conditioning)
{
    /// <summary>All of them, in the order of <see cref="With"/>.</summary>
    public IReadOnlyList<Tensor> Tensors => [Images, Numbers, .. Noise, .. Conditioning.Tensors];

    /// <summary>The same with other tensors of the same shapes.</summary>
    public LossInputs With(IReadOnlyList<Tensor> tensors)
    {
        var queue = new Queue<Tensor>(tensors);
        return new LossInputs(
            queue.Dequeue(), queue.Dequeue(), [.. Noise.Select(_ => queue.Dequeue())], Conditioning.With(queue));
    }
}
