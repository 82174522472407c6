using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>Copies from the device through two page-locked buffers: while the host empties one, the GPU fills the other.
/// The context must be current.</summary>
/// <param name="driver">The driver.</param>
/// <param name="stream">Whose work comes first.</param>
/// <param name="streamGate">Held while something is queued.</param>
/// <param name="check">Throws unless a call, named second, returned success.</param>
internal sealed unsafe class Downloads(CudaDriver driver, nint stream, Lock streamGate, Action<int, string> check) : IDisposable
{
    private const int Bytes = 4 << 20;
    private const uint WithoutTiming = 2;

    private readonly Lock gate = new();
    private readonly nint[] buffers = new nint[2];
    private readonly nint[] filled = new nint[2];

    /// <summary>Waits for the work before it and for the copy.</summary>
    public void Download(nint source, Span<byte> destination)
    {
        lock (gate)
        {
            if (buffers[0] == 0)
                Allocate();
            int pieces = (destination.Length + Bytes - 1) / Bytes;
            if (pieces > 0)
                Request(0, source, destination.Length);
            for (int i = 0; i < pieces; i++)
            {
                if (i + 1 < pieces)
                    Request(i + 1, source, destination.Length);
                check(driver.EventSynchronize(filled[i % 2]), "cuEventSynchronize");
                Span<byte> target = destination.Slice(i * Bytes, Math.Min(Bytes, destination.Length - i * Bytes));
                new ReadOnlySpan<byte>((void*)buffers[i % 2], target.Length).CopyTo(target);
            }
        }
    }

    public void Dispose()
    {
        for (int i = 0; i < 2; i++)
        {
            if (buffers[i] != 0)
                _ = driver.MemFreeHost(buffers[i]);
            if (filled[i] != 0)
                _ = driver.EventDestroy(filled[i]);
            buffers[i] = filled[i] = 0;
        }
    }

    private void Request(int piece, nint source, int length)
    {
        int from = piece * Bytes;
        lock (streamGate)
        {
            check(driver.MemcpyDeviceToHost(
                (void*)buffers[piece % 2], source + from, (nuint)Math.Min(Bytes, length - from), stream), "cuMemcpyDtoHAsync");
            check(driver.EventRecord(filled[piece % 2], stream), "cuEventRecord");
        }
    }

    private void Allocate()
    {
        for (int i = 0; i < 2; i++)
        {
            nint value;
            check(driver.MemHostAlloc(&value, Bytes, 0), "cuMemHostAlloc");
            buffers[i] = value;
            check(driver.EventCreate(&value, WithoutTiming), "cuEventCreate");
            filled[i] = value;
        }
    }
}
