using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Diffusion;

/// <summary>
/// The signal power γ_t for t = 0..T, with γ_0 = 1: x_t = √γ_t·x + √(1-γ_t)·ε. The table is made in float64 and kept in
/// float32; what is derived from it (shifts, weights) is computed in float32, as the published checkpoints were trained.
/// </summary>
public sealed class NoiseSchedule
{
    // Floor of the sigmoid schedule (arXiv 2301.10972, algorithm 1), which would otherwise end at exactly 0.
    private const double SigmoidFloor = 1e-9;

    private readonly float[] _gammas;

    private NoiseSchedule(float[] gammas) => _gammas = gammas;

    /// <summary>T, the number of diffusion steps.</summary>
    public int Steps => _gammas.Length - 1;

    /// <summary>γ_0..γ_T.</summary>
    public ReadOnlySpan<float> Gammas => _gammas;

    /// <summary>γ_t.</summary>
    public float this[int t] => _gammas[t];

    /// <summary>Makes the schedule that a configuration asks for, <c>rescale_schedule</c> included.</summary>
    /// <exception cref="MdmException">The signal power would not fall strictly between 1 and 0.</exception>
    public static NoiseSchedule Create(SamplerConfig config)
    {
        int n = config.NumDiffusionSteps;
        if (n < 1)
            throw new MdmException($"num_diffusion_steps is {n}, expected 1 or more");
        double[] gammas = config.ScheduleType switch
        {
            ScheduleType.Ddpm => FromBetas(n, i => Interpolate(config.BetaStart, config.BetaEnd, i, n)),
            ScheduleType.Deepfloyd => FromBetas(n,
                i => Math.Min(1 - SquaredCosine((i + 1.0) / n) / SquaredCosine((double)i / n), 0.999)),
            ScheduleType.Cosine => Cosine(n),
            ScheduleType.Sigmoid => SigmoidTable(n),
            _ => throw new MdmException($"schedule_type {config.ScheduleType} is not known"),
        };
        var schedule = new NoiseSchedule(Array.ConvertAll(gammas, g => (float)g));
        schedule = schedule.Shifted(config.RescaleSchedule, config.ScheduleShiftedPower);
        schedule.RequireSignalAndNoise(config);
        return schedule;
    }

    /// <summary>The schedule with its signal-to-noise ratio divided by scale^power, as an image that is larger by that scale
    /// needs. γ_0 stays 1.</summary>
    public NoiseSchedule Shifted(double scale, double power)
    {
        if (scale == 1)
            return this;
        float divisor = (float)Math.Pow(scale, power);
        return new NoiseSchedule(Array.ConvertAll(_gammas, g =>
        {
            float ratio = g / (1 - g) / divisor;
            return 1 / (1 + 1 / ratio);
        }));
    }

    /// <summary>ln(γ_t/(1-γ_t)); infinite at t = 0.</summary>
    public double LogSnr(int t) => Math.Log(_gammas[t]) - Math.Log(1.0 - _gammas[t]);

    /// <summary>Weights of the VDM loss: w_t = γ_{t-1}(1-γ_t)/((1-γ_{t-1})γ_t) - 1 for t = 2..T; w_0 = w_1 = w_2.</summary>
    public float[] VdmWeights()
    {
        float[] weights = new float[_gammas.Length];
        for (int t = 2; t < weights.Length; t++)
            weights[t] = _gammas[t - 1] * (1 - _gammas[t]) / ((1 - _gammas[t - 1]) * _gammas[t]) - 1;
        // A single step has no w_2; every sample then counts the same.
        weights[0] = weights[1] = weights.Length > 2 ? weights[2] : 1;
        return weights;
    }

    private static double[] FromBetas(int n, Func<int, double> beta)
    {
        double[] gammas = new double[n + 1];
        gammas[0] = 1;
        for (int i = 0; i < n; i++)
            gammas[i + 1] = gammas[i] * (1 - beta(i));
        return gammas;
    }

    private static double SquaredCosine(double u)
    {
        double c = Math.Cos((u + 0.008) / 1.008 * Math.PI / 2);
        return c * c;
    }

    // logsnr(u) = -2 ln tan(a u + b), from 5 down to -5.
    private static double[] Cosine(int n)
    {
        double b = Math.Atan(Math.Exp(-2.5)), a = Math.Atan(Math.Exp(2.5)) - b;
        double[] gammas = new double[n + 1];
        gammas[0] = 1;
        for (int i = 0; i < n; i++)
            gammas[i + 1] = Logistic(-2 * Math.Log(Math.Tan(a * Interpolate(0, 1, i, n) + b)));
        return gammas;
    }

    // Start -3, end 3, temperature 1: the settings the paper recommends for small images.
    private static double[] SigmoidTable(int n)
    {
        double first = Logistic(-3), last = Logistic(3);
        double[] gammas = new double[n + 1];
        for (int i = 0; i <= n; i++)
            gammas[i] = Math.Max((last - Logistic(Interpolate(-3, 3, i, n + 1))) / (last - first), SigmoidFloor);
        gammas[0] = 1;
        return gammas;
    }

    private static double Logistic(double x) => 1 / (1 + Math.Exp(-x));

    /// <summary>Point i of n evenly spaced ones from first to last; the first if there is only one.</summary>
    private static double Interpolate(double first, double last, int i, int n) =>
        n == 1 ? first : first + (last - first) * i / (n - 1);

    // Every formula divides by γ or 1-γ somewhere.
    private void RequireSignalAndNoise(SamplerConfig config)
    {
        for (int t = 1; t < _gammas.Length; t++)
        {
            if (_gammas[t] is not (> 0 and < 1))
                throw new MdmException($"the {config.ScheduleType} schedule of {Steps} steps has signal power {_gammas[t]} "
                    + $"at step {t}, expected between 0 and 1: see num_diffusion_steps, beta_start, beta_end, rescale_schedule");
        }
    }
}
