using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.CudaEmulator.Tests;

/// <summary>The host's side: nothing happens before a wait.</summary>
[EmulatorOnly]
public sealed unsafe class StreamTests
{
    private const int CaptureUnsupported = 900;
    private const int CaptureInvalidated = 901;

    private const string Source = """
        extern "C" __global__ void twice(float* x, int n)
        {
            int i = blockIdx.x * blockDim.x + threadIdx.x;
            if (i < n)
                x[i] *= 2.0f;
        }
        """;

    [Test]
    public void WithoutAWaitPinnedMemoryIsUnchanged()
    {
        using var planted = new Planted(Source);
        void* pinned;
        Planted.Driver.Check(Planted.Driver.MemHostAlloc((nint*)&pinned, 40, 0), "cuMemHostAlloc");
        float* host = (float*)pinned;
        nint x = planted.Upload(new float[] { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 });
        host[3] = -1;
        Assert.That(planted.Queue("twice", 2, 8, 0, (long)x, 10), Is.Zero);
        Planted.Driver.Check(Planted.Driver.MemcpyDeviceToHost(host, x, 40, planted.Stream), "cuMemcpyDtoHAsync");
        Assert.That(host[3], Is.EqualTo(-1));
        Planted.Driver.Check(Planted.Driver.StreamSynchronize(planted.Stream), "cuStreamSynchronize");
        Assert.That(host[3], Is.EqualTo(8));
        Planted.Driver.Check(Planted.Driver.MemFreeHost((nint)pinned), "cuMemFreeHost");
    }

    [Test]
    public void PinnedMemoryThatIsOverwrittenTooEarlyReachesTheDevice()
    {
        using var planted = new Planted(Source);
        void* pinned;
        Planted.Driver.Check(Planted.Driver.MemHostAlloc((nint*)&pinned, 4, 0), "cuMemHostAlloc");
        nint x = Planted.Allocate(4);
        *(float*)pinned = 1;
        Planted.Driver.Check(Planted.Driver.MemcpyHostToDevice(x, pinned, 4, planted.Stream), "cuMemcpyHtoDAsync");
        *(float*)pinned = 2;
        Assert.That(planted.Download(x, 1)[0], Is.EqualTo(2));
        Planted.Driver.Check(Planted.Driver.MemFreeHost((nint)pinned), "cuMemFreeHost");
    }

    [Test]
    public void EventsOrderStreams()
    {
        using var planted = new Planted(Source);
        CudaDriver driver = Planted.Driver;
        nint other, done;
        driver.Check(driver.StreamCreate(&other, 1), "cuStreamCreate");
        driver.Check(driver.EventCreate(&done, 0), "cuEventCreate");
        nint x = planted.Upload(new float[] { 3 });
        Assert.That(planted.Queue("twice", 1, 32, 0, (long)x, 1), Is.Zero);
        driver.Check(driver.EventRecord(done, planted.Stream), "cuEventRecord");
        driver.Check(driver.StreamWaitEvent(other, done, 0), "cuStreamWaitEvent");
        float result;
        driver.Check(driver.MemcpyDeviceToHost(&result, x, 4, other), "cuMemcpyDtoHAsync"); // waits, as the memory is not pinned
        Assert.That(result, Is.EqualTo(6));
        Assert.That(driver.EventQuery(done), Is.Zero);
        Assert.That(planted.Queue("twice", 1, 32, 0, (long)x, 1), Is.Zero);
        driver.Check(driver.EventRecord(done, planted.Stream), "cuEventRecord");
        Assert.That(driver.EventQuery(done), Is.EqualTo(CudaCode.NotReady));
        Assert.That(driver.EventQuery(done), Is.Zero);
        driver.Check(driver.EventDestroy(done), "cuEventDestroy");
        driver.Check(driver.StreamDestroy(other), "cuStreamDestroy");
    }

    [Test]
    public void ACapturedGraphRunsAtEachLaunchOnly()
    {
        using var planted = new Planted(Source);
        CudaDriver driver = Planted.Driver;
        nint x = planted.Upload(new float[] { 1 }), graph, executable;
        driver.Check(driver.StreamBeginCapture(planted.Stream, 0), "cuStreamBeginCapture");
        for (int i = 0; i < 2; i++)
            Assert.That(planted.Queue("twice", 1, 32, 0, (long)x, 1), Is.Zero);
        driver.Check(driver.StreamEndCapture(planted.Stream, &graph), "cuStreamEndCapture");
        driver.Check(driver.GraphInstantiate(&executable, graph, 0), "cuGraphInstantiateWithFlags");
        driver.Check(driver.GraphDestroy(graph), "cuGraphDestroy");
        Assert.That(planted.Download(x, 1)[0], Is.EqualTo(1));
        for (int i = 0; i < 3; i++)
            driver.Check(driver.GraphLaunch(executable, planted.Stream), "cuGraphLaunch");
        Assert.That(planted.Download(x, 1)[0], Is.EqualTo(64));
        driver.Check(driver.GraphExecDestroy(executable), "cuGraphExecDestroy");
    }

    [TestCase(true)]
    [TestCase(false)]
    public void WaitingOrAllocatingInACaptureSpoilsIt(bool waits)
    {
        using var planted = new Planted(Source);
        CudaDriver driver = Planted.Driver;
        nint address, graph;
        driver.Check(driver.StreamBeginCapture(planted.Stream, 0), "cuStreamBeginCapture");
        int code = waits ? driver.StreamSynchronize(planted.Stream) : driver.MemAlloc(&address, 16);
        Assert.That(code, Is.EqualTo(CaptureUnsupported));
        Assert.That(driver.StreamEndCapture(planted.Stream, &graph), Is.EqualTo(CaptureInvalidated));
    }
}
