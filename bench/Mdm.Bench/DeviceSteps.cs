using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Mdm.Kernels;
using Mdm.Kernels.Counting;
using Mdm.Model.Configuration;
using Mdm.Model.Profiling;
using Mdm.Model.Text;
using Mdm.Tensors;

namespace Mdm.Bench;

/// <summary>Whole training and sampling steps on any device, as they run in earnest (recorded and replayed where the device can),
/// one line of JSON each; bench/pytorch/gpu.py prints the same of its side.</summary>
/// <param name="DeviceName">As users write it.</param>
/// <param name="Steps">Measured ones, after some to warm up.</param>
/// <param name="Tokens">Of a caption.</param>
/// <param name="Fp16">bfloat16 arithmetic.</param>
/// <param name="Kernels">Of products and convolutions: own, library or auto.</param>
internal sealed record DeviceSteps(string DeviceName, int Steps, int Tokens, bool Fp16, string Kernels)
{
    /// <summary>Enough that a step is recorded before the measured ones begin.</summary>
    private const int WarmUp = 5;

    private bool _first = true;

    public void Run(string configPath, IEnumerable<int> training, IEnumerable<int> sampling)
    {
        IDevice device = Devices.Open(DeviceName);
        Devices.ChooseKernels(device, Kernels, Console.Error.WriteLine);
        Print(new { Device = device.Description, Config = Path.GetFileName(configPath), Kernels });
        ProgramConfig config = ConfigLoader.Load(configPath, Fp16 ? ["--fp16=1", "--cfg_weight=5"] : ["--cfg_weight=5"], _ => { });
        ConfigValidator.Validate(config);
        int width = TextModels.WidthOf(config), size = config.ReaderConfig.ImageSize;
        foreach (int batch in training)
        {
            config.BatchSize = batch;
            Measure("train", batch, device, d => new SyntheticTraining(config, width, d, Tokens), s => ((SyntheticTraining)s).Run());
        }

        foreach (int batch in sampling)
        {
            Measure("sample", batch, device, d => new SyntheticSampling(config, width, d, Tokens, batch, size),
                s => ((SyntheticSampling)s).Run());
        }
    }

    private void Measure(string what, int batch, IDevice device, Func<IDevice, IDisposable> make, Action<IDisposable> run)
    {
        using IDisposable steps = make(device);
        device.ResetPeak();
        run(steps);
        device.Synchronize();
        double? ready = _first ? (DateTime.Now - Process.GetCurrentProcess().StartTime).TotalSeconds : null;
        _first = false;
        for (int i = 0; i < WarmUp; i++)
            run(steps);

        var seconds = new double[Steps];
        for (int i = 0; i < Steps; i++)
        {
            long start = device.Mark();
            run(steps);
            seconds[i] = device.Seconds(start, device.Mark());
        }

        Array.Sort(seconds);
        double median = seconds[Steps / 2];
        Print(new
        {
            Name = $"{what} batch {batch} mdm{(Kernels == "own" ? "" : $" {Kernels}")}",
            Seconds = median,
            ImagesPerSecond = batch / median,
            TFLOPS = Operations(make, run) / median / 1e12,
            FirstStepAfterSeconds = ready,
            PeakMemoryMiB = device.Memory.Peak / 1048576.0,
            HeldMemoryMiB = device.Memory.Reserved / 1048576.0,
        });
    }

    private static double Operations(Func<IDevice, IDisposable> make, Action<IDisposable> run)
    {
        using var counting = new CountingDevice();
        using IDisposable steps = make(counting);
        counting.Counter.Reset();
        run(steps);
        return counting.Counter.Total.Operations;
    }

    private static readonly JsonSerializerOptions s_json = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    private static void Print(object row) => Console.WriteLine(JsonSerializer.Serialize(row, s_json));
}
