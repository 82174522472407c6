using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>
/// Draws pictures from noise, ancestrally or by DDIM, with guidance. All resolutions of a nested network step together, each
/// by its own signal power. Within a step nothing is read back from the device; where the device can, the step is recorded once
/// for all times and replayed.
/// </summary>
/// <param name="network">On a device.</param>
/// <param name="process">Its noise.</param>
/// <param name="record">Whether to record.</param>
public sealed class Sampler(DenoisingNetwork network, DiffusionProcess process, bool record = true) : IDisposable
{
    private const int Channels = 3;

    // Rows of a step's numbers: the time, then for each level what turns the network's output into a picture and what the
    // update multiplies picture, x_t and fresh noise with.
    private const int TimeRow = 0, FirstLevel = 1, LevelRows = 5;

    private readonly StepRecorder _recorder = new(network.Store.Device, record);
    private int _running;

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
            // A replay replaces what the last one has computed, so only one run at a time may have recordings.
            bool alone = Interlocked.Exchange(ref _running, 1) == 0;
            using StepRecorder? own = alone ? null : new StepRecorder(network.Store.Device, enabled: false);
            using var conditions = new GuidedConditions(request, guided);
            double[] scales = process.Levels.Select(level => level.ImageScale).ToArray();
            Tensor[] noisy = Array.ConvertAll(shapes, shape => Scope.Detach(noise.Draw(network.Store.Device, shape)));
            Tensor[] denoised = [];
            try
            {
                for (int i = 0; i < times.Length - 1; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    (int t, int s) = (times[i], times[i + 1]);
                    (Tensor[] images, Tensor[] next) = Tape.Paused(() =>
                        Advance(own ?? _recorder, noisy, t, s, request, conditions.Both, noise));
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
                if (alone)
                    Volatile.Write(ref _running, 0);
            }
        }
    }

    private static void Free(Tensor[] tensors) => Array.ForEach(tensors, tensor => tensor.Dispose());

    public void Dispose() => _recorder.Dispose();

    private (Tensor[] Denoised, Tensor[] Noisy) Advance(StepRecorder recorder, Tensor[] noisy, int t, int s,
        SamplingRequest request, Conditioning conditioning, INoiseSource noise)
    {
        using Scope scope = Scope.Enter();
        IDevice device = network.Store.Device;
        int levels = noisy.Length;
        SamplerUpdate[] updates =
            [.. process.Levels.Select(level => SamplerUpdate.Of(level.Schedule[t], level.Schedule[s], request.Eta))];
        bool[] adds = Array.ConvertAll(updates, update => s > 0 && update.Noise > 0);
        Tensor[] fresh = [.. Enumerable.Range(0, levels).Where(k => adds[k]).Select(k => noise.Draw(device, noisy[k].Shape))];
        Tensor numbers = Numbers(request.Batch, t, updates).On(device);

        string name = $"{request.Guidance:R} {request.Threshold} {string.Join(' ', adds)} {conditioning.Kind}";
        IReadOnlyList<Tensor> results = recorder.Run(name, [numbers, .. noisy, .. fresh, .. conditioning.Tensors], tensors =>
        {
            var queue = new Queue<Tensor>(tensors);
            Tensor own = queue.Dequeue();
            Tensor[] x = [.. noisy.Select(_ => queue.Dequeue())];
            Tensor?[] z = Array.ConvertAll(adds, added => added ? queue.Dequeue() : null);
            return Compute(own, x, z, request, conditioning.With(queue));
        });
        return ([.. results.Take(levels).Select(Scope.Detach)], [.. results.Skip(levels).Select(Scope.Detach)]);
    }

    private SampleNumbers Numbers(int batch, int t, SamplerUpdate[] updates)
    {
        var numbers = new SampleNumbers(batch);
        // The network counts times from 0.
        numbers.Add(t - 1);
        foreach ((DiffusionLevel level, SamplerUpdate update) in process.Levels.Zip(updates))
        {
            Conversion image = Conversion.Of(process.Predicted, Parameterization.Image, level.Schedule[t]);
            numbers.Add(image.Output);
            numbers.Add(image.Noisy);
            numbers.Add(update.Image);
            numbers.Add(update.Noisy);
            numbers.Add(update.Noise);
        }

        return numbers;
    }

    /// <summary>The predicted pictures and then x_s of all levels, by device work alone.</summary>
    private Tensor[] Compute(Tensor numbers, Tensor[] noisy, Tensor?[] fresh, SamplingRequest request, Conditioning conditioning)
    {
        Tensor[] predictions = PredictGuided(SampleNumbers.Row(numbers, TimeRow, request.Batch), noisy, request, conditioning);
        var denoised = new Tensor[noisy.Length];
        var next = new Tensor[noisy.Length];
        for (int k = 0; k < noisy.Length; k++)
        {
            int first = FirstLevel + LevelRows * k;
            Tensor Row(int row) => SampleNumbers.Row(numbers, first + row, request.Batch);
            Tensor image = Op.PerSample(Row(0), predictions[k], Row(1), noisy[k]);
            denoised[k] = Threshold.Apply(
                request.Threshold ?? process.Config.SamplerConfig.ThresholdFunction, image, process.Levels[k].ImageScale);
            next[k] = Op.PerSample(Row(2), denoised[k], Row(3), noisy[k]);
            if (fresh[k] is { } z)
                next[k] = Op.Add(next[k], Op.PerSample(Row(4), z));
        }

        return [.. denoised, .. next];
    }

    // With guidance the batch is doubled, the unconditional half first: u + w(c - u).
    private Tensor[] PredictGuided(Tensor times, Tensor[] noisy, SamplingRequest request, Conditioning conditioning)
    {
        bool guided = request.Guidance != 1;
        Tensor[] images = guided ? Array.ConvertAll(noisy, x => Op.JoinBatches(x, x)) : noisy;
        IReadOnlyList<Tensor> predictions = process.Predict(network, new NetworkInput(
            images, guided ? Op.JoinBatches(times, times) : times, conditioning.Text, conditioning.Micros));
        if (!guided)
            return [.. predictions];
        float w = (float)request.Guidance;
        int batch = request.Batch;
        return predictions.Select(y =>
            Op.Combine(1 - w, Op.BatchSlice(y, 0, batch), w, Op.BatchSlice(y, batch, batch))).ToArray();
    }

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
    private sealed class GuidedConditions : IDisposable
    {
        private readonly List<Tensor> _owned = [];

        public GuidedConditions(SamplingRequest request, bool guided)
        {
            Both = new Conditioning(request.Text, request.Micros);
            if (!guided)
                return;
            TextFeatures with = request.Text!, without = request.NegativeText!;
            if ((with.Mask == null) != (without.Mask == null))
                throw new ArgumentException("either both or none of the prompts and negative prompts should have a mask");
            var text = new TextFeatures(Own(Op.JoinBatches(without.Values, with.Values)),
                with.Mask == null ? null : Own(Op.JoinBatches(without.Mask!, with.Mask)));
            Both = new Conditioning(text,
                request.Micros.ToDictionary(micro => micro.Key, micro => Own(Op.JoinBatches(micro.Value, micro.Value))));
        }

        public Conditioning Both { get; }

        public void Dispose() => _owned.ForEach(tensor => tensor.Dispose());

        private Tensor Own(Tensor tensor)
        {
            _owned.Add(Scope.Detach(tensor));
            return tensor;
        }
    }
}
