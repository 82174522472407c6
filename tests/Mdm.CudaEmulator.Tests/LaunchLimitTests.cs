using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.CudaEmulator.Tests;

[EmulatorOnly]
public sealed unsafe class LaunchLimitTests
{
    private const int InvalidValue = 1;

    private const string Source = """
        extern "C" __global__ void __launch_bounds__(2 * 128) bounded(float* y) { y[0] = 1.0f; }
        extern "C" __global__ void free_size(float* y) { y[0] = 1.0f; }
        """;

    private static readonly TestCaseData[] s_launches =
    [
        new TestCaseData("free_size", new Dim3(1), new Dim3(1024), 48 * 1024, null).SetArgDisplayNames("largest block"),
        new TestCaseData("bounded", new Dim3(1), new Dim3(256), 0, null).SetArgDisplayNames("largest bounded block"),
        new TestCaseData("free_size", new Dim3(1), new Dim3(1025), 0, "1025").SetArgDisplayNames("threads"),
        new TestCaseData("free_size", new Dim3(1), new Dim3(64, 32), 0, "2048").SetArgDisplayNames("threads in all"),
        new TestCaseData("free_size", new Dim3(1), new Dim3(1, 1, 65), 0, "65").SetArgDisplayNames("depth of a block"),
        new TestCaseData("bounded", new Dim3(1), new Dim3(257), 0, "launch bounds say 256").SetArgDisplayNames("bounds"),
        new TestCaseData("free_size", new Dim3(1, 65536), new Dim3(1), 0, "65536").SetArgDisplayNames("height of a grid"),
        new TestCaseData("free_size", new Dim3(1, 1, 65536), new Dim3(1), 0, "65536").SetArgDisplayNames("depth of a grid"),
        new TestCaseData("free_size", new Dim3(0), new Dim3(1), 0, "empty").SetArgDisplayNames("empty grid"),
        new TestCaseData("free_size", new Dim3(1), new Dim3(1), 48 * 1024 + 1, "49153").SetArgDisplayNames("shared memory"),
    ];

    [TestCaseSource(nameof(s_launches))]
    public void LaunchesOverALimitAreRefused(string kernel, object grid, object block, int shared, string? words)
    {
        using var planted = new Planted(Source);
        int code = planted.Launch(kernel, (Dim3)grid, (Dim3)block, shared, (long)Planted.Allocate(4));
        Assert.That(code, Is.EqualTo(words == null ? 0 : InvalidValue));
        if (words != null)
            Assert.That(Planted.Message, Does.Contain(kernel).And.Contains(words));
    }

    [Test]
    public void SharedMemoryCanBeRaisedToTheDevicesLimit()
    {
        using var planted = new Planted(Source);
        int limit = Planted.Driver.Attribute(CudaAttribute.SharedPerBlockOptIn, 0);
        nint function = planted.Function("free_size");
        int Raise(int bytes) => Planted.Driver.FunctionSetAttribute(function, (int)FunctionAttribute.MaxDynamicShared, bytes);
        Assert.That(Raise(limit + 1), Is.EqualTo(InvalidValue));
        Assert.That(Raise(limit), Is.Zero);
    }

    [Test]
    public void AllocationsAliveAreCountedAndOverwritingTheirEdgesIsFoundWhenTheyAreFreed()
    {
        using var planted = new Planted("""
            extern "C" __global__ void k(char* y, int i) { y[i] = 1; }
            """);
        int before = Planted.LiveAllocations;
        nint memory = Planted.Allocate(5); // 11 bytes remain up to a multiple of 16
        Assert.That(Planted.LiveAllocations, Is.EqualTo(before + 1));
        Assert.That(planted.Launch("k", 1, 1, 0, (long)memory, 5), Is.Zero);
        Assert.That(Planted.Driver.MemFree(memory), Is.Not.Zero);
        Assert.That(Planted.Message, Does.Contain("just after an allocation of 5 bytes"));
        Assert.That(Planted.LiveAllocations, Is.EqualTo(before));
    }

    [Test]
    public void UseOfFreedMemoryIsReported()
    {
        using var planted = new Planted(Source);
        nint memory = Planted.Allocate(64);
        Assert.That(Planted.Driver.MemFree(memory), Is.Zero);
        Assert.That(planted.Launch("free_size", 1, 1, 0, (long)memory), Is.EqualTo(700));
        Assert.That(Planted.Message, Does.Contain("memory that was freed").And.Contains($"{Planted.File}:2"));
    }

    [Test]
    public void MemoryIsLimited()
    {
        using var planted = new Planted(Source);
        nuint free, total;
        nint address;
        Planted.Driver.Check(Planted.Driver.MemGetInfo(&free, &total), "cuMemGetInfo");
        Assert.That(Planted.Driver.MemAlloc(&address, free + 1), Is.EqualTo(CudaCode.OutOfMemory));
    }
}
