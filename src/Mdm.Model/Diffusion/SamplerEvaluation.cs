using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>What an evaluation of the network and its update read, one tensor for every resolution.</summary>
/// <param name="Noisy">What the network sees.</param>
/// <param name="Fresh">Noise to add; a null, or all null: none.</param>
/// <param name="Other">A second predicted picture; null: the update has none.</param>
/// <param name="Base">The x_t of the update, where it is not <paramref name="Noisy"/>.</param>
internal sealed record StepInputs(Tensor[] Noisy, Tensor?[]? Fresh = null, Tensor[]? Other = null, Tensor[]? Base = null)
{
    /// <summary>Which tensors there are: equal for two that differ in numbers and shapes only.</summary>
    public string Kind => $"{string.Join(' ', (Fresh ?? []).Select(z => z != null))} {Other != null} {Base != null}";

    /// <summary>All tensors, in the order of <see cref="With"/>.</summary>
    public IEnumerable<Tensor> Tensors => [.. Noisy, .. (Fresh ?? []).OfType<Tensor>(), .. Other ?? [], .. Base ?? []];

    /// <summary>The same kind with other tensors, which are taken from the queue.</summary>
    public StepInputs With(Queue<Tensor> tensors)
    {
        Tensor[] Take(Tensor[] like) => Array.ConvertAll(like, _ => tensors.Dequeue());
        Tensor[] noisy = Take(Noisy);
        Tensor?[]? fresh = Fresh == null ? null : Array.ConvertAll(Fresh, z => z == null ? null : tensors.Dequeue());
        return new StepInputs(noisy, fresh, Other == null ? null : Take(Other), Base == null ? null : Take(Base));
    }
}

/// <summary>Text and micro-conditions as the network gets them in every step.</summary>
internal sealed record PreparedConditions(EncodedText? Text, IReadOnlyDictionary<string, Tensor> Micros)
{
    /// <summary>Which tensors there are: equal for two that differ in numbers and shapes only.</summary>
    public string Kind => $"{Text != null} {Text?.Mask != null} {Text?.Embedding != null} {string.Join(' ', Names)}";

    /// <summary>All tensors, in the order of <see cref="Map"/>.</summary>
    public IEnumerable<Tensor> Tensors => [.. Text?.Tensors ?? [], .. Names.Select(name => Micros[name])];

    private IEnumerable<string> Names => Micros.Keys.Order(StringComparer.Ordinal);

    /// <summary>The same kind with other tensors, made of these.</summary>
    public PreparedConditions Map(Func<Tensor, Tensor> change) =>
        new(Text?.Map(change), Names.ToDictionary(name => name, name => change(Micros[name])));
}

/// <summary>Evaluates the network for a step and applies a sampler's update, by device work alone.</summary>
internal sealed class SamplerEvaluation : IDisposable
{
    // Rows of a step's numbers: the time, the weights of the two halves of a guided batch, then for each level what turns the
    // network's output into a picture and the weights of the update.
    private const int TimeRow = 0, WithoutRow = 1, WithRow = 2, FirstLevel = 3, LevelRows = 6;

    private readonly DenoisingNetwork _network;
    private readonly DiffusionProcess _process;
    private readonly StepRecorder _recorder;
    private readonly SamplingRequest _request;
    private readonly ThresholdType _threshold;
    private PreparedConditions? _conditional;
    private PreparedConditions? _both;
    private readonly List<Tensor> _owned = [];

    /// <param name="network">On a device.</param>
    /// <param name="process">Its noise.</param>
    /// <param name="recorder">Records evaluations.</param>
    /// <param name="request">One that fits the network.</param>
    public SamplerEvaluation(DenoisingNetwork network, DiffusionProcess process, StepRecorder recorder, SamplingRequest request)
    {
        (_network, _process, _recorder, _request) = (network, process, recorder, request);
        _threshold = request.Threshold ?? process.Config.SamplerConfig.ThresholdFunction;
    }

    /// <summary>The predicted pictures and then x_s of all resolutions; the caller owns them.</summary>
    /// <param name="kind">Names the update: evaluations of the same kind may share a recording.</param>
    /// <param name="t">The time that the network is told.</param>
    /// <param name="guidance">w; with 1 there is no unconditional half.</param>
    /// <param name="updates">The weights, for every resolution.</param>
    /// <param name="inputs">The tensors.</param>
    public (Tensor[] Denoised, Tensor[] Noisy) Run(
        string kind, int t, double guidance, SamplerUpdate[] updates, StepInputs inputs)
    {
        bool guided = guidance != 1;
        PreparedConditions conditions = guided ? Both : Conditional;
        Tensor numbers = Numbers(t, guidance, updates).On(_network.Store.Device);
        string name = $"{kind} {guided} {_threshold} {inputs.Kind} {conditions.Kind}";
        IReadOnlyList<Tensor> results = _recorder.Run(name, [numbers, .. inputs.Tensors], tensors =>
        {
            var queue = new Queue<Tensor>(tensors);
            Tensor own = queue.Dequeue();
            return Compute(own, guided, inputs.With(queue), conditions.Map(_ => queue.Dequeue()));
        }, constants: [.. conditions.Tensors]);
        int levels = inputs.Noisy.Length;
        return ([.. results.Take(levels).Select(Scope.Detach)], [.. results.Skip(levels).Select(Scope.Detach)]);
    }

    public void Dispose() => _owned.ForEach(tensor => tensor.Dispose());

    private SampleNumbers Numbers(int t, double guidance, SamplerUpdate[] updates)
    {
        var numbers = new SampleNumbers(_request.Batch);
        // The network counts times from 0.
        numbers.Add(t - 1);
        numbers.Add(1 - guidance);
        numbers.Add(guidance);
        foreach ((DiffusionLevel level, SamplerUpdate update) in _process.Levels.Zip(updates))
        {
            Conversion image = Conversion.Of(_process.Predicted, Parameterization.Image, level.Schedule[t]);
            numbers.Add(image.Output);
            numbers.Add(image.Noisy);
            numbers.Add(update.Image);
            numbers.Add(update.Noisy);
            numbers.Add(update.Noise);
            numbers.Add(update.Other);
        }

        return numbers;
    }

    private Tensor[] Compute(Tensor numbers, bool guided, StepInputs inputs, PreparedConditions conditions)
    {
        Tensor[] predictions = Predict(numbers, guided, inputs.Noisy, conditions);
        int levels = predictions.Length;
        var denoised = new Tensor[levels];
        var next = new Tensor[levels];
        for (int k = 0; k < levels; k++)
        {
            int first = FirstLevel + LevelRows * k;
            Tensor Weight(int row) => Row(numbers, first + row);
            Tensor image = Op.PerSample(Weight(0), predictions[k], Weight(1), inputs.Noisy[k]);
            denoised[k] = Threshold.Apply(_threshold, image, _process.Levels[k].ImageScale);
            next[k] = Op.PerSample(Weight(2), denoised[k], Weight(3), (inputs.Base ?? inputs.Noisy)[k]);
            if (inputs.Fresh?[k] is { } z)
                next[k] = Op.Add(next[k], Op.PerSample(Weight(4), z));
            if (inputs.Other?[k] is { } other)
                next[k] = Op.Add(next[k], Op.PerSample(Weight(5), other));
        }

        return [.. denoised, .. next];
    }

    // With guidance the batch is doubled, the unconditional half first: u + w(c - u).
    private Tensor[] Predict(Tensor numbers, bool guided, Tensor[] noisy, PreparedConditions conditions)
    {
        Tensor times = Row(numbers, TimeRow);
        Tensor[] images = guided ? Array.ConvertAll(noisy, x => Op.JoinBatches(x, x)) : noisy;
        IReadOnlyList<Tensor> predictions = _process.Predict(_network, new NetworkInput(
            images, guided ? Op.JoinBatches(times, times) : times, Text: null, conditions.Micros, conditions.Text));
        if (!guided)
            return [.. predictions];
        int batch = _request.Batch;
        return [.. predictions.Select(y => Op.PerSample(
            Row(numbers, WithoutRow), Op.BatchSlice(y, 0, batch), Row(numbers, WithRow), Op.BatchSlice(y, batch, batch)))];
    }

    private Tensor Row(Tensor numbers, int row) => SampleNumbers.Row(numbers, row, _request.Batch);

    // A run prepares its text once: where some of its steps are guided, the others read the second half of that.
    private PreparedConditions Conditional => _conditional ??= _request.Guidance == 1
        ? Prepared(_request.Text, _request.Micros)
        : Both.Map(x => Own(Op.BatchSlice(x, _request.Batch, _request.Batch)));

    private PreparedConditions Both => _both ??= Prepared(BothTexts(), _request.Micros.ToDictionary(
        micro => micro.Key, micro => Op.JoinBatches(micro.Value, micro.Value)));

    private TextFeatures BothTexts()
    {
        TextFeatures with = _request.Text!, without = _request.NegativeText!;
        if ((with.Mask == null) != (without.Mask == null))
            throw new ArgumentException("either both or none of the prompts and negative prompts should have a mask");
        return new TextFeatures(Op.JoinBatches(without.Values, with.Values),
            with.Mask == null ? null : Op.JoinBatches(without.Mask!, with.Mask));
    }

    private PreparedConditions Prepared(TextFeatures? text, IReadOnlyDictionary<string, Tensor> micros) =>
        new PreparedConditions(_network.Prepare(text), micros).Map(x => Own(x.WithoutGradient()));

    // Views, since what the network hands on as it is belongs to others.
    private Tensor Own(Tensor view)
    {
        _owned.Add(Scope.Detach(view));
        return view;
    }
}
