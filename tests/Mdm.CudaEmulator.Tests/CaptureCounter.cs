using Mdm.Kernels;

namespace Mdm.CudaEmulator.Tests;

/// <summary>A device that counts what is captured and replayed.</summary>
internal sealed class CaptureCounter(IDevice inner) : IDevice
{
    public int Captures { get; private set; }

    public int Replays { get; private set; }

    /// <summary>Captures that were not disposed.</summary>
    public int Live { get; private set; }

    public string Name => inner.Name;

    public string Description => inner.Description;

    public IKernels Kernels => inner.Kernels;

    public MemoryStatistics Memory => inner.Memory;

    public bool CanCapture => inner.CanCapture;

    public bool Supports(DType type) => inner.Supports(type);

    public nint Allocate(long bytes) => inner.Allocate(bytes);

    public void Free(nint address, long bytes) => inner.Free(address, bytes);

    public void Upload(ReadOnlySpan<byte> source, nint destination) => inner.Upload(source, destination);

    public void Download(nint source, Span<byte> destination) => inner.Download(source, destination);

    public void Synchronize() => inner.Synchronize();

    public void Trim() => inner.Trim();

    public void ResetPeak() => inner.ResetPeak();

    public ICapturedWork Capture(Action work)
    {
        ICapturedWork captured = inner.Capture(work);
        Captures++;
        Live++;
        return new Counted(this, captured);
    }

    public void Dispose()
    {
    }

    private sealed class Counted(CaptureCounter counter, ICapturedWork captured) : ICapturedWork
    {
        public void Replay()
        {
            counter.Replays++;
            captured.Replay();
        }

        public void Dispose()
        {
            counter.Live--;
            captured.Dispose();
        }
    }
}
