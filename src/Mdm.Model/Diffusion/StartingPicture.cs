using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>Pictures that a sampler starts from in place of noise alone.</summary>
/// <param name="Images">[B,H,W,3] of the highest resolution, in [-1,1].</param>
/// <param name="Strength">Share of the sampling steps that is taken, above 0 and up to 1: the smaller, the more is kept.</param>
/// <param name="Mask">Like <paramref name="Images"/>, 1 where the picture is drawn anew and 0 where it stays; null: anew
/// everywhere.</param>
public sealed record StartingPicture(Tensor Images, double Strength, Tensor? Mask = null);

/// <summary>A starting picture at every resolution, with the noise that belongs to it.</summary>
internal sealed class KnownPictures : IDisposable
{
    private readonly IReadOnlyList<DiffusionLevel> _levels;
    private readonly Tensor[] _images;
    private readonly Tensor[] _noise;
    private readonly (Tensor Anew, Tensor Kept)[]? _masks;

    /// <param name="start">Pictures of the highest resolution.</param>
    /// <param name="process">Of every resolution.</param>
    /// <param name="network">Lower resolutions are those of training; a block is drawn anew if any of its pixels is.</param>
    /// <param name="noise">The first noise of every resolution; copied.</param>
    public KnownPictures(StartingPicture start, DiffusionProcess process, UNetConfig network, IReadOnlyList<Tensor> noise)
    {
        using Scope scope = Scope.Enter();
        _levels = process.Levels;
        Tensor[] images = LowerResolutions.Of(network, start.Images);
        _images = [.. images.Select((image, k) => Own(Op.Scale(image, (float)(1 / _levels[k].ImageScale))))];
        _noise = [.. noise.Select(z => Own(Op.Scale(z, 1)))];
        if (start.Mask is { } mask)
            _masks = [.. LowerResolutions.Of(network, mask, AnyOf).Select(Masks)];
    }

    /// <summary>x_t of every resolution: √γ_t·x + √(1-γ_t)·ε.</summary>
    public Tensor[] At(int t) => [.. Enumerable.Range(0, _images.Length).Select(k => Scope.Detach(Noisy(k, t)))];

    /// <summary>x_s with everything outside the mask replaced by the known picture with its noise.</summary>
    public Tensor[] Keep(Tensor[] next, int s)
    {
        if (_masks == null)
            return next;
        using Scope scope = Scope.Enter();
        Tensor[] kept = [.. next.Select((x, k) => Scope.Detach(
            Op.Add(Op.Multiply(_masks[k].Anew, x), Op.Multiply(_masks[k].Kept, Noisy(k, s)))))];
        Array.ForEach(next, x => x.Dispose());
        return kept;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _images.Concat(_noise).Concat((_masks ?? []).SelectMany(m => new[] { m.Anew, m.Kept })))
            tensor.Dispose();
    }

    private Tensor Noisy(int k, int t)
    {
        Mixture mixture = Mixture.Noisy(_levels[k].Schedule[t]);
        return Op.Combine((float)mixture.Image, _images[k], (float)mixture.Noise, _noise[k]);
    }

    private static Tensor AnyOf(Tensor mask, int factor) =>
        Op.Clamp(Op.Scale(Op.AveragePool(mask, factor), factor * factor), 0, 1);

    private static (Tensor Anew, Tensor Kept) Masks(Tensor mask)
    {
        Tensor anew = Op.Clamp(mask, 0, 1);
        return (Own(anew), Own(Op.Subtract(Tensor.Full(mask.Device, anew.Shape, 1), anew)));
    }

    private static Tensor Own(Tensor tensor) => Scope.Detach(tensor);
}
