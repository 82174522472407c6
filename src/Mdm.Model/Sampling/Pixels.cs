using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>Network values to bytes and back.</summary>
public static class Pixels
{
    /// <summary>Pictures of a batch [B,H,W,3] in [-1,1]: byte = clamp(value·128+127, 0, 255), truncated.</summary>
    public static Image[] ToImages(Tensor batch)
    {
        int height = batch.Shape[1], width = batch.Shape[2];
        float[] values = batch.ToArray();
        var images = new Image[batch.Shape[0]];
        for (int i = 0; i < images.Length; i++)
        {
            images[i] = new Image(width, height);
            byte[] rgb = images[i].Rgb;
            int first = i * rgb.Length;
            for (int j = 0; j < rgb.Length; j++)
                rgb[j] = (byte)Math.Clamp(values[first + j] * 128 + 127, 0, 255);
        }

        return images;
    }

    /// <summary>Equally large pictures as a batch [B,H,W,3]: (byte-127)/128, which <see cref="ToImages"/> turns back exactly.</summary>
    public static Tensor ToTensor(IDevice device, IReadOnlyList<Image> images)
    {
        var shape = new Shape(images.Count, images[0].Height, images[0].Width, 3);
        return Tensor.From(device, images.SelectMany(image => image.Rgb).Select(value => (value - 127) / 128f).ToArray(), shape);
    }
}
