using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;

namespace Mdm.Model.Sampling;

/// <summary>Which generator the noise of pictures comes from.</summary>
[LowerCaseNames]
public enum NoiseKind
{
    /// <summary>Philox4x32-10, the same on every device.</summary>
    Philox,

    /// <summary>As PyTorch draws it on a processor for the same seed.</summary>
    Torch,
}

internal static class NoiseKinds
{
    public static INoiseSource Create(this NoiseKind kind, IEnumerable<ulong> seeds) =>
        kind == NoiseKind.Torch ? new TorchNoise(seeds) : new PictureNoise(seeds);
}
