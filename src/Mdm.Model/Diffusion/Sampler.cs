using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>
/// Draws pictures from noise, ancestrally or by DDIM, with guidance. All resolutions of a nested network step together, each
/// by its own signal power. Within a step nothing is read back from the device.
/// </summary>
public sealed class Sampler(DenoisingNetwork network, DiffusionProcess process)
{
    private const int Channels = 3;

    /// <summary>The pictures [B,H,W,3] of the highest resolution, in [-1,1].</summary>
    /// <param name="request">What is wanted.</param>
    /// <param name="noise">Draws the first noise of every resolution, highest first, then for every step that adds any.</param>
    /// <param name="watch">Sees every step.</param>
    /// <param name="cancellation">Ends before the next step.</param>
    public Tensor Sample(SamplingRequest request, INoiseSource noise, Action<SamplingState>? watch = null,
        CancellationToken cancellation = default)
    {
        foreach (SamplingState state in Steps(request, noise, cancellation))
        {
            watch?.Invoke(state);
            if (state.IsLast)
                return state.Picture();
        }

        throw new InvalidOperationException("a sampler took no step");
    }

    /// <summary>The same step by step, each computed when it is asked for.</summary>
    /// <exception cref="MdmException">The request does not fit the network.</exception>
    /// <exception cref="OperationCanceledException">Cancelled between two steps.</exception>
    public IEnumerable<SamplingState> Steps(SamplingRequest request, INoiseSource noise, CancellationToken cancellation = default)
    {
        bool guided = request.Guidance != 1;
        RequireFit(request, guided);
        Shape[] shapes = process.LevelShapes(request.Batch, request.Height, request.Width, Channels);
        return Run(TimeSteps.Create(process.Schedule.Steps, request.Steps ?? process.Schedule.Steps));

        // Tensors that outlive a step belong to no scope: the caller's scopes may begin and end between two steps.
        IEnumerable<SamplingState> Run(int[] times)
        {
            using var conditions = new Conditions(request, guided);
            double[] scales = process.Levels.Select(level => level.ImageScale).ToArray();
            Tensor[] noisy = Array.ConvertAll(shapes, shape => Scope.Detach(noise.Draw(network.Store.Device, shape)));
            Tensor[] denoised = [];
            try
            {
                for (int i = 0; i < times.Length - 1; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    (int t, int s) = (times[i], times[i + 1]);
                    (Tensor[] images, Tensor[] next) = Tape.Paused(() => Advance(noisy, t, s, request, conditions, noise));
                    Free(noisy);
                    Free(denoised);
                    (denoised, noisy) = (images, next);
                    double[] logSnr = process.Levels.Select(level => level.Schedule.LogSnr(s)).ToArray();
                    yield return new SamplingState(i + 1, times.Length - 1, t, s, denoised, noisy, logSnr, scales);
                }
            }
            finally
            {
                Free(noisy);
                Free(denoised);
            }
        }
    }

    private static void Free(Tensor[] tensors) => Array.ForEach(tensors, tensor => tensor.Dispose());

    private (Tensor[] Denoised, Tensor[] Noisy) Advance(
        Tensor[] noisy, int t, int s, SamplingRequest request, Conditions conditions, INoiseSource noise)
    {
        using Scope scope = Scope.Enter();
        Tensor[] predictions = PredictGuided(noisy, t, request, conditions);
        var denoised = new Tensor[noisy.Length];
        var next = new Tensor[noisy.Length];
        for (int k = 0; k < noisy.Length; k++)
        {
            DiffusionLevel level = process.Levels[k];
            float[] gammas = Repeat(level.Schedule[t], request.Batch);
            Tensor image = Prediction.Convert(predictions[k], noisy[k], process.Predicted, Parameterization.Image, gammas);
            denoised[k] = Threshold.Apply(
                request.Threshold ?? process.Config.SamplerConfig.ThresholdFunction, image, level.ImageScale);

            SamplerUpdate update = SamplerUpdate.Of(level.Schedule[t], level.Schedule[s], request.Eta);
            next[k] = Op.PerSample(Coefficients(update.Image), denoised[k], Coefficients(update.Noisy), noisy[k]);
            if (s > 0 && update.Noise > 0)
            {
                Tensor fresh = noise.Draw(network.Store.Device, noisy[k].Shape);
                next[k] = Op.Add(next[k], Op.PerSample(Coefficients(update.Noise), fresh));
            }
        }

        return (Array.ConvertAll(denoised, Scope.Detach), Array.ConvertAll(next, Scope.Detach));

        Tensor Coefficients(double value) =>
            Tensor.From(network.Store.Device, Repeat((float)value, request.Batch), new Shape(request.Batch));
    }

    // With guidance the batch is doubled, the unconditional half first: u + w(c - u).
    private Tensor[] PredictGuided(Tensor[] noisy, int t, SamplingRequest request, Conditions conditions)
    {
        bool guided = request.Guidance != 1;
        int batch = request.Batch, rows = guided ? 2 * batch : batch;
        // The network counts times from 0.
        Tensor times = Tensor.From(network.Store.Device, Repeat(t - 1, rows), new Shape(rows));
        Tensor[] images = guided ? Array.ConvertAll(noisy, x => Op.JoinBatches(x, x)) : noisy;
        IReadOnlyList<Tensor> predictions =
            process.Predict(network, new NetworkInput(images, times, conditions.Text, conditions.Micros));
        if (!guided)
            return [.. predictions];
        float w = (float)request.Guidance;
        return predictions.Select(y =>
            Op.Combine(1 - w, Op.BatchSlice(y, 0, batch), w, Op.BatchSlice(y, batch, batch))).ToArray();
    }

    private static float[] Repeat(float value, int count) => Enumerable.Repeat(value, count).ToArray();

    private void RequireFit(SamplingRequest request, bool guided)
    {
        if (request.Batch < 1)
            throw new MdmException($"a batch of {request.Batch} pictures, expected 1 or more");
        if (request.Eta is { } eta && eta is not (>= 0 and <= 1))
            throw new MdmException($"ddim_eta is {eta}, expected 0 to 1");
        if (!double.IsFinite(request.Guidance))
            throw new MdmException($"cfg_weight is {request.Guidance}, expected a finite number");
        if (network.TextWidth > 0 && request.Text == null)
            throw new MdmException("the network draws what a text says, but no text features were given");
        if (guided && (request.Text == null || request.NegativeText == null))
        {
            throw new MdmException(network.TextWidth > 0
                ? $"cfg_weight {request.Guidance} needs the features of an empty or negative prompt"
                : $"cfg_weight is {request.Guidance}, expected 1: the network was trained without text");
        }
    }

    /// <summary>Text and micro-conditions as the network gets them in every step.</summary>
    private sealed class Conditions : IDisposable
    {
        private readonly List<Tensor> _owned = [];

        public Conditions(SamplingRequest request, bool guided)
        {
            (Text, Micros) = (request.Text, request.Micros);
            if (!guided)
                return;
            TextFeatures with = request.Text!, without = request.NegativeText!;
            if ((with.Mask == null) != (without.Mask == null))
                throw new ArgumentException("either both or none of the prompts and negative prompts should have a mask");
            Text = new TextFeatures(Own(Op.JoinBatches(without.Values, with.Values)),
                with.Mask == null ? null : Own(Op.JoinBatches(without.Mask!, with.Mask)));
            Micros = request.Micros.ToDictionary(micro => micro.Key, micro => Own(Op.JoinBatches(micro.Value, micro.Value)));
        }

        public TextFeatures? Text { get; }

        public IReadOnlyDictionary<string, Tensor> Micros { get; }

        public void Dispose() => _owned.ForEach(tensor => tensor.Dispose());

        private Tensor Own(Tensor tensor)
        {
            _owned.Add(Scope.Detach(tensor));
            return tensor;
        }
    }
}
