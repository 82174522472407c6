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
    private readonly DiffusionProcess _process;
    private readonly Parameterization _compared;
    private readonly float[] _vdmWeights;
    private readonly double[] _levelWeights;
    private readonly double[] _shares;

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
        IReadOnlyDictionary<string, Tensor> micros, RandomStream random)
    {
        int[] times = random.Integers(images.Shape[0], _process.Schedule.Steps);
        return Compute(network, images, text, micros, times, new StreamNoise(random));
    }

    /// <summary>The loss. Call it within a scope, which then owns the result.</summary>
    /// <param name="network">Plain or nested.</param>
    /// <param name="images">[B,H,W,C] in [-1,1], the highest resolution; the others are averaged from it.</param>
    /// <param name="text">Null for an unconditional network.</param>
    /// <param name="micros">Micro-conditions by name, [B] each.</param>
    /// <param name="times">0..T-1 for every sample: the network is told t, the noise is that of t+1.</param>
    /// <param name="noise">Draws one picture per resolution, highest first.</param>
    public LossResult Compute(DenoisingNetwork network, Tensor images, TextFeatures? text,
        IReadOnlyDictionary<string, Tensor> micros, int[] times, INoiseSource noise)
    {
        int batch = images.Shape[0];
        NoisyLevel[] levels = AddNoise(images, times, noise);
        var input = new NetworkInput(levels.Select(level => level.Noisy).ToArray(),
            Tensor.From(images.Device, Array.ConvertAll(times, t => (float)t), new Shape(batch)), text, micros);
        IReadOnlyList<Tensor> outputs = _process.Predict(network, input);

        var results = new LevelLoss[levels.Length];
        Tensor? total = null;
        for (int k = 0; k < levels.Length; k++)
        {
            (Tensor image, Tensor epsilon, Tensor noisy, float[] gammas) = levels[k];
            Tensor prediction = Prediction.Convert(outputs[k], noisy, _process.Predicted, _compared, gammas);
            Tensor target = _compared == Parameterization.Noise
                ? epsilon
                : Prediction.Velocity(image, epsilon, gammas, _process.Levels[k].TargetScale);
            results[k] = new LevelLoss(noisy, outputs[k], prediction, target);
            if (_levelWeights[k] == 0)
                continue;
            Tensor losses = Op.MeanSquaredError(prediction, target);
            double weight = _levelWeights[k] / _shares[k];
            Tensor weighted = Op.PadBatch(weight == 1 ? losses : Op.Scale(losses, (float)weight), batch);
            total = total == null ? weighted : Op.Add(total, weighted);
        }

        return new LossResult(Average(total!, times), total!, results);
    }

    private sealed record NoisyLevel(Tensor Image, Tensor Epsilon, Tensor Noisy, float[] Gammas);

    private NoisyLevel[] AddNoise(Tensor images, int[] times, INoiseSource noise)
    {
        int batch = images.Shape[0];
        if (times.Length != batch)
            throw new ArgumentException($"{times.Length} times for {batch} images");
        Shape[] shapes = _process.LevelShapes(batch, images.Shape[1], images.Shape[2], images.Shape[3]);
        var levels = new NoisyLevel[shapes.Length];
        Tensor image = images;
        for (int k = 0; k < levels.Length; k++)
        {
            if (k > 0)
                image = Op.AveragePool(image, shapes[k - 1][1] / shapes[k][1]);
            // Noise is drawn for the whole batch, so that mixed_ratio does not change what the others draw.
            Tensor epsilon = noise.Draw(images.Device, shapes[k]);
            int count = SamplesOf(k, batch);
            float[] gammas = times.Take(count).Select(t => _process.Levels[k].Schedule[t + 1]).ToArray();
            Tensor shown = Op.BatchSlice(image, 0, count), added = Op.BatchSlice(epsilon, 0, count);
            Tensor noisy = Prediction.AddNoise(shown, added, gammas, _process.Levels[k].ImageScale);
            levels[k] = new NoisyLevel(shown, added, noisy, gammas);
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

    private Tensor Average(Tensor losses, int[] times)
    {
        if (_vdmWeights.Length == 0)
            return Op.Mean(losses);
        float[] weights = Array.ConvertAll(times, t => _vdmWeights[t + 1]);
        double sum = weights.Sum(w => (double)w);
        float[] normalised = Array.ConvertAll(weights, w => (float)(w / sum));
        return Op.Sum(Op.PerSample(Tensor.From(losses.Device, normalised, losses.Shape), losses));
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
