using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Tests.Diffusion;

/// <summary>The smallest networks there are, placed for inference.</summary>
internal static class TinyNetwork
{
    public static IReadOnlyDictionary<string, Tensor> NoMicros { get; } = new Dictionary<string, Tensor>();

    public static DenoisingNetwork Plain(IDevice device, int textWidth = 0) => Placed(device, Config(1), textWidth);

    /// <summary>Two resolutions, 2:1.</summary>
    public static DenoisingNetwork Nested(IDevice device)
    {
        UNetConfig outer = Config(2);
        outer.InnerConfig = Config(1);
        outer.InnerConfig.Nesting = true;
        outer.SkipMidBlocks = true;
        return Placed(device, outer, 0);
    }

    private static UNetConfig Config(int levels) => new()
    {
        ResolutionChannels = Enumerable.Repeat(8, levels).ToArray(),
        NumResnetsPerResolution = [1],
        AttentionLevels = [],
        NumAttentionLayers = [0],
        SkipMidBlocks = true,
        TemporalDim = 16,
        ResnetConfig = new ResNetConfig { NumGroupsNorm = 4 },
    };

    private static DenoisingNetwork Placed(IDevice device, UNetConfig config, int textWidth)
    {
        DenoisingNetwork network = NetworkBuilder.Build(config, textWidth);
        network.Store.Place(device, training: false, seed: 1);
        return network;
    }

    /// <summary>Fills the parameters that begin with zeros, so that the network says something.</summary>
    public static DenoisingNetwork Awake(this DenoisingNetwork network)
    {
        foreach (Parameter parameter in network.Store.Parameters.Where(p => p.Initialisation == Initialisation.Zeros))
        {
            var random = new Random(parameter.Name.Length);
            network.Store.FromFileLayout(parameter,
                Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ => (float)(random.NextDouble() - 0.5) * 0.2f).ToArray());
        }

        return network;
    }
}
