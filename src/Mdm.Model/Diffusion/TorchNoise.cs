using Mdm.Kernels;
using Mdm.Tensors;

namespace Mdm.Model.Diffusion;

/// <summary>The noise that PyTorch draws on a processor: each picture's from a <see cref="TorchGenerator"/> with its own seed, as if it were
/// alone in its batch, channel by channel.</summary>
/// <param name="seeds">Of every picture of the batch.</param>
public sealed class TorchNoise(IEnumerable<ulong> seeds) : INoiseSource
{
    private readonly TorchGenerator[] _generators = seeds.Select(seed => new TorchGenerator(seed)).ToArray();

    public Tensor Draw(IDevice device, Shape shape)
    {
        if (shape[0] != _generators.Length)
            throw new ArgumentException($"{_generators.Length} generators for a batch of {shape[0]}");
        (int height, int width, int channels) = (shape[1], shape[2], shape[3]);
        int pixels = height * width;
        float[] values = new float[shape.Count];
        for (int b = 0; b < _generators.Length; b++)
        {
            float[] planes = _generators[b].Normal(channels * pixels);
            for (int i = 0; i < pixels; i++)
                for (int c = 0; c < channels; c++)
                    values[(b * pixels + i) * channels + c] = planes[c * pixels + i];
        }

        return Tensor.From(device, values, shape);
    }
}
