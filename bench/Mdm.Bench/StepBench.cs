using Mdm.Kernels;
using Mdm.Kernels.Counting;
using Mdm.Kernels.Cpu;

namespace Mdm.Bench;

internal static class StepBench
{
    private const int WarmUp = 3;

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
        using var step = new TrainingStep(path, device);
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

    /// <summary>Where the time of a step goes: a table per kind of kernel, and the calls that took the most.</summary>
    public static void Profile(string path, int steps)
    {
        using var device = new TimedDevice(new CpuDevice());
        using var step = new TrainingStep(path, device);
        for (int i = 0; i < WarmUp; i++)
            step.Run();
        device.Timer.Reset();
        device.ResetPeak();
        double start = Measure.Now(), peak = 0;
        for (int i = 0; i < steps; i++)
            step.Run();
        double wall = (Measure.Now() - start) / steps, inside = device.Timer.Kernels.Values.Sum(k => k.Seconds) / steps;
        for (int i = 0; i < 10; i++)
            peak = Math.Max(peak, Peaks.MultiplyAdds(CpuFeatures.Level));
        int calls = device.Timer.Kernels.Values.Sum(k => k.Calls) / steps;
        Console.WriteLine($"{Path.GetFileName(path)}: {wall * 1e3:0.0} ms a step, "
            + $"{step.Network.Store.ParameterCount:n0} parameters, peak memory {device.Memory.Peak / 1048576.0:0} MB");
        Console.WriteLine($"{calls} kernel calls, {inside * 1e3:0.0} ms in them; multiply-add peak {peak / 1e9:0} GFLOP/s; "
            + $"an empty loop on all threads takes {EmptyLoop() * 1e6:0.0} us");
        Console.WriteLine($"{"kernel",-110} {"calls",6} {"ms",8} {"share",7} {"GFLOP/s",8}");
        Print(device.Timer.Kernels, steps, inside, 20);
        Console.WriteLine();
        Print(device.Timer.Shapes, steps, inside, 60);
    }

    private static void Print(
        Dictionary<string, (int Calls, double Seconds, double Operations)> rows, int steps, double all, int count)
    {
        foreach (var (name, (calls, seconds, operations)) in rows.OrderByDescending(r => r.Value.Seconds).Take(count))
        {
            string shown = name.Length > 110 ? name[..110] : name;
            Console.WriteLine($"{shown,-110} {calls / (double)steps,6:0.#} {seconds / steps * 1e3,8:0.00} "
                + $"{seconds / steps / all,7:P1} {operations / seconds / 1e9,8:0.0}");
        }
    }

    private static double ProductOperations(string path)
    {
        using var device = new CountingDevice();
        using var step = new TrainingStep(path, device);
        device.Counter.Reset();
        step.Run();
        return new[] { KernelFamily.Matrix, KernelFamily.Convolution, KernelFamily.Attention }
            .Sum(family => (double)device.Counter.ByFamily.GetValueOrDefault(family).Operations);
    }

    private static unsafe double EmptyLoop() =>
        Measure.Seconds(() => CpuThreads.For(CpuThreads.Count, 1, &Nothing, null));

    private static unsafe void Nothing(void* context, int start, int end, int worker)
    {
    }
}
