using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>Work recorded as a CUDA graph.</summary>
public sealed unsafe partial class CudaDevice
{
    // Allocations and module loads are allowed inside, as they are no part of the graph.
    private const int RelaxedCapture = 2;

    private readonly bool graphs = Environment.GetEnvironmentVariable("MDM_GRAPHS") is not "0";
    private bool capturing;

    /// <summary>Not with <c>MDM_GRAPHS=0</c>, nor where <c>MDM_SYNC=1</c> asks to wait for each launch.</summary>
    public bool CanCapture => graphs && !synchronous;

    public ICapturedWork Capture(Action work)
    {
        if (!CanCapture)
            throw new InvalidOperationException($"{Name}: capturing is turned off (MDM_GRAPHS=0 or MDM_SYNC=1)");
        MakeCurrent();
        lock (streamGate) // the others wait: whatever is queued now becomes part of the graph
        {
            RequireNoCapture("a capture");
            MemoryPool.Capture memory = pool.BeginCapture();
            nint executable = 0;
            capturing = true;
            try
            {
                executable = Record(work);
            }
            finally
            {
                capturing = false;
                pool.EndCapture();
                if (executable == 0)
                    pool.Release(memory);
            }

            return new Graph(this, executable, memory);
        }
    }

    private nint Record(Action work)
    {
        Check(driver.StreamBeginCapture(stream, RelaxedCapture), "cuStreamBeginCapture");
        nint graph = 0, executable = 0;
        int ended;
        try
        {
            work();
        }
        finally
        {
            ended = driver.StreamEndCapture(stream, &graph);
        }

        try
        {
            Check(ended, "cuStreamEndCapture");
            Check(driver.GraphInstantiate(&executable, graph, 0), "cuGraphInstantiate");
        }
        finally
        {
            if (graph != 0)
                _ = driver.GraphDestroy(graph);
        }

        return executable;
    }

    // Called with the stream's lock held, so a capture is this thread's own.
    private void RequireNoCapture(string what)
    {
        if (capturing)
            throw new InvalidOperationException($"{Name}: {what} inside work that is being captured; it would not be replayed");
    }

    private sealed class Graph(CudaDevice device, nint executable, MemoryPool.Capture memory) : ICapturedWork
    {
        private nint executable = executable;

        public void Replay()
        {
            ObjectDisposedException.ThrowIf(executable == 0, this);
            device.MakeCurrent();
            lock (device.streamGate)
            {
                device.RequireNoCapture("a replay");
                device.Check(device.driver.GraphLaunch(executable, device.stream), "cuGraphLaunch");
            }
        }

        public void Dispose()
        {
            if (executable == 0)
                return;
            if (!device.disposed)
            {
                device.MakeCurrent();
                lock (device.streamGate)
                {
                    device.RequireNoCapture("the end of captured work");
                    _ = device.driver.StreamSynchronize(device.stream);
                    _ = device.driver.GraphExecDestroy(executable);
                    device.pool.Release(memory);
                }
            }

            executable = 0;
        }
    }
}
