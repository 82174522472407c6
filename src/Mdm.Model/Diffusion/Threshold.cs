using Mdm.Model.Configuration;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>Keeps predicted images in range while sampling.</summary>
public static class Threshold
{
    /// <summary>
    /// CLIP: clamp(x, -1, 1). DYNAMIC (arXiv 2205.11487): clamp(x, -s, s)/s per sample with s the 0.995-quantile of |x|, within
    /// 1..100; DYNAMIC_IF the same with the 0.95-quantile and 1..1.5. NONE: x.
    /// </summary>
    /// <param name="type">Which.</param>
    /// <param name="image">[B,H,W,C].</param>
    /// <param name="scale">The image is multiplied by it first and divided by it afterwards.</param>
    public static Tensor Apply(ThresholdType type, Tensor image, double scale = 1)
    {
        if (type == ThresholdType.None)
            return image;
        Tensor x = scale == 1 ? image : Op.Scale(image, (float)scale);
        Tensor y = type switch
        {
            ThresholdType.Dynamic => Dynamic(x, 0.995f, 100),
            ThresholdType.DynamicIf => Dynamic(x, 0.95f, 1.5f),
            _ => Op.Clamp(x, -1, 1),
        };
        return scale == 1 ? y : Op.Scale(y, (float)(1 / scale));
    }

    private static Tensor Dynamic(Tensor x, float quantile, float most) =>
        Op.ClampToUnit(x, Op.Clamp(Op.AbsQuantile(x, quantile), 1, most));
}
