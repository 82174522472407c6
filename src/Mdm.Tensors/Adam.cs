using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors.Modules;

namespace Mdm.Tensors;

/// <summary>
/// Adam or AdamW with global-norm clipping and an exponential moving average of the parameters, in one pass over the store's
/// arena. A step whose gradients are not all finite changes nothing and is counted. Every number that a step needs lies on
/// the device, so a step never waits for it.
/// </summary>
public sealed class Adam : IDisposable
{
    private readonly ParameterStore _store;
    private readonly Tensor _m;
    private readonly Tensor _v;
    private readonly Tensor _state;
    private readonly AdamOptions _options;

    /// <param name="store">Placed for training.</param>
    /// <param name="options">Betas, clipping and so on.</param>
    /// <param name="ema">Whether to keep a moving average; it starts at the present values.</param>
    public Adam(ParameterStore store, AdamOptions options, bool ema = true)
    {
        if (store.Gradients == null)
            throw new InvalidOperationException("the parameters were placed for inference, not for training");
        _store = store;
        _options = options;
        Shape shape = store.Gradients.Shape;
        _m = Scope.Detach(Tensor.Zeros(store.Device, shape));
        _v = Scope.Detach(Tensor.Zeros(store.Device, shape));
        _state = Scope.Detach(Tensor.Zeros(store.Device, new Shape(OptimizerState.Length), DType.Float64));
        if (ema)
        {
            Ema = Scope.Detach(Tensor.Empty(store.Device, shape));
            ResetEma();
        }
    }

    /// <summary>The moving average, laid out as the trainable part of <see cref="ParameterStore.Values"/>.</summary>
    public Tensor? Ema { get; }

    /// <summary>First and second moments, laid out likewise.</summary>
    public (Tensor M, Tensor V) Moments => (_m, _v);

    /// <summary>Makes the moving average equal to the parameters.</summary>
    public void ResetEma()
    {
        if (Ema is { } ema)
            ema.Kernels.LinearCombination(ema.Count, 1, _store.Values.Ptr, 0, Ptr.None, new Target(ema.Ptr, false));
    }

    /// <summary>One update from the gradients in the store, which are multiplied by gradientScale first (1/K after K
    /// accumulated micro-batches). The gradients are left as they are.</summary>
    public void Step(double learningRate, double emaDecay = 0.9999, float gradientScale = 1)
    {
        Set(OptimizerState.LearningRate, learningRate);
        Set(OptimizerState.EmaDecay, emaDecay);
        Tensor gradients = _store.Gradients!;
        IKernels k = gradients.Kernels;
        k.SquaredNorm(gradients.Count, gradients.Ptr, _state.Ptr);
        k.AdamStep(gradients.Count, _options with { GradScale = gradientScale }, _store.Values.Ptr, gradients.Ptr, _m.Ptr, _v.Ptr,
            Ema?.Ptr ?? Ptr.None, _store.Copy?.Ptr ?? Ptr.None, _state.Ptr);
    }

    /// <summary>Reads the optimiser's numbers back (and waits for them): steps taken, steps skipped, and the norm of the last
    /// step's gradients before scaling and clipping.</summary>
    public (long Steps, long Skipped, double GradientNorm) Read()
    {
        double[] state = ReadState();
        double norm = Math.Sqrt(state[OptimizerState.SquaredNorm]);
        return ((long)state[OptimizerState.Step], (long)state[OptimizerState.Skipped], norm);
    }

    /// <summary>All numbers of the optimiser, for a training state.</summary>
    public double[] ReadState()
    {
        double[] state = new double[OptimizerState.Length];
        _state.CopyTo(MemoryMarshal.AsBytes(state.AsSpan()));
        return state;
    }

    /// <summary>Puts back what <see cref="ReadState"/> gave.</summary>
    public void WriteState(ReadOnlySpan<double> state) => _state.Device.Upload(MemoryMarshal.AsBytes(state), _state.Ptr.Address);

    private void Set(int index, double value) =>
        _state.Device.Upload(MemoryMarshal.AsBytes<double>([value]), (_state.Ptr + index).Address);

    public void Dispose()
    {
        _m.Dispose();
        _v.Dispose();
        _state.Dispose();
        Ema?.Dispose();
    }
}
