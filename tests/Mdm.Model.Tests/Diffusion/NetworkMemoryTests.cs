using Mdm.Kernels.Counting;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Diffusion;

/// <summary>What a network holds while it computes.</summary>
public class NetworkMemoryTests
{
    [Test]
    public void A_prediction_frees_each_skip_when_it_has_been_read()
    {
        const int blocks = 10, channels = 8, side = 32;
        using var device = new CountingDevice();
        using DenoisingNetwork network = NetworkBuilder.Build(new UNetConfig
        {
            ResolutionChannels = [channels],
            NumResnetsPerResolution = [blocks],
            AttentionLevels = [],
            SkipMidBlocks = true,
            TemporalDim = 16,
            ResnetConfig = new ResNetConfig { NumGroupsNorm = 4 },
        }, textWidth: 0);
        network.Store.Place(device, training: false);
        long before = device.Memory.InUse;
        using (Scope.Enter())
            network.Call(new NetworkInput([Tensor.Empty(device, new Shape(1, side, side, 3))],
                Tensor.Empty(device, new Shape(1)), null, TinyNetwork.NoMicros));
        // The skips, then one block at work: its input twice as wide, the norm of that, and a few of one width.
        const long features = side * side * channels * sizeof(float);
        Assert.That((device.Memory.Peak - before) / (double)features, Is.LessThan(blocks + 1 + 9));
        Assert.That(device.Memory.InUse, Is.EqualTo(before));
    }
}
