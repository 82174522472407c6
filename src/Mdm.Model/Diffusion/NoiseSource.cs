using Mdm.Kernels;
using Mdm.Tensors;

namespace Mdm.Model.Diffusion;

/// <summary>Where the standard normal numbers of a loss or a sampler come from.</summary>
public interface INoiseSource
{
    /// <summary>The next numbers, shaped [B,H,W,C].</summary>
    Tensor Draw(IDevice device, Shape shape);
}

/// <summary>Noise for training: the whole batch from one stream.</summary>
public sealed class StreamNoise(RandomStream random) : INoiseSource
{
    public Tensor Draw(IDevice device, Shape shape) => random.Normal(device, shape);
}

/// <summary>Noise for sampling: every picture has a seed of its own, that of its job plus its number, so that picture 7 of seed 1
/// is the same in a batch of one and in a batch of sixteen, and the same as picture 0 of seed 8.</summary>
public sealed class PictureNoise : INoiseSource
{
    private readonly RandomStream[] _streams;

    /// <param name="seed">Of the job.</param>
    /// <param name="pictures">The number in the job of every picture of the batch.</param>
    public PictureNoise(ulong seed, IEnumerable<long> pictures)
        : this(pictures.Select(picture => seed + (ulong)picture))
    {
    }

    /// <param name="seeds">Of every picture of the batch.</param>
    public PictureNoise(IEnumerable<ulong> seeds) => _streams = seeds.Select(seed => new RandomStream(seed, 0)).ToArray();

    public Tensor Draw(IDevice device, Shape shape) => RandomStream.Normal(device, shape, _streams);
}
