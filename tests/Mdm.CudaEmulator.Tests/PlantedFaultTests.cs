using Mdm.Kernels.Cuda;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Kernels with a fault: the emulator must find it and tell the kernel and the line, and must not complain of the same
/// kernel without the fault.</summary>
[EmulatorOnly]
public sealed class PlantedFaultTests
{
    private const int Threads = 64;
    private const int IllegalAddress = 700;
    private const int Misaligned = 716;
    private const int LaunchFailed = 719;

    /// <summary>A kernel <c>k(const float* x, float* y)</c>, where x and y have 64 elements. FAULT is defined for the faulty
    /// one; the line to blame bears the comment "here".</summary>
    public sealed record Fault(string Name, string Source, int Code, string Words, int Shared = 0)
    {
        public int Line => Source.Split('\n').TakeWhile(line => !line.Contains("// here")).Count() + 1;

        public override string ToString() => Name;
    }

    private static readonly Fault[] s_reported =
    [
        new("a write past the end", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                int i = threadIdx.x;
            #ifdef FAULT
                ++i;
            #endif
                y[i] = 1.0f; // here
            }
            """, IllegalAddress, "lies 0 bytes past the end of an allocation of 256 bytes"),
        new("a read before the start", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                int i = threadIdx.x;
            #ifdef FAULT
                i -= 1024;
            #endif
                float z = x[i]; // here
                y[threadIdx.x] = z;
            }
            """, IllegalAddress, "bytes before an allocation of 256 bytes"),
        new("dynamic shared memory overrun", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                DYNAMIC_SHARED(float, s);
                int i = threadIdx.x;
            #ifdef FAULT
                ++i;
            #endif
                s[i] = x[threadIdx.x]; // here
                y[threadIdx.x] = s[i];
            }
            """, IllegalAddress, "past the end of the 256 bytes of dynamic shared memory", Shared: 256),
        new("static shared memory overrun", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                int i = threadIdx.x;
            #ifdef FAULT
                ++i;
            #endif
                s[i] = x[threadIdx.x]; // here
                y[threadIdx.x] = s[i];
            }
            """, LaunchFailed, "out of the bounds"),
        new("a misaligned vector", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                int i = threadIdx.x / 8 * 4;
            #ifdef FAULT
                ++i;
            #endif
                float4 v = *(const float4*)(x + i); // here
                y[threadIdx.x] = v.x;
            }
            """, LaunchFailed, "misaligned"),
        new("a misaligned asynchronous copy", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                DYNAMIC_SHARED(float, s);
                int i = threadIdx.x / 8 * 4;
            #ifdef FAULT
                ++i;
            #endif
                cp_async_16(s + threadIdx.x * 4, x + i, true); // here
                cp_async_commit();
                cp_async_wait<0>();
                y[threadIdx.x] = s[threadIdx.x * 4];
            }
            """, Misaligned, "must be multiples of 16", Shared: 1024),
        new("a barrier that some threads never reach", """
            extern "C" __global__ void k(const float* x, float* y)
            {
            #ifdef FAULT
                if (threadIdx.x < 40)
            #endif
                    __syncthreads(); // here
                y[threadIdx.x] = 1.0f;
            }
            """, LaunchFailed, "40 of 64 threads wait for others"),
        new("two barriers at once", """
            extern "C" __global__ void k(const float* x, float* y)
            {
            #ifdef FAULT
                if (threadIdx.x < 40)
                    __syncthreads();
                else
            #endif
                    __syncthreads(); // here
                y[threadIdx.x] = 1.0f;
            }
            """, LaunchFailed, "divergence"),
        new("a shuffle without all its lanes", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                float z = x[threadIdx.x];
            #ifdef FAULT
                if (threadIdx.x % 32 < 16)
            #endif
                    z += __shfl_xor_sync(0xffffffffu, z, 1); // here
                y[threadIdx.x] = z;
            }
            """, LaunchFailed, "divergence"),
        new("a lane outside its own mask", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                unsigned int mask = 0xffffffffu;
            #ifdef FAULT
                mask = 0xffffu;
            #endif
                y[threadIdx.x] = __shfl_sync(mask, x[threadIdx.x], 0); // here
            }
            """, LaunchFailed, "is not in its mask"),
        new("an asynchronous copy without a wait", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                DYNAMIC_SHARED(float, s);
                cp_async_4(s + threadIdx.x, x + threadIdx.x, true); // here
                cp_async_commit();
            #ifndef FAULT
                cp_async_wait<0>();
            #endif
                y[threadIdx.x] = s[threadIdx.x];
            }
            """, LaunchFailed, "without having waited", Shared: 256),
        new("division by zero", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                int n = x[0] > 0.0f;
            #ifdef FAULT
                n -= 1;
            #endif
                y[threadIdx.x] = (float)(threadIdx.x / n); // here
            }
            """, LaunchFailed, "by zero"),
    ];

    // Nothing is blamed here without the checking mode (CheckedAccessTests), but the result is NaN.
    private static readonly Fault[] s_silent =
    [
        new("memory that nobody wrote", """
            extern "C" __global__ void k(const float* x, float* y)
            {
            #ifdef FAULT
                y[threadIdx.x] += 1.0f;
            #else
                y[threadIdx.x] = 1.0f;
            #endif
            }
            """, 0, ""),
        new("a missing barrier", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                s[threadIdx.x] = x[threadIdx.x];
            #ifndef FAULT
                __syncthreads();
            #endif
                y[threadIdx.x] = s[63 - threadIdx.x];
            }
            """, 0, ""),
        new("a missing __syncwarp", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                s[threadIdx.x] = x[threadIdx.x];
            #ifndef FAULT
                __syncwarp();
            #endif
                y[threadIdx.x] = s[threadIdx.x ^ 5];
            }
            """, 0, ""),
        new("an asynchronous copy that is read before its wait", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                DYNAMIC_SHARED(float, s);
                s[threadIdx.x] = 1.0f;
                cp_async_4(s + threadIdx.x, x + threadIdx.x, true);
                cp_async_commit();
            #ifdef FAULT
                y[threadIdx.x] = s[threadIdx.x];
            #endif
                cp_async_wait<0>();
            #ifndef FAULT
                y[threadIdx.x] = s[threadIdx.x];
            #endif
            }
            """, 0, "", Shared: 256),
        new("a wait for too few groups", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                DYNAMIC_SHARED(float, s);
                cp_async_4(s + threadIdx.x, x + threadIdx.x, true);
                cp_async_commit();
                cp_async_4(s + 64 + threadIdx.x, x + threadIdx.x, true);
                cp_async_commit();
                cp_async_wait<1>();
            #ifdef FAULT
                y[threadIdx.x] = s[64 + threadIdx.x];
            #else
                y[threadIdx.x] = s[threadIdx.x];
            #endif
                cp_async_wait<0>();
            }
            """, 0, "", Shared: 512),
    ];

    [TestCaseSource(nameof(s_reported))]
    public void IsReported(Fault fault)
    {
        using var planted = new Planted(fault.Source, "-DFAULT");
        int code = Run(planted, fault, out _);
        Assert.Multiple(() =>
        {
            Assert.That(code, Is.EqualTo(fault.Code));
            Assert.That(Planted.Message, Does.Contain("kernel k, block (0, 0, 0), thread"));
            Assert.That(Planted.Message, Does.Contain($"{Planted.File}:{fault.Line}"));
            Assert.That(Planted.Message, Does.Contain(fault.Words));
        });
    }

    [TestCaseSource(nameof(s_silent))]
    public void MakesNaN(Fault fault)
    {
        using var planted = new Planted(fault.Source, "-DFAULT");
        Run(planted, fault, out float[] y);
        Assert.That(y, Has.Some.NaN);
    }

    [TestCaseSource(nameof(s_reported))]
    [TestCaseSource(nameof(s_silent))]
    public void WithoutTheFaultAllIsWell(Fault fault)
    {
        using var planted = new Planted(fault.Source);
        int code = Run(planted, fault, out float[] y);
        Assert.That(code, Is.Zero);
        Assert.That(y, Has.None.NaN);
    }

    [Test]
    public unsafe void AnErrorEndsTheContext()
    {
        using var planted = new Planted(s_reported[0].Source, "-DFAULT");
        Run(planted, s_reported[0], out _);
        nint address;
        Assert.That(Planted.Driver.StreamSynchronize(planted.Stream), Is.EqualTo(IllegalAddress));
        Assert.That(Planted.Driver.MemAlloc(&address, 16), Is.EqualTo(IllegalAddress));
    }

    [Test]
    public void AnEndlessLoopIsEnded()
    {
        using var planted = new Planted("""
            extern "C" __global__ void k(volatile int* flag)
            {
                while (*flag != 1)
                    ;
            }
            """);
        nint flag = planted.Upload(new int[] { 0 });
        Planted.SetTimeout(1);
        int code = planted.Launch("k", 1, 1, 0, (long)flag);
        Planted.SetTimeout(300);
        Assert.That(code, Is.EqualTo(702));
        Assert.That(Planted.Message, Does.Contain("kernel k").And.Contains($"{Planted.File}:3").Or.Contains($"{Planted.File}:4"));
        Assert.That(Planted.Message, Does.Contain("still running after 1 s"));
    }

    private static int Run(Planted planted, Fault fault, out float[] y)
    {
        nint x = planted.Upload(Enumerable.Range(1, Threads).Select(i => (float)i).ToArray());
        nint target = Planted.Allocate(Threads * 4);
        int code = planted.Launch("k", 1, Threads, fault.Shared, (long)x, (long)target);
        y = code == 0 ? planted.Download(target, Threads) : [];
        return code;
    }
}
