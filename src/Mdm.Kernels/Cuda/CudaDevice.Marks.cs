namespace Mdm.Kernels.Cuda;

/// <summary>Measuring on the device's own clock.</summary>
public sealed unsafe partial class CudaDevice
{
    /// <summary>Marks that can be told apart; older ones are used again.</summary>
    private const int MaxMarks = 1 << 16;

    private readonly List<nint> marks = [];
    private long marked;

    public long Mark()
    {
        MakeCurrent();
        lock (streamGate)
        {
            RequireNoCapture("a mark");
            int at = (int)(marked % MaxMarks);
            if (at == marks.Count)
            {
                nint created;
                Check(driver.EventCreate(&created, 0), "cuEventCreate");
                marks.Add(created);
            }

            Check(driver.EventRecord(marks[at], stream), "cuEventRecord");
            return marked++;
        }
    }

    /// <exception cref="ArgumentOutOfRangeException">A mark is not among the latest 65,536.</exception>
    public double Seconds(long from, long to)
    {
        MakeCurrent();
        lock (streamGate)
        {
            nint first = MarkAt(from), last = MarkAt(to);
            Check(driver.EventSynchronize(last), "cuEventSynchronize");
            float milliseconds;
            Check(driver.EventElapsedTime(&milliseconds, first, last), "cuEventElapsedTime");
            return milliseconds * 1e-3;
        }
    }

    private nint MarkAt(long mark)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(mark, Math.Max(0, marked - MaxMarks));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(mark, marked);
        return marks[(int)(mark % MaxMarks)];
    }

    private void FreeMarks()
    {
        foreach (nint mark in marks)
            _ = driver.EventDestroy(mark);
        marks.Clear();
    }
}
