using Mdm.Kernels;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Training;

/// <summary>The forward and backward pass of a training step, recorded and replayed where the device can. Nothing is read back:
/// a loss that is not finite makes a gradient not finite, and so the optimiser skips the update.</summary>
/// <param name="network">Placed for training.</param>
/// <param name="loss">Of the network.</param>
/// <param name="lossFactor">Multiplies the loss before the backward pass.</param>
/// <param name="record">Whether to record. A network with dropout is not: it draws other numbers at every step.</param>
public sealed class GradientPass(DenoisingNetwork network, DiffusionLoss loss, double lossFactor, bool record) : IDisposable
{
    private readonly StepRecorder _recorder = new(network.Store.Device,
        record && network.Config.Chain().All(level => level.ResnetConfig.Dropout == 0));

    /// <summary>Adds a batch's gradients to those in the store. Returns the loss [1], before the factor; the current scope owns
    /// it, until the next pass.</summary>
    public Tensor Add(LossInputs inputs) =>
        _recorder.Run(inputs.Conditioning.Kind, inputs.Tensors, tensors => [Compute(inputs.With(tensors))])[0];

    public void Dispose() => _recorder.Dispose();

    private Tensor Compute(LossInputs inputs)
    {
        using Tape tape = Tape.Start();
        Tensor result = loss.Compute(network, inputs).Loss;
        tape.Backward(lossFactor == 1 ? result : Op.Scale(result, (float)lossFactor));
        // 0 times a number that is not finite is not a number; 0 times any other changes nothing.
        if (network.Store.Gradients is { Count: > 0 } gradients)
            gradients.Kernels.LinearCombination(1, 0, result.Ptr, 0, Ptr.None, new Target(gradients.Ptr, true));
        return result;
    }
}
