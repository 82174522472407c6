using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>What one resolution contributed to a loss; only its first samples where <c>mixed_ratio</c> says so.</summary>
/// <param name="Noisy">x_t.</param>
/// <param name="Output">What the network predicted.</param>
/// <param name="Prediction">The same as the loss compares it.</param>
/// <param name="Target">What it is compared with.</param>
public sealed record LevelLoss(Tensor Noisy, Tensor Output, Tensor Prediction, Tensor Target);

/// <summary>A loss and what led to it.</summary>
/// <param name="Loss">The mean over the batch, weighted where so configured: [1].</param>
/// <param name="PerSample">[B], all resolutions together.</param>
/// <param name="Levels">Highest resolution first.</param>
public sealed record LossResult(Tensor Loss, Tensor PerSample, IReadOnlyList<LevelLoss> Levels);

/// <summary>
/// The denoising loss of plain and nested networks: a random time per sample, images of all resolutions with noise of their
/// own, and the mean squared error of what the network makes of them.
/// </summary>
public sealed class DiffusionLoss
{
    // Rows of the numbers: the time, the weight, and two coefficients for each form of each level.
    private const int TimeRow = 0, WeightRow = 1, FirstForm = 2, Forms = 3;

    private readonly DiffusionProcess _process;
    private readonly Parameterization _compared;
    private readonly float[] _vdmWeights;
    private readonly double[] _levelWeights;
    private readonly double[] _shares;

    /// <summary>Linear forms of two images: x_t of image and noise, the prediction as it is compared of the output and x_t, the
    /// velocity of image and noise.</summary>
    private enum Form
    {
        Noisy,
        Prediction,
        Velocity,
    }

    /// <exception cref="MdmException">The settings do not fit the process's number of resolutions.</exception>
    public DiffusionLoss(DiffusionProcess process)
    {
        DiffusionConfig config = process.Config;
        int levels = process.Levels.Count;
        _process = process;
        _compared = config.SamplerConfig.LossTarget.ToParameterization();
        _vdmWeights = config.UseVdmLossWeights ? process.Schedule.VdmWeights() : [];
        _levelWeights = Entries("multi_res_weights", levels > 1 ? config.MultiResWeights : null, levels);
        for (int k = 1; k < levels && !config.UseDoubleLoss; k++)
            _levelWeights[k] = 0;
        if (!_levelWeights.Any(weight => weight > 0))
            throw new MdmException("diffusion_config.multi_res_weights are all 0, expected more for a resolution that counts");
        _shares = Shares(levels > 1 ? config.MixedRatio : null, levels);
    }

    /// <summary>The loss with times and noise drawn from a stream.</summary>
    public LossResult Compute(DenoisingNetwork network, Tensor images, TextFeatures? text,
        IReadOnlyDictionary<string, Tensor> micros, RandomStream random) =>
        Compute(network, Prepare(images, text, micros, random));

    /// <summary>The loss at given times with given noise.</summary>
    public LossResult Compute(DenoisingNetwork network, Tensor images, TextFeatures? text,
        IReadOnlyDictionary<string, Tensor> micros, int[] times, INoiseSource noise) =>
        Compute(network, Prepare(images, text, micros, times, noise));

    /// <summary>Draws times and noise from a stream.</summary>
    public LossInputs Prepare(
        Tensor images, TextFeatures? text, IReadOnlyDictionary<string, Tensor> micros, RandomStream random)
    {
        int[] times = random.Integers(images.Shape[0], _process.Schedule.Steps);
        return Prepare(images, text, micros, times, new StreamNoise(random));
    }

    /// <summary>Draws the noise and makes the numbers that depend on the times. Call it within a scope, which then owns
    /// them.</summary>
    /// <param name="images">[B,H,W,C] in [-1,1], the highest resolution; the others are averaged from it, or, where a network
    /// halves frames, some of its frames.</param>
    /// <param name="text">Null for an unconditional network.</param>
    /// <param name="micros">Micro-conditions by name, [B] each.</param>
    /// <param name="times">0..T-1 for every sample: the network is told t, the noise is that of t+1.</param>
    /// <param name="noise">Draws one picture per resolution, highest first, for the whole batch, so that mixed_ratio does not
    /// change what the others draw.</param>
    public LossInputs Prepare(
        Tensor images, TextFeatures? text, IReadOnlyDictionary<string, Tensor> micros, int[] times, INoiseSource noise)
    {
        int batch = images.Shape[0];
        if (times.Length != batch)
            throw new ArgumentException($"{times.Length} times for {batch} images");
        Shape[] shapes = _process.LevelShapes(batch, images.Shape[1], images.Shape[2], images.Shape[3]);
        Tensor[] drawn = Array.ConvertAll(shapes, shape => noise.Draw(images.Device, shape));
        return new LossInputs(images, Numbers(times).On(images.Device), drawn, new Conditioning(text, micros));
    }

    /// <summary>The loss, by device work alone. Call it within a scope, which then owns the result.</summary>
    public LossResult Compute(DenoisingNetwork network, LossInputs inputs)
    {
        int batch = inputs.Images.Shape[0];
        NoisyLevel[] levels = AddNoise(network.Config, inputs);
        var input = new NetworkInput(levels.Select(level => level.Noisy).ToArray(),
            SampleNumbers.Row(inputs.Numbers, TimeRow, batch), inputs.Conditioning.Text, inputs.Conditioning.Micros);
        IReadOnlyList<Tensor> outputs = _process.Predict(network, input);

        var results = new LevelLoss[levels.Length];
        Tensor? total = null;
        for (int k = 0; k < levels.Length; k++)
        {
            (Tensor image, Tensor epsilon, Tensor noisy) = levels[k];
            Tensor prediction = _process.Predicted == _compared
                ? outputs[k]
                : Mixed(inputs.Numbers, k, Form.Prediction, outputs[k], noisy);
            Tensor target = _compared == Parameterization.Noise
                ? epsilon
                : Mixed(inputs.Numbers, k, Form.Velocity, image, epsilon);
            results[k] = new LevelLoss(noisy, outputs[k], prediction, target);
            if (_levelWeights[k] == 0)
                continue;
            Tensor losses = Op.MeanSquaredError(prediction, target);
            double weight = _levelWeights[k] / _shares[k];
            Tensor weighted = Op.PadBatch(weight == 1 ? losses : Op.Scale(losses, (float)weight), batch);
            total = total == null ? weighted : Op.Add(total, weighted);
        }

        Tensor loss = _vdmWeights.Length == 0
            ? Op.Mean(total!)
            : Op.Sum(Op.PerSample(SampleNumbers.Row(inputs.Numbers, WeightRow, batch), total!));
        return new LossResult(loss, total!, results);
    }

    private SampleNumbers Numbers(int[] times)
    {
        var numbers = new SampleNumbers(times.Length);
        numbers.Add(i => times[i]);
        float[] weights = _vdmWeights.Length == 0 ? [] : Array.ConvertAll(times, t => _vdmWeights[t + 1]);
        double sum = weights.Sum(w => (double)w);
        numbers.Add(i => weights.Length == 0 ? 1 : weights[i] / sum);
        foreach (DiffusionLevel level in _process.Levels)
        {
            double Gamma(int i) => level.Schedule[times[i] + 1];
            Mixture Noisy(int i) => Mixture.Noisy(Gamma(i), level.ImageScale);
            Mixture Velocity(int i) => Mixture.Velocity(Gamma(i), level.TargetScale);
            Conversion Prediction(int i) => Conversion.Of(_process.Predicted, _compared, Gamma(i));
            numbers.Add(i => Noisy(i).Image);
            numbers.Add(i => Noisy(i).Noise);
            numbers.Add(i => Prediction(i).Output);
            numbers.Add(i => Prediction(i).Noisy);
            numbers.Add(i => Velocity(i).Image);
            numbers.Add(i => Velocity(i).Noise);
        }

        return numbers;
    }

    /// <summary>first·x + second·y with a form's coefficients, for as many samples as x has.</summary>
    private static Tensor Mixed(Tensor numbers, int level, Form form, Tensor x, Tensor y)
    {
        int row = FirstForm + 2 * (Forms * level + (int)form), samples = x.Shape[0];
        return Op.PerSample(SampleNumbers.Row(numbers, row, samples), x, SampleNumbers.Row(numbers, row + 1, samples), y);
    }

    private sealed record NoisyLevel(Tensor Image, Tensor Epsilon, Tensor Noisy);

    private NoisyLevel[] AddNoise(UNetConfig network, LossInputs inputs)
    {
        var levels = new NoisyLevel[inputs.Noise.Count];
        Tensor[] images = LowerResolutions.Of(network, inputs.Images);
        for (int k = 0; k < levels.Length; k++)
        {
            Tensor image = images[k], epsilon = inputs.Noise[k];
            int count = SamplesOf(k, image.Shape[0]);
            Tensor shown = Op.BatchSlice(image, 0, count), added = Op.BatchSlice(epsilon, 0, count);
            levels[k] = new NoisyLevel(shown, added, Mixed(inputs.Numbers, k, Form.Noisy, shown, added));
        }

        return levels;
    }

    // Shares such as 2/3 times a batch of 3 must not come out a hair below 2.
    private int SamplesOf(int level, int batch)
    {
        int count = (int)Math.Floor(_shares[level] * batch + 1e-9);
        if (count == 0)
        {
            throw new MdmException($"a batch of {batch} leaves no sample for resolution {level}, whose mixed_ratio share is "
                + $"{_shares[level]:0.###}, expected a batch of {Math.Ceiling(1 / _shares[level])} or more");
        }

        return count;
    }

    private static double[] Entries(string setting, double[]? values, int levels)
    {
        if (values == null)
            return Enumerable.Repeat(1.0, levels).ToArray();
        if (values.Length != levels)
            throw new MdmException($"diffusion_config.{setting} has {values.Length} entries, expected {levels} (resolutions)");
        return [.. values];
    }

    // Cumulative shares of the batch: 2:1 means that the highest of two resolutions sees the first 2/3.
    private static double[] Shares(double[]? ratio, int levels)
    {
        if (ratio == null)
            return Entries("mixed_ratio", null, levels);
        double[] parts = Entries("mixed_ratio", ratio, levels);
        double total = parts.Sum(), sum = 0;
        if (parts[0] <= 0)
            throw new MdmException($"diffusion_config.mixed_ratio begins with {parts[0]}, expected more than 0");
        double[] shares = Array.ConvertAll(parts, part => (sum += part) / total);
        shares[^1] = 1;
        return shares;
    }
}
