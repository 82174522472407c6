using Mdm.Kernels;
using Mdm.Kernels.Cpu;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Random numbers have the CPU's bits.</summary>
internal sealed unsafe class RandomKernelTests(string order) : KernelFixture(order)
{
    private static readonly RandomKey Key = new(0x0123456789ABCDEF, 0xFEDCBA9800000007);

    [Test]
    public void Bits_are_those_of_the_host(
        [Values(1, 6, 1003)] int n, [Values(0, 1, 3, 1_000_001, (1L << 40) + 2)] long offset, [Values(0, 1)] int shift)
    {
        Ptr uniform = Arrays.Empty(DType.Float32, n, shift), normal = Arrays.Empty(DType.Float32, n, shift);
        Kernels.Uniform(n, Key, offset, uniform);
        Kernels.Normal(n, Key, offset, normal);
        float[] expected = new float[n];
        fixed (float* p = expected)
            new CpuKernels().Normal(n, Key, offset, new Ptr((nint)p, DType.Float32));
        Assert.That(Arrays.Read(uniform, n),
            Is.EqualTo(Enumerable.Range(0, n).Select(i => (double)Mdm.Kernels.Philox.Uniform(Key, offset + i))));
        Assert.That(Arrays.Read(normal, n), Is.EqualTo(Array.ConvertAll(expected, v => (double)v)));
    }

    [Test]
    public void Dropout([ValueSource(nameof(Activations))] DType type, [Values(5, 2003)] int n, [Values(0, 2, 3)] int offset)
    {
        const float P = 0.25f;
        double[] x = KernelArrays.Random(n, 1), before = KernelArrays.Random(n, 2), expected = new double[n];
        for (int i = 0; i < n; i++)
            expected[i] = Mdm.Kernels.Philox.Uniform(Key, offset + i) >= P ? x[i] / (1 - P) : 0;
        Ptr px = Arrays.New(type, x), y = Arrays.New(type, before);
        Kernels.Dropout(n, P, Key, offset, px, AddTo(y));
        KernelArrays.Near(Arrays.Read(y, n), expected.Zip(before, (a, b) => a + b).ToArray(), type);
        Kernels.Dropout(n, P, Key, offset, px, Into(px));
        KernelArrays.Near(Arrays.Read(px, n), expected, type);
    }
}
