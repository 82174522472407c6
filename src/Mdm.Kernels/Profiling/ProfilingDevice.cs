using System.Reflection;
using Mdm.Kernels.Counting;
using Mdm.Kernels.Cuda;

namespace Mdm.Kernels.Profiling;

/// <summary>
/// Another device, with every kernel call written down: what it computed, for whom, and how long it took on the device's own
/// clock. A GPU works on while calls are noted, so its times are those of the kernels alone.
/// </summary>
public sealed class ProfilingDevice : IDevice
{
    private readonly IDevice _inner;
    private readonly Recorder _recorder;

    /// <param name="inner">Computes.</param>
    /// <param name="where">Tells what is being computed, for <see cref="KernelRecord.Where"/>.</param>
    public ProfilingDevice(IDevice inner, Func<string>? where = null)
    {
        _inner = inner;
        Kernels = DispatchProxy.Create<IKernels, Recorder>();
        _recorder = (Recorder)Kernels;
        _recorder.Start(inner, where ?? (() => ""));
    }

    public string Name => _inner.Name;

    public string Description => _inner.Description;

    public IKernels Kernels { get; }

    public MemoryStatistics Memory => _inner.Memory;

    /// <summary>The calls so far, oldest first.</summary>
    public IReadOnlyList<KernelRecord> Records => _recorder.Records;

    /// <summary>Every call is made so many times in a row, and its record spans them all: times of single kernels that are
    /// steadier than those within a step. What is computed then means nothing.</summary>
    public int Repeats
    {
        get => _recorder.Repeats;
        set => _recorder.Repeats = Math.Max(1, value);
    }

    /// <summary>The calls so far with their times; waits for them.</summary>
    public IReadOnlyList<TimedCall> Times() => [.. Records.Select(r => new TimedCall(r, Seconds(r.From, r.To) / Repeats))];

    /// <summary>Forgets the calls so far.</summary>
    public void Reset() => _recorder.Records.Clear();

    public bool Supports(DType type) => _inner.Supports(type);

    public nint Allocate(long bytes) => _inner.Allocate(bytes);

    public void Free(nint address, long bytes) => _inner.Free(address, bytes);

    public void Upload(ReadOnlySpan<byte> source, nint destination) => _inner.Upload(source, destination);

    public void Download(nint source, Span<byte> destination) => _inner.Download(source, destination);

    public void Synchronize() => _inner.Synchronize();

    public long Mark() => _inner.Mark();

    public double Seconds(long from, long to) => _inner.Seconds(from, to);

    public void Trim() => _inner.Trim();

    public void ResetPeak() => _inner.ResetPeak();

    /// <summary>Does nothing: whoever opened the inner device closes it.</summary>
    public void Dispose()
    {
    }

    /// <summary>Stands before the kernels. A proxy rather than a class of forty methods, so that a new kernel needs nothing
    /// here.</summary>
    internal class Recorder : DispatchProxy
    {
        private readonly CountingKernels _counter = new();
        private IDevice? _device;
        private Func<string>? _where;
        private KernelCall _call;

        public List<KernelRecord> Records { get; } = [];

        public int Repeats { get; set; } = 1;

        public void Start(IDevice device, Func<string> where)
        {
            (_device, _where) = (device, where);
            _counter.Observer = call => _call = call;
        }

        private long LibraryCalls => (_device as CudaDevice)?.LibraryCalls ?? 0;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            _call = default;
            Call(_counter);
            long libraries = LibraryCalls;
            long from = _device!.Mark();
            for (int i = 0; i < Repeats; i++)
                Call(_device.Kernels);
            long to = _device.Mark();
            Records.Add(new KernelRecord(targetMethod!.Name, _call.Family, KernelShapes.Describe(args), _where!(),
                _call.Operations, _call.Bytes, from, to, LibraryCalls > libraries));
            return null;

            void Call(object kernels) => targetMethod!.Invoke(kernels, BindingFlags.DoNotWrapExceptions, null, args, null);
        }
    }
}
