using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>A picture as the networks inside see it: block means of it, or, where a network halves frames, some of its
/// frames.</summary>
internal static class LowerResolutions
{
    /// <param name="network">The outermost.</param>
    /// <param name="image">[B,H,W,C] of the highest resolution.</param>
    /// <param name="pool">Makes blocks of that many by that many pixels one; null: their mean.</param>
    /// <returns>All resolutions, highest first; the first is the image itself.</returns>
    public static Tensor[] Of(UNetConfig network, Tensor image, Func<Tensor, int, Tensor>? pool = null)
    {
        UNetConfig[] networks = [.. network.Chain()];
        int[] scales = network.Scales();
        int side = network.PickedGridSide;
        var images = new Tensor[networks.Length];
        images[0] = image;
        for (int k = 1; k < images.Length; k++)
        {
            int ratio = scales[k - 1] / scales[k];
            if (ratio > 1 && networks[k - 1].ResamplesFrames)
            {
                Tensor picked = Op.EveryNthSample(Op.GridToFrames(images[k - 1], side), ratio * ratio);
                side /= ratio;
                images[k] = Op.FramesToGrid(picked, side);
            }
            else
            {
                images[k] = (pool ?? Op.AveragePool)(images[k - 1], ratio);
            }
        }

        return images;
    }
}
