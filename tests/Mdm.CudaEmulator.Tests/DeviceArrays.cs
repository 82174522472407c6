using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Arrays in the emulated GPU's memory, each an allocation of its own with guarded bounds.</summary>
internal sealed class DeviceArrays : IDisposable
{
    private readonly Dictionary<nint, long> allocations = [];
    private readonly long before;

    public DeviceArrays()
    {
        Device = Devices.Open("cuda");
        before = Device.Memory.InUse;
    }

    public IDevice Device { get; }

    public IKernels Kernels => Device.Kernels;

    /// <summary>About normal numbers that the type can represent, the same every time for a seed.</summary>
    public static double[] Random(long count, DType type, int seed, double scale = 1, double shift = 0)
    {
        var random = new Random(seed);
        double[] x = new double[count];
        for (int i = 0; i < x.Length; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            x[i] = Round(shift + scale * radius * Math.Cos(2 * Math.PI * random.NextDouble()), type);
        }

        return x;
    }

    public Ptr Upload(double[] values, DType type = DType.Float32)
    {
        Ptr p = New(values.Length, type);
        byte[] bytes = type == DType.BFloat16
            ? MemoryMarshal.AsBytes(Array.ConvertAll(values, v => Bits(v)).AsSpan()).ToArray()
            : MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (float)v).AsSpan()).ToArray();
        Device.Upload(bytes, p.Address);
        return p;
    }

    /// <summary>Memory that holds NaN at first.</summary>
    public Ptr New(long count, DType type = DType.Float32)
    {
        nint address = Device.Allocate(count * type.Size());
        allocations.Add(address, count * type.Size());
        return new Ptr(address, type);
    }

    /// <summary>Where a gradient goes: over NaN, or added to ones.</summary>
    public Target Target(long count, DType type, bool accumulate) =>
        new(accumulate ? Upload(Enumerable.Repeat(1.0, (int)count).ToArray(), type) : New(count, type), accumulate);

    public double[] Download(Ptr p)
    {
        byte[] bytes = new byte[allocations[p.Address]];
        Device.Download(p.Address, bytes);
        return p.Type == DType.BFloat16
            ? Array.ConvertAll(
                MemoryMarshal.Cast<byte, ushort>(bytes).ToArray(), v => (double)BitConverter.Int32BitsToSingle(v << 16))
            : Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), v => (double)v);
    }

    /// <summary>‖found - expected‖ ≤ tolerance·‖expected‖, where a gradient that was added to ones has them in it.</summary>
    public void Near(Target found, double[] expected, double tolerance, string what) =>
        Near(found.Ptr, found.Accumulate ? Array.ConvertAll(expected, v => v + 1) : expected, tolerance, what);

    public void Near(Ptr found, double[] expected, double tolerance, string what)
    {
        double[] values = Download(found);
        Assert.That(values, Has.Length.EqualTo(expected.Length), what);
        double difference = 0, norm = 0;
        for (int i = 0; i < values.Length; i++)
        {
            difference += Math.Pow(values[i] - expected[i], 2);
            norm += expected[i] * expected[i];
        }

        Assert.That(difference, Is.Not.NaN, what); // NUnit takes NaN for less than any tolerance
        Assert.That(Math.Sqrt(difference), Is.LessThanOrEqualTo(tolerance * Math.Sqrt(norm)), what);
    }

    public void Dispose()
    {
        foreach ((nint address, long bytes) in allocations)
            Device.Free(address, bytes);
        Assert.That(Device.Memory.InUse, Is.EqualTo(before), "bytes in use afterwards");
    }

    private static double Round(double value, DType type) =>
        type == DType.BFloat16 ? BitConverter.Int32BitsToSingle(Bits(value) << 16) : (float)value;

    // To the nearest; halfway cases do not matter here.
    private static ushort Bits(double value) => (ushort)((BitConverter.SingleToInt32Bits((float)value) + 0x8000) >> 16);
}
