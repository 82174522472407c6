using Mdm.Kernels;
using Mdm.Model.Diffusion;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Golden;

/// <summary>The draws of a golden file in their order.</summary>
internal sealed class RecordedNoise(GoldenFile file, IEnumerable<string> names) : INoiseSource
{
    private readonly Queue<string> _names = new(names);

    public Tensor Draw(IDevice device, Shape shape)
    {
        Assert.That(_names, Is.Not.Empty, "more was drawn than recorded");
        Tensor noise = file.Tensor(device, _names.Dequeue());
        Assert.That(noise.Shape.ToArray(), Is.EqualTo(shape.ToArray()), "shape of a draw");
        return noise;
    }
}
