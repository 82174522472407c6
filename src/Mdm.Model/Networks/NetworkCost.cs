using Mdm.Kernels;
using Mdm.Kernels.Counting;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Tensors;

namespace Mdm.Model.Networks;

/// <summary>What a network costs, found by running it on a device that counts and allocates nothing.</summary>
/// <param name="TextFlops">Floating-point operations of what a network makes of an image's text before it predicts.</param>
/// <param name="ForwardFlops">Of one prediction for one image, beside those.</param>
/// <param name="SamplingBytes">Peak memory of that and one prediction for a batch, weights included.</param>
/// <param name="TrainingFlops">Of one training step, per image.</param>
/// <param name="TrainingBytes">Peak memory of a training step with Adam and the moving average, weights included.</param>
public sealed record NetworkCost(
    double TextFlops, double ForwardFlops, long SamplingBytes, double TrainingFlops, long TrainingBytes)
{
    private const int Channels = 3;

    /// <param name="config">The network and the loss.</param>
    /// <param name="textWidth">Width of the text features, 0 without text.</param>
    /// <param name="size">Side of the highest resolution, pixels.</param>
    /// <param name="batch">Images in a batch.</param>
    /// <param name="tokens">Length of the captions.</param>
    public static NetworkCost Of(ProgramConfig config, int textWidth, int size, int batch, int tokens)
    {
        (double text, double forward, _) = Sampling(config, textWidth, size, 1, tokens);
        (_, _, long sampling) = Sampling(config, textWidth, size, batch, tokens);
        (double step, long training) = TrainingStep(config, textWidth, size, batch, tokens);
        return new NetworkCost(text, forward, sampling, step / batch, training);
    }

    private static (double TextFlops, double Flops, long Bytes) Sampling(
        ProgramConfig config, int textWidth, int size, int batch, int tokens)
    {
        using var device = new CountingDevice();
        using DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, textWidth);
        network.Store.Place(device, training: false, computeType: TypeOf(config));
        device.Counter.Reset();
        using Scope scope = Scope.Enter();
        Tensor[] images = network.NestRatios.Select(ratio => size / network.NestRatios[0] * ratio)
            .Select(side => Tensor.Empty(device, new Shape(batch, side, side, Channels))).ToArray();
        EncodedText? text = network.Prepare(Text(device, textWidth, batch, tokens));
        double ofText = device.Counter.Total.Operations;
        network.Call(new NetworkInput(
            images, Tensor.Empty(device, new Shape(batch)), Text: null, new Dictionary<string, Tensor>(), text));
        return (ofText, device.Counter.Total.Operations - ofText, device.Memory.Peak);
    }

    private static (double Flops, long Bytes) TrainingStep(ProgramConfig config, int textWidth, int size, int batch, int tokens)
    {
        using var device = new CountingDevice();
        using DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, textWidth);
        network.GradientCheckpointing = config.GradientCheckpointing;
        network.Store.Place(device, training: true, computeType: TypeOf(config));
        using var adam = new Adam(network.Store, new AdamOptions(0.9f, 0.999f, 1e-8f, 0, true, 1, 1));
        var loss = new DiffusionLoss(new DiffusionProcess(config.DiffusionConfig, network.NestRatios));
        device.Counter.Reset();
        using (Scope.Enter())
        using (Tape tape = Tape.Start())
        {
            Tensor images = Tensor.Empty(device, new Shape(batch, size, size, Channels));
            Tensor total = loss.Compute(network, images, Text(device, textWidth, batch, tokens), new Dictionary<string, Tensor>(),
                new RandomStream(0, 0)).Loss;
            tape.Backward(total);
        }

        adam.Step(0);
        return (device.Counter.Total.Operations, device.Memory.Peak);
    }

    private static DType TypeOf(ProgramConfig config) => config.Fp16 ? DType.BFloat16 : DType.Float32;

    private static TextFeatures? Text(IDevice device, int width, int batch, int tokens) => width == 0
        ? null
        : new TextFeatures(Tensor.Empty(device, new Shape(batch, tokens, width)), Tensor.Empty(device, new Shape(batch, tokens)));
}
