using Mdm.Kernels;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Profiling;

/// <summary>Made-up weights, images and captions for measurements.</summary>
internal static class SyntheticData
{
    private const ulong Seed = 1, ImageStream = 2, TextStream = 3, WeightStream = 4;

    /// <summary>Captions have 8 to 16 tokens, the rest is padding.</summary>
    private const int ShortestCaption = 8, CaptionLengths = 9;

    /// <summary>[B,S,S,3], uniform in [0,1).</summary>
    public static Tensor Images(IDevice device, int batch, int size) =>
        Scope.Detach(new RandomStream(Seed, ImageStream).Uniform(device, new Shape(batch, size, size, 3)));

    /// <summary>[B,N,D] with a mask; null without text.</summary>
    public static TextFeatures? Text(IDevice device, int batch, int tokens, int width)
    {
        if (width == 0)
            return null;
        Tensor values = Scope.Detach(new RandomStream(Seed, TextStream).Normal(device, new Shape(batch, tokens, width)));
        float[] mask = new float[batch * tokens];
        for (int i = 0; i < mask.Length; i++)
            mask[i] = i % tokens < ShortestCaption + i / tokens % CaptionLengths ? 1 : 0;
        return new TextFeatures(values, Scope.Detach(Tensor.From(device, mask, new Shape(batch, tokens))));
    }

    public static void Free(TextFeatures? text)
    {
        text?.Values.Dispose();
        text?.Mask?.Dispose();
    }

    /// <summary>Fresh networks have layers of zeros, behind which every gradient is zero: uniform numbers in ±0.05
    /// instead.</summary>
    public static void FillZeros(ParameterStore store)
    {
        var random = new RandomStream(Seed, WeightStream);
        using Scope scope = Scope.Enter();
        foreach (Parameter p in store.Parameters.Where(p => p.Initialisation == Initialisation.Zeros))
        {
            using Tensor uniform = random.Uniform(store.Device, p.Shape), ones = Tensor.Full(store.Device, p.Shape, 1);
            using Tensor value = Op.Combine(0.1f, uniform, -0.05f, ones);
            ParameterStore.Set(p, value);
        }
    }
}
