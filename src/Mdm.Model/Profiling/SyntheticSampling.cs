using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Profiling;

/// <summary>Sampling steps of a configured network with made-up weights and captions.</summary>
public sealed class SyntheticSampling : IDisposable
{
    private readonly TextFeatures? _text;
    private readonly TextFeatures? _negative;
    private readonly Sampler _sampler;
    private readonly IEnumerator<SamplingState> _steps;

    /// <param name="config">Validated; its guidance (where there is text), eta and thresholds are used.</param>
    /// <param name="textWidth">Width of the text features, 0 without text.</param>
    /// <param name="device">Where to compute.</param>
    /// <param name="tokens">Length of a caption with its padding.</param>
    /// <param name="batch">Pictures at once.</param>
    /// <param name="size">Side of the pictures.</param>
    public SyntheticSampling(ProgramConfig config, int textWidth, IDevice device, int tokens, int batch, int size)
    {
        Network = NetworkBuilder.Build(config.UnetConfig, textWidth);
        Network.Store.Place(device, training: false, computeType: Devices.ComputeType(device, config.Fp16));
        SyntheticData.FillZeros(Network.Store);
        _text = SyntheticData.Text(device, batch, tokens, textWidth);
        _negative = SyntheticData.Text(device, batch, tokens, textWidth);
        var request = new SamplingRequest
        {
            Batch = batch,
            Height = size,
            Width = size,
            Text = _text,
            NegativeText = _negative,
            Guidance = textWidth > 0 ? config.CfgWeight : 1,
            Eta = config.DdimEta,
        };
        _sampler = new Sampler(Network, new DiffusionProcess(config.DiffusionConfig, Network.NestRatios), config.UseGraphs);
        _steps = Endless(_sampler, request);
    }

    public DenoisingNetwork Network { get; }

    /// <summary>One denoising step of the whole batch; a new picture is begun when one is done.</summary>
    public void Run() => _steps.MoveNext();

    public void Dispose()
    {
        _steps.Dispose();
        _sampler.Dispose();
        SyntheticData.Free(_text);
        SyntheticData.Free(_negative);
        Network.Dispose();
    }

    private static IEnumerator<SamplingState> Endless(Sampler sampler, SamplingRequest request)
    {
        while (true)
            foreach (SamplingState state in sampler.Steps(request, new StreamNoise(new RandomStream(1, 1))))
                yield return state;
    }
}
