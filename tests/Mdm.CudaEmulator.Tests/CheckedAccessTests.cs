namespace Mdm.CudaEmulator.Tests;

/// <summary>The emulator's checking mode: a read of memory that nobody wrote and a missing barrier are told with kernel, thread
/// and line, and a right kernel is not complained of.</summary>
[EmulatorOnly]
[NonParallelizable] // the mode is the process's
public sealed class CheckedAccessTests
{
    private const int Threads = 64;
    private const int LaunchFailed = 719;

    /// <summary>A kernel <c>k(const float* x, float* y)</c>, where x has 64 elements, and y too, which nobody wrote. FAULT is
    /// defined for the faulty one. Every line of <paramref name="Lines"/>, which bear these comments, must be named.</summary>
    public sealed record Fault(string Name, string Source, string Words, params string[] Lines)
    {
        public IEnumerable<int> Blamed => Lines.Select(mark =>
            Source.Split('\n').TakeWhile(line => !line.EndsWith($"// {mark}", StringComparison.Ordinal)).Count() + 1);

        public override string ToString() => Name;
    }

    private static readonly Fault[] s_faults =
    [
        new("device memory that nobody wrote", """
            extern "C" __global__ void k(const float* x, float* y)
            {
            #ifndef FAULT
                y[threadIdx.x] = x[threadIdx.x];
            #endif
                float z = y[threadIdx.x]; // read
                y[threadIdx.x] = z + 1.0f;
            }
            """, "a read of 4 bytes that nobody wrote, at byte ", "read"),
        new("a source of an asynchronous copy that nobody wrote", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
            #ifdef FAULT
                x = y;
            #endif
                cp_async_4(s + threadIdx.x, x + threadIdx.x, true); // copy
                cp_async_commit();
                cp_async_wait<0>();
                y[threadIdx.x] = s[threadIdx.x];
            }
            """, "a read of 4 bytes that nobody wrote, at byte ", "copy"),
        new("shared memory that nobody wrote", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                int i = threadIdx.x;
            #ifdef FAULT
                if (i != 37)
            #endif
                    s[i] = x[i];
                __syncthreads();
                y[i] = s[63 - i]; // read
            }
            """, "a read of 4 bytes of shared memory that nobody wrote", "read"),
        new("a read before an asynchronous copy is waited for", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                s[threadIdx.x] = 1.0f;
                cp_async_4(s + threadIdx.x, x + threadIdx.x, true);
                cp_async_commit();
            #ifndef FAULT
                cp_async_wait<0>();
            #endif
                y[threadIdx.x] = s[threadIdx.x]; // read
                cp_async_wait<0>();
            }
            """, "or only a copy that is under way", "read"),
        new("a missing barrier before reading", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                s[threadIdx.x] = x[threadIdx.x]; // write
            #ifndef FAULT
                __syncthreads();
            #endif
                y[threadIdx.x] = s[63 - threadIdx.x]; // read
            }
            """, "and no barrier since the ", "write", "read"),
        new("a missing barrier before writing again", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                s[threadIdx.x] = x[threadIdx.x];
                __syncthreads();
                float z = s[63 - threadIdx.x]; // read
            #ifndef FAULT
                __syncthreads();
            #endif
                s[threadIdx.x] = z; // write
                y[threadIdx.x] = s[threadIdx.x];
            }
            """, "and no barrier since the ", "write", "read"),
        new("a missing __syncwarp", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[64]);
                s[threadIdx.x] = x[threadIdx.x]; // write
            #ifndef FAULT
                __syncwarp();
            #endif
                y[threadIdx.x] = s[threadIdx.x ^ 5]; // read
            }
            """, "and no barrier since the ", "write", "read"),
        new("a reduction whose warps do not wait for each other", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(float, s[2]);
                float sum = x[threadIdx.x];
                for (int lanes = 16; lanes > 0; lanes /= 2)
                    sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
                if (threadIdx.x % 32 == 0)
                    s[threadIdx.x / 32] = sum; // write
            #ifndef FAULT
                __syncthreads();
            #endif
                sum = s[0] + s[1]; // read
                __syncthreads();
                if (threadIdx.x % 32 == 0)
                    s[threadIdx.x / 32] = 0.0f;
                y[threadIdx.x] = sum;
            }
            """, "and no barrier since the ", "write", "read"),
        new("two threads that write the same", """
            extern "C" __global__ void k(const float* x, float* y)
            {
                SHARED(int, count);
            #ifdef FAULT
                count = threadIdx.x; // write
            #else
                if (threadIdx.x == 0)
                    count = 0;
                __syncthreads();
                atomicAdd(&count, 1);
            #endif
                __syncthreads();
                y[threadIdx.x] = x[threadIdx.x] + (float)count;
            }
            """, "race: a write of shared memory, and no barrier since the write of thread (", "write"),
    ];

    [SetUp]
    public void Begin() => Planted.SetCheck(true);

    [TearDown]
    public void End() => Planted.SetCheck(false);

    [TestCaseSource(nameof(s_faults))]
    public void IsReported(Fault fault)
    {
        using var planted = new Planted(fault.Source, "-DFAULT");
        Assert.That(Run(planted), Is.EqualTo(LaunchFailed));
        Assert.That(Planted.Message, Does.Contain("kernel k, block (0, 0, 0), thread (").And.Contains(fault.Words));
        foreach (int line in fault.Blamed)
            Assert.That(Planted.Message, Does.Match($@"\b{Planted.File}:{line}\b"));
    }

    [TestCaseSource(nameof(s_faults))]
    public void WithoutTheFaultAllIsWell(Fault fault)
    {
        using var planted = new Planted(fault.Source);
        Assert.That(Run(planted), Is.Zero);
    }

    private static int Run(Planted planted)
    {
        nint x = planted.Upload(Enumerable.Range(1, Threads).Select(i => (float)i).ToArray());
        return planted.Launch("k", 1, Threads, 0, (long)x, (long)Planted.Allocate(Threads * 4));
    }
}
