using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Profiling;

/// <summary>Training steps of a configured network on made-up data: noise, forward, loss, backward, clipping, Adam, moving
/// average; what a trainer does between two batches.</summary>
public sealed class SyntheticTraining : IDisposable
{
    private readonly ProgramConfig _config;
    private readonly DiffusionLoss _loss;
    private readonly GradientPass _pass;
    private readonly Adam _adam;
    private readonly RandomStream _noise = new(1, 1);

    /// <param name="config">Validated; its batch size and image size are used.</param>
    /// <param name="textWidth">Width of the text features, 0 without text.</param>
    /// <param name="device">Where to compute.</param>
    /// <param name="tokens">Length of a caption with its padding.</param>
    public SyntheticTraining(ProgramConfig config, int textWidth, IDevice device, int tokens)
    {
        _config = config;
        Network = NetworkBuilder.Build(config.UnetConfig, textWidth);
        Network.GradientCheckpointing = config.GradientCheckpointing;
        Network.Store.Place(device, training: true, computeType: Devices.ComputeType(device, config.Fp16));
        SyntheticData.FillZeros(Network.Store);
        Process = new DiffusionProcess(config.DiffusionConfig, Network.NestRatios);
        _loss = new DiffusionLoss(Process);
        _pass = new GradientPass(Network, _loss, 1, config.UseGraphs);
        float clip = (float)config.GradientClipNorm;
        _adam = new Adam(Network.Store, new AdamOptions(0.9f, 0.999f, 1e-8f, 0, Decoupled: true, clip, 1));
        Images = SyntheticData.Images(device, config.BatchSize, config.ReaderConfig.ImageSize);
        Text = SyntheticData.Text(device, config.BatchSize, tokens, textWidth);
    }

    public DenoisingNetwork Network { get; }

    public DiffusionProcess Process { get; }

    public int Batch => _config.BatchSize;

    /// <summary>[B,H,W,3].</summary>
    public Tensor Images { get; }

    public TextFeatures? Text { get; }

    /// <summary>A whole update, as the trainer makes it.</summary>
    public void Run()
    {
        Network.Store.ZeroGradients();
        using Scope scope = Scope.Enter();
        Tensor loss = _pass.Add(_loss.Prepare(Images, Text, new Dictionary<string, Tensor>(), _noise));
        _adam.Step(_config.Lr, _config.EmaDecay);
        _ = loss.ToArray();
    }

    /// <summary>Loss and gradients at given times with given noise; the caller's scope owns the result.</summary>
    public LossResult Gradients(int[] times, INoiseSource noise)
    {
        Network.Store.ZeroGradients();
        using Tape tape = Tape.Start();
        LossResult result = _loss.Compute(Network, Images, Text, new Dictionary<string, Tensor>(), times, noise);
        tape.Backward(result.Loss);
        return result;
    }

    public void Dispose()
    {
        Images.Dispose();
        SyntheticData.Free(Text);
        _pass.Dispose();
        _adam.Dispose();
        Network.Dispose();
    }
}
