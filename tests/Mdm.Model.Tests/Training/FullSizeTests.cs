using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Sampling;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.PyTorch;
using Mdm.Tensors.Modules;
using Mdm.Tests;

namespace Mdm.Model.Tests.Training;

/// <summary>A published model at its full size, through the same calls as <c>mdm sample</c>. Skipped where there is no
/// room.</summary>
[Category("FullSize")]
public sealed class FullSizeTests
{
    private const long Room = 3L << 30;
    private const int Wide = 5;

    [Test]
    public void A_checkpoint_of_more_than_2_GB_takes_little_more_memory_than_its_weights()
    {
        using var folder = new TemporaryFolder();
        RequireRoom(folder.Path);
        string vocabulary = folder["words.vocab"], path = folder["vis_model_256x256.pth"];
        File.WriteAllLines(vocabulary, ["<pad>\t0", "</s>\t0", "<unk>\t0", "\u2581circle\t-1"]);
        ProgramConfig config = ConfigLoader.Load(
            Path.Combine(AppContext.BaseDirectory, "configs", "models", "cc12m_256x256.yaml"),
            ["--text_model=words", "--text_dim=2048", $"--vocab_file={vocabulary}"], _ => { });
        using (DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, config.TextDim))
            Write(path, network.Store.Parameters);
        Assert.That(new FileInfo(path).Length, Is.GreaterThan(int.MaxValue));

        using var device = new CpuDevice();
        using SamplingModel model = SamplingModel.Open(config, path, device, message => Assert.Fail(message));
        long weights = model.Network.Store.ParameterCount * sizeof(float), text = device.Memory.InUse;
        var shares = new List<double>();
        device.ResetPeak();
        (long managed, long before) = (GC.GetTotalAllocatedBytes(precise: true), ResetPeakOfProcess());
        var clock = Stopwatch.StartNew();
        TimeSpan processor = Environment.CpuUsage.TotalTime;
        model.LoadWeights((what, share) =>
        {
            Assert.That(what, Is.EqualTo("loading vis_model_256x256.pth"));
            shares.Add(share);
        });
        TestContext.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{new FileInfo(path).Length / 1e9:F2} GB in {clock.Elapsed.TotalSeconds:F2} s, "
            + $"{(Environment.CpuUsage.TotalTime - processor).TotalSeconds:F2} s of processor time"));
        Assert.That(device.Memory.Peak - text, Is.InRange(weights, weights + (weights / 100)));
        Assert.That(GC.GetTotalAllocatedBytes(precise: true) - managed, Is.LessThan(weights / 50));
        if (before > 0)
            Assert.That(Status("VmHWM") - before, Is.LessThan(weights + (weights / 10)), "resident memory, file included");
        Assert.That(shares, Is.Ordered);
        Assert.That((shares.Count > 1000, shares[^1]), Is.EqualTo((true, 1.0)));
        foreach (Parameter parameter in model.Network.Store.Parameters)
            RequireValues(parameter, model.Network.Store.ToFileLayout(parameter));
    }

    private static void RequireRoom(string folder)
    {
        long disk = new DriveInfo(folder).AvailableFreeSpace;
        if (disk < Room)
            Assert.Ignore($"{disk >> 20} MB are free on the disk of {folder}, needs {Room >> 20} MB");
        GC.Collect();
        GCMemoryInfo memory = GC.GetGCMemoryInfo();
        long left = memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes;
        if (left < Room)
            Assert.Ignore($"{left >> 20} MB of memory are left, needs {Room >> 20} MB");
    }

    /// <summary>Every fifth tensor in float64, the others in float32: 2.3 GB. Not flushed to the disk, from which it is gone
    /// soon.</summary>
    private static void Write(string path, IReadOnlyList<Parameter> parameters)
    {
        int longest = (int)parameters.Max(parameter => parameter.Shape.Count);
        float[] narrow = new float[longest];
        double[] wide = new double[longest];
        StoredTensor[] tensors = [.. parameters.Select((parameter, i) =>
        {
            long[] shape = Array.ConvertAll(parameter.FileShape.ToArray(), size => (long)size);
            int count = (int)parameter.Shape.Count;
            uint start = Start(parameter.Name);
            return i % Wide == 0
                ? new StoredTensor(parameter.Name, DType.Float64, shape, () =>
                {
                    for (int n = 0; n < count; n++)
                        wide[n] = Value(start, n);
                    return MemoryMarshal.AsBytes(wide.AsSpan(0, count)).ToArray();
                })
                : new StoredTensor(parameter.Name, shape, () =>
                {
                    for (int n = 0; n < count; n++)
                        narrow[n] = Value(start, n);
                    return narrow.AsMemory(0, count);
                });
        })];
        using FileStream stream = File.Create(path);
        PthWriter.Write(stream, tensors, new Dictionary<string, string> { ["batch_num"] = "1" });
    }

    private static void RequireValues(Parameter parameter, float[] found)
    {
        uint start = Start(parameter.Name);
        for (int n = 0; n < found.Length; n++)
            if (found[n] != Value(start, n))
                Assert.Fail($"{parameter.Name}[{n}] is {found[n]}, expected {Value(start, n)}");
    }

    private static uint Start(string name) => name.Aggregate(2166136261u, (hash, c) => (hash ^ c) * 16777619);

    // 16 bits of a linear congruence, as a fraction that every type holds.
    private static float Value(uint start, int n) => (((start + (uint)n * 2654435761u) >> 16) * (1f / 65536)) - 0.5f;

    /// <summary>Lets the system's peak of this process begin at what it holds now, which is returned; 0 where it cannot be
    /// asked.</summary>
    private static long ResetPeakOfProcess()
    {
        if (!OperatingSystem.IsLinux())
            return 0;
        try
        {
            File.WriteAllText("/proc/self/clear_refs", "5");
            return Status("VmRSS");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    private static long Status(string name) => 1024 * long.Parse(File.ReadLines("/proc/self/status")
        .First(line => line.StartsWith(name + ":", StringComparison.Ordinal))
        .Split(' ', '\t', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
