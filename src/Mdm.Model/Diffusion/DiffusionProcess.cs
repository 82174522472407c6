using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>How one resolution of a network is noised.</summary>
/// <param name="Schedule">Its signal power, shifted by its size where so configured.</param>
/// <param name="ImageScale">Its images are divided by this before noise is added, and multiplied by it in the end.</param>
/// <param name="TargetScale">Its images are divided by this in a velocity target.</param>
public sealed record DiffusionLevel(NoiseSchedule Schedule, double ImageScale, double TargetScale);

/// <summary>What training and sampling share: the noise of every resolution and what the network predicts.</summary>
public sealed class DiffusionProcess
{
    private readonly float _outputScale;

    /// <param name="config">Schedule, prediction and scales.</param>
    /// <param name="nestRatios">Size of each resolution over the lowest, highest first; [1] for a plain U-Net.</param>
    /// <exception cref="MdmException">A setting that the original cannot run either.</exception>
    public DiffusionProcess(DiffusionConfig config, IReadOnlyList<int> nestRatios)
    {
        SamplerConfig sampler = config.SamplerConfig;
        bool nested = nestRatios.Count > 1;
        if (nested && !config.NoUseResidual)
            throw new MdmException("diffusion_config.no_use_residual is false, expected true for a nested network");
        if (config.UseRandomInterp || config.RandomDownsample || config.AverageDownsample || config.MidDownsample)
        {
            throw new MdmException("diffusion_config: use_random_interp, random_downsample, average_downsample and "
                + "mid_downsample are not supported, expected false");
        }

        Config = config;
        NestRatios = nestRatios;
        Predicted = sampler.PredictionType.ToParameterization();
        Schedule = NoiseSchedule.Create(sampler);
        // The published nested checkpoints were trained without an output scale, whatever the setting said.
        _outputScale = nested ? 0 : (float)config.ModelOutputScale;
        Levels = nestRatios.Select(ratio => !nested
            ? new DiffusionLevel(Schedule, sampler.RescaleSignal ?? 1, 1)
            : sampler.ScheduleShifted
                ? new DiffusionLevel(Schedule.Shifted(ratio, sampler.ScheduleShiftedPower), 1, 1)
                : new DiffusionLevel(Schedule, ratio, ratio)).ToArray();
    }

    public DiffusionConfig Config { get; }

    /// <summary>Size of each resolution over the lowest, highest first.</summary>
    public IReadOnlyList<int> NestRatios { get; }

    /// <summary>What the network predicts.</summary>
    public Parameterization Predicted { get; }

    /// <summary>The schedule before any shift by size.</summary>
    public NoiseSchedule Schedule { get; }

    /// <summary>Highest resolution first.</summary>
    public IReadOnlyList<DiffusionLevel> Levels { get; }

    /// <summary>The image shapes [B,H,W,C] of all resolutions.</summary>
    /// <exception cref="MdmException">The sizes are no multiples of the highest ratio.</exception>
    public Shape[] LevelShapes(int batch, int height, int width, int channels)
    {
        int highest = NestRatios[0];
        if (height <= 0 || width <= 0 || height % highest != 0 || width % highest != 0)
            throw new MdmException($"an image of {width}x{height}, expected multiples of {highest}");
        return NestRatios.Select(ratio =>
            new Shape(batch, height / highest * ratio, width / highest * ratio, channels)).ToArray();
    }

    /// <summary>The network's predictions, bounded to ±s by s·tanh(y/s) where <c>model_output_scale</c> s is set.</summary>
    public IReadOnlyList<Tensor> Predict(DenoisingNetwork network, NetworkInput input)
    {
        IReadOnlyList<Tensor> predictions = network.Call(input).Predictions;
        if (_outputScale == 0)
            return predictions;
        return predictions.Select(y => Op.Scale(Op.Tanh(Op.Scale(y, 1 / _outputScale)), _outputScale)).ToArray();
    }
}
