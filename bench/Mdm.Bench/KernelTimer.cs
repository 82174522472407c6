using System.Reflection;
using Mdm.Kernels;
using Mdm.Kernels.Counting;

namespace Mdm.Bench;

/// <summary>Stands before a device's kernels and notes how long each call took and how much it computed.</summary>
internal class KernelTimer : DispatchProxy
{
    private readonly CountingKernels _counter = new();
    private IKernels? _inner;
    private KernelCall _call;

    /// <summary>Per kernel: calls, seconds, operations.</summary>
    public Dictionary<string, (int Calls, double Seconds, double Operations)> Kernels { get; } = [];

    /// <summary>The same per kernel and shape.</summary>
    public Dictionary<string, (int Calls, double Seconds, double Operations)> Shapes { get; } = [];

    public static (IKernels Kernels, KernelTimer Timer) Around(IKernels inner)
    {
        IKernels kernels = Create<IKernels, KernelTimer>();
        var timer = (KernelTimer)kernels;
        timer._inner = inner;
        timer._counter.Observer = call => timer._call = call;
        return (kernels, timer);
    }

    public void Reset()
    {
        Kernels.Clear();
        Shapes.Clear();
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        _call = default;
        targetMethod!.Invoke(_counter, args);
        double start = Measure.Now();
        object? result = targetMethod.Invoke(_inner, args);
        double seconds = Measure.Now() - start;
        string name = targetMethod.Name;
        Add(Kernels, name, seconds);
        // Contiguous sizes and shape records say which call it was; pointers do not.
        Add(Shapes, $"{name} {string.Join(' ', args!.Where(a => a is not (Ptr or Target or Rows or RowsTarget)))}", seconds);
        return result;
    }

    private void Add(Dictionary<string, (int Calls, double Seconds, double Operations)> all, string key, double seconds)
    {
        var (calls, sum, operations) = all.GetValueOrDefault(key);
        all[key] = (calls + 1, sum + seconds, operations + _call.Operations);
    }
}

/// <summary>A device whose kernels are another's, timed.</summary>
internal sealed class TimedDevice : IDevice
{
    private readonly IDevice _inner;

    public TimedDevice(IDevice inner)
    {
        _inner = inner;
        (Kernels, Timer) = KernelTimer.Around(inner.Kernels);
    }

    public KernelTimer Timer { get; }

    public string Name => _inner.Name;

    public string Description => _inner.Description;

    public IKernels Kernels { get; }

    public bool Supports(DType type) => _inner.Supports(type);

    public MemoryStatistics Memory => _inner.Memory;

    public nint Allocate(long bytes) => _inner.Allocate(bytes);

    public void Free(nint address, long bytes) => _inner.Free(address, bytes);

    public void Upload(ReadOnlySpan<byte> source, nint destination) => _inner.Upload(source, destination);

    public void Download(nint source, Span<byte> destination) => _inner.Download(source, destination);

    public void Synchronize() => _inner.Synchronize();

    public void ResetPeak() => _inner.ResetPeak();

    public void Dispose() => _inner.Dispose();
}
