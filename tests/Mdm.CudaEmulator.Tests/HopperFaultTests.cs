using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Kernels that use barriers, tensor copies or warpgroup products wrongly: the emulator must tell what is wrong, and
/// must not complain of the same kernel without the fault.</summary>
[EmulatorOnly]
public sealed unsafe class HopperFaultTests
{
    private const int Wrong = 719;
    private const int Illegal = 715;

    // Copies boxes of 8 x 64 elements of a 16 x 64 matrix of bfloat16, multiplies A[64, 16] B[16, 64], both made of the copies.
    // A place with a fault says FAULT(number).
    private const string Source = """
        #define FAULT(n) (fault == n)

        __device__ u8* first_tile(u8* memory) { return memory + (1024 - shared_address(memory) % 1024) % 1024; }

        extern "C" __global__ void k(const __grid_constant__ TensorMap map, float* y, int fault)
        {
            SHARED(u64, barrier);
            DYNAMIC_SHARED(u8, memory);
            u8* tile = first_tile(memory);
            if (threadIdx.x == 0)
            {
                if (!FAULT(1))
                    mbarrier_init(&barrier, FAULT(2) ? 2 : 1);
                if (!FAULT(3))
                    mbarrier_init_fence();
            }
            __syncthreads();
            if (threadIdx.x == 0)
            {
                mbarrier_expect(&barrier, FAULT(4) ? 3072 : 2048);
                if (FAULT(5))
                    mbarrier_arrive(&barrier);
                tensor_load_2d(tile, &map, &barrier, 0, 0);
                tensor_load_2d(tile + 1024 + (FAULT(6) ? 16 : 0), &map, &barrier, 0, 8);
            }
            if (!FAULT(7))
                mbarrier_wait(&barrier, 0);
            float d[32];
            for (int i = 0; i < 32; ++i)
                d[i] = 0.0f;
            u64 swizzled = FAULT(8) ? 0 : (u64)1 << 62;
            u64 a = (u64)(shared_address(tile) >> 4) | (u64)64 << 32 | swizzled;
            if (!FAULT(9))
                wgmma_fence();
            if (!FAULT(10) || threadIdx.x != 77)
                wgmma<1, 1>(d, FAULT(11) ? a + 8 : a, a);
            wgmma_commit();
            if (!FAULT(12))
                wgmma_wait<0>(d);
            y[threadIdx.x] = d[0];
        }

        // A product with A from registers: 1 times 1, 16 of them.
        extern "C" __global__ void held(const __grid_constant__ TensorMap map, float* y, int fault)
        {
            SHARED(u64, barrier);
            DYNAMIC_SHARED(u8, memory);
            u8* tile = first_tile(memory);
            if (threadIdx.x == 0)
            {
                mbarrier_init(&barrier, 1);
                mbarrier_init_fence();
                mbarrier_expect(&barrier, 2048);
                tensor_load_2d(tile, &map, &barrier, 0, 0);
                tensor_load_2d(tile + 1024, &map, &barrier, 0, 8);
            }
            __syncthreads();
            mbarrier_wait(&barrier, 0);
            float d[32];
            for (int i = 0; i < 32; ++i)
                d[i] = 0.0f;
            u32 one = 0x3f803f80, a[4] = {one, one, one, one};
            u64 b = (u64)(shared_address(tile) >> 4) | (u64)64 << 32 | (u64)1 << 62;
            if (!FAULT(1))
                wgmma_fence();
            wgmma_held<1>(d, a, b);
            wgmma_commit();
            if (FAULT(2) && threadIdx.x == 5)
                a[3] = 0;
            if (!FAULT(3))
                wgmma_wait<0>(d);
            if (FAULT(3))
                wgmma_wait<1>(d);
            y[threadIdx.x] = d[0];
        }

        // Half of the threads say that they have come, the others wait for them.
        extern "C" __global__ void meet(const __grid_constant__ TensorMap map, float* y, int fault)
        {
            SHARED(float, numbers[128]);
            if (threadIdx.x < 128)
                numbers[threadIdx.x] = 16.0f;
            if (threadIdx.x < (FAULT(1) ? 96 : 128))
                barrier_arrive(1, 256);
            else if (threadIdx.x >= 128)
            {
                barrier_meet(FAULT(2) ? 2 : 1, 256);
                y[threadIdx.x - 128] = numbers[threadIdx.x - 128];
            }
        }

        // Block 0 of two copies 8 x 64 elements to both.
        extern "C" __global__ void __cluster_dims__(2, 1, 1) pair(const __grid_constant__ TensorMap map, float* y, int fault)
        {
            SHARED(u64, barrier);
            DYNAMIC_SHARED(u8, memory);
            u8* tile = first_tile(memory);
            if (threadIdx.x == 0)
            {
                mbarrier_init(&barrier, 1);
                mbarrier_init_fence();
            }
            cluster_sync();
            if (threadIdx.x == 0)
            {
                if (!FAULT(1) || blockIdx.x == 0)
                    mbarrier_expect(&barrier, 1024);
                if (blockIdx.x == 0)
                    tensor_multicast_2d(tile, &map, &barrier, FAULT(2) ? 1 : 3, 0, 0);
            }
            mbarrier_wait(&barrier, 0);
            y[blockIdx.x] = to_float(*(bf16*)tile);
            if (!FAULT(3) || blockIdx.x == 0)
                cluster_sync();
        }

        extern "C" __global__ void alone(const __grid_constant__ TensorMap map, float* y, int fault)
        {
            SHARED(u64, barrier);
            mbarrier_init(&barrier, 1);
            mbarrier_arrive_at(&barrier, 1);
        }
        """;

    [TestCase(0, 0, "")]
    [TestCase(1, Illegal, "there is no initialised barrier")]
    [TestCase(2, Wrong, "nobody can go on: 128 of 128 threads wait for others in mbarrier_wait")]
    [TestCase(3, Wrong, "without a fence for the copy unit")]
    [TestCase(4, Wrong, "nobody can go on: 128 of 128 threads wait for others in mbarrier_wait")]
    [TestCase(5, Wrong, "more than 1 arrivals")]
    [TestCase(6, 716, "no multiple of 128")]
    [TestCase(7, Wrong, "the block ends before this copy")]
    [TestCase(8, Illegal, "expected the 128-byte swizzle")]
    [TestCase(9, Wrong, "wgmma_fence is missing")]
    [TestCase(10, Wrong, "thread 77 of the warpgroup issued other products")]
    [TestCase(11, Illegal, "begin at a multiple of 1,024 bytes")]
    [TestCase(12, Wrong, "without having waited for this product")]
    public void Fault(int fault, int code, string words) =>
        Run("k", new(1), new(128), fault, code, words, [.. Enumerable.Repeat(16f, 128)]);

    [TestCase(0, 0, "")]
    [TestCase(1, Wrong, "wgmma_fence is missing")]
    [TestCase(2, Wrong, "thread 5 of the warpgroup changed a register of a before the wait")]
    [TestCase(3, Wrong, "without having waited for this product")]
    public void FaultOfAProductFromRegisters(int fault, int code, string words) =>
        Run("held", new(1), new(128), fault, code, words, [.. Enumerable.Repeat(16f, 128)]);

    [TestCase(0, 0, "")]
    [TestCase(1, Wrong, "nobody can go on: 128 of 256 threads wait for others in barrier_meet")]
    [TestCase(2, Wrong, "nobody can go on: 128 of 256 threads wait for others in barrier_meet")]
    public void FaultOfABarrierOfSomeThreads(int fault, int code, string words) =>
        Run("meet", new(1), new(256), fault, code, words, [.. Enumerable.Repeat(16f, 128)]);

    [TestCase("pair", 0, 0, "")]
    [TestCase("pair", 1, Wrong, "nobody can go on")]
    [TestCase("pair", 2, Wrong, "nobody can go on")]
    [TestCase("pair", 3, Wrong, "nobody can go on")]
    [TestCase("alone", 0, Illegal, "there is no block 1 in the cluster")]
    public void FaultOfACluster(string kernel, int fault, int code, string words) =>
        Run(kernel, new(2), new(1), fault, code, words, [1f, 1f]);

    [Test]
    public void AGridThatClustersDoNotDivideIsRefused() => Run("pair", new(3), new(1), 0, 1, "in clusters of 2 blocks", []);

    private static void Run(string kernel, Dim3 grid, Dim3 block, int fault, int code, string words, float[] expected)
    {
        using var planted = new Planted(Source);
        var numbers = new ushort[16 * 64];
        Array.Fill(numbers, (ushort)0x3f80); // 1
        nint matrix = Planted.Allocate(2 * numbers.Length), y = Planted.Allocate(4 * 128);
        fixed (ushort* source = numbers)
            Planted.Driver.Check(
                Planted.Driver.MemcpyHostToDevice(matrix, source, (nuint)(2 * numbers.Length), planted.Stream), "cuMemcpyHtoDAsync");
        TensorMap map = new TensorMaps(Planted.Driver)[TensorBoxes.Matrix(matrix, 64, 16, 64, 64, 8)];
        int got = planted.Launch(kernel, grid, block, 4096, Arg.By(in map), (long)y, fault);
        Assert.That(got, Is.EqualTo(code), Planted.Message);
        if (code != 0)
            Assert.That(Planted.Message, Does.Contain(words));
        else
            Assert.That(planted.Download(y, expected.Length), Is.EqualTo(expected));
        Planted.ForgetError();
        _ = Planted.Driver.MemFree(matrix);
        _ = Planted.Driver.MemFree(y);
    }
}
