using Mdm.Kernels;
using Mdm.Kernels.Counting;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Profiling;
using Mdm.Model.Text;

namespace Mdm.Bench;

internal static class StepBench
{
    private const int WarmUp = 3;

    /// <summary>Tokens of a caption with its padding, as in bench/pytorch/training_step.py.</summary>
    private const int Tokens = 16;

    /// <summary>Images per second of whole training steps; the share is that of the multiply-add peak that the step's products
    /// (convolutions, matrix products, attention) reach, everything else counted as lost time. "direct": without Winograd's
    /// convolution.</summary>
    public static IEnumerable<Result> Run(IEnumerable<string> configs, IEnumerable<CpuLevel> levels, int steps)
    {
        (CpuLevel level, bool winograd) before = (CpuFeatures.Level, CpuKernels.UseWinograd);
        foreach (string path in configs)
        {
            double operations = ProductOperations(path);
            foreach (CpuLevel level in levels)
            {
                foreach (bool winograd in new[] { true, false })
                {
                    CpuFeatures.Level = level;
                    CpuKernels.UseWinograd = winograd;
                    yield return OneNetwork(path, level, winograd ? "" : " direct", operations, steps);
                }
            }
        }

        (CpuFeatures.Level, CpuKernels.UseWinograd) = before;
    }

    private static Result OneNetwork(string path, CpuLevel level, string way, double operations, int steps)
    {
        using var device = new CpuDevice();
        using SyntheticTraining step = Open(path, device);
        for (int i = 0; i < WarmUp; i++)
            step.Run();
        var seconds = new double[steps];
        var shares = new double[steps];
        for (int i = 0; i < steps; i++)
        {
            double peak = Peaks.MultiplyAdds(level), start = Measure.Now();
            step.Run();
            seconds[i] = Measure.Now() - start;
            shares[i] = operations / seconds[i] / ((peak + Peaks.MultiplyAdds(level)) / 2);
        }

        Array.Sort(seconds);
        Array.Sort(shares);
        string name = $"{Path.GetFileNameWithoutExtension(path)}{way} {level.ToString().ToLowerInvariant()}";
        return new Result("step", name, step.Batch / seconds[steps / 2], "images/s", shares[steps / 2]);
    }

    private static double ProductOperations(string path)
    {
        using var device = new CountingDevice();
        using SyntheticTraining step = Open(path, device);
        device.Counter.Reset();
        step.Run();
        return new[] { KernelFamily.Matrix, KernelFamily.Convolution, KernelFamily.Attention }
            .Sum(family => (double)device.Counter.ByFamily.GetValueOrDefault(family).Operations);
    }

    /// <summary>Steps of a configuration file's network on made-up data, with its own batch size or another.</summary>
    public static SyntheticTraining Open(string path, IDevice device, int batch = 0)
    {
        ProgramConfig config = ConfigLoader.Load(path, batch > 0 ? [$"--batch_size={batch}"] : [], _ => { });
        ConfigValidator.Validate(config);
        return new SyntheticTraining(config, TextModels.WidthOf(config), device, Tokens);
    }
}
