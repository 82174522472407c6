using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Arrays of any element type, anywhere between two boundaries, for tests that call single kernels. Disposing frees them
/// all; nothing else may be left then.</summary>
internal sealed class KernelArrays : IDisposable
{
    private readonly List<(nint Address, long Bytes)> _held = [];

    private readonly long _before;

    public KernelArrays() => _before = Device.Memory.InUse;

    public IDevice Device { get; } = Devices.Open("cuda");

    public IKernels Kernels => Device.Kernels;

    /// <summary>A copy of <paramref name="values"/>, rounded to the type, <paramref name="shift"/> elements beyond a boundary of
    /// at least 64 bytes.</summary>
    public Ptr New(DType type, double[] values, int shift = 0) => Raw(type, Bytes(type, values), shift);

    /// <summary>An array of bytes that are given as they are.</summary>
    public Ptr Raw(DType type, byte[] bytes, int shift = 0)
    {
        Ptr p = Empty(type, bytes.Length / type.Size(), shift);
        Device.Upload(bytes, p.Address);
        return p;
    }

    /// <summary>Memory that nobody has written.</summary>
    public Ptr Empty(DType type, long n, int shift = 0)
    {
        long bytes = (n + shift) * type.Size();
        nint address = Device.Allocate(bytes);
        _held.Add((address, bytes));
        return new Ptr(address, type) + shift;
    }

    /// <summary>Where a gradient goes: over NaN, or added to ones.</summary>
    public Target Target(DType type, long n, bool accumulate) =>
        new(accumulate ? New(type, Filled(n, 1)) : Empty(type, n), accumulate);

    public byte[] ReadBytes(Ptr p, long n)
    {
        byte[] bytes = new byte[n * p.Type.Size()];
        Device.Download(p.Address, bytes);
        return bytes;
    }

    public double[] Read(Ptr p, long n)
    {
        byte[] bytes = ReadBytes(p, n);
        return p.Type switch
        {
            DType.Float32 => Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), v => (double)v),
            DType.Float64 => MemoryMarshal.Cast<byte, double>(bytes).ToArray(),
            DType.Float16 => Array.ConvertAll(MemoryMarshal.Cast<byte, Half>(bytes).ToArray(), v => (double)v),
            DType.BFloat16 => Array.ConvertAll(MemoryMarshal.Cast<byte, ushort>(bytes).ToArray(),
                v => (double)BitConverter.UInt32BitsToSingle((uint)v << 16)),
            _ => throw new ArgumentOutOfRangeException(nameof(p), p.Type, "not a type of results"),
        };
    }

    /// <summary>Numbers that every one of the types of activations holds exactly.</summary>
    public static double[] Random(long n, int seed, double scale = 1)
    {
        var random = new Random(seed);
        double[] values = new double[n];
        for (int i = 0; i < n; i++)
            values[i] = ToBFloat16(scale * (2 * random.NextDouble() - 1));
        return values;
    }

    /// <summary>About normal numbers that the type holds exactly.</summary>
    public static double[] Normal(long n, DType type, int seed, double scale = 1, double shift = 0)
    {
        var random = new Random(seed);
        double[] values = new double[n];
        for (int i = 0; i < n; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            double value = shift + scale * radius * Math.Cos(2 * Math.PI * random.NextDouble());
            values[i] = type == DType.BFloat16 ? ToBFloat16(value) : (float)value;
        }

        return values;
    }

    public static double[] Filled(long n, double value)
    {
        double[] values = new double[n];
        Array.Fill(values, value);
        return values;
    }

    /// <summary>To nearest, ties to even, with 8 bits and float32's exponents.</summary>
    public static double ToBFloat16(double v) => Rounded(v, 8, -126, 127);

    /// <summary>v to the nearest number with so many bits (counting the leading one) and an exponent from least to most; ties to
    /// even; below, multiples of the smallest number; above, infinity.</summary>
    public static double Rounded(double v, int bits, int leastExponent, int mostExponent)
    {
        if (!double.IsFinite(v) || v == 0)
            return v;
        int exponent = Math.Max(leastExponent, Math.ILogB(v));
        double unit = Math.ScaleB(1, exponent - (bits - 1)), rounded = Math.Round(v / unit, MidpointRounding.ToEven) * unit;
        return Math.Abs(rounded) >= Math.ScaleB(1, mostExponent + 1) ? double.CopySign(double.PositiveInfinity, v) : rounded;
    }

    /// <summary>‖found - expected‖ ≤ tolerance · ‖expected‖, with the tolerance of the type.</summary>
    public static void Near(double[] found, double[] expected, DType type, double tolerance = 1e-6) =>
        Near(found, expected, type == DType.BFloat16 ? 4e-3 : tolerance, "");

    /// <summary>The same of a gradient; one that was added to ones has them in it.</summary>
    public void Near(Target found, double[] expected, double tolerance, string what) =>
        Near(found.Ptr, found.Accumulate ? Array.ConvertAll(expected, v => v + 1) : expected, tolerance, what);

    public void Near(Ptr found, double[] expected, double tolerance, string what) =>
        Near(Read(found, expected.Length), expected, tolerance, what);

    public void Dispose()
    {
        foreach ((nint address, long bytes) in _held)
            Device.Free(address, bytes);
        Assert.That(Device.Memory.InUse, Is.EqualTo(_before), "bytes in use afterwards");
    }

    private static void Near(double[] found, double[] expected, double tolerance, string what)
    {
        Assert.That(found, Has.Length.EqualTo(expected.Length), what);
        double difference = 0, norm = 0;
        for (int i = 0; i < found.Length; i++)
        {
            Assert.That(double.IsFinite(found[i]), Is.EqualTo(double.IsFinite(expected[i])), $"{what}, element {i}: {found[i]}");
            difference += (found[i] - expected[i]) * (found[i] - expected[i]);
            norm += expected[i] * expected[i];
        }

        Assert.That(
            Math.Sqrt(difference), Is.LessThanOrEqualTo(tolerance * Math.Sqrt(norm)), $"{what}, norm {Math.Sqrt(norm)}");
    }

    private static byte[] Bytes(DType type, double[] values) => type switch
    {
        DType.Float32 => Of(values, v => (float)v),
        DType.Float64 => Of(values, v => v),
        DType.Float16 => Of(values, v => (Half)v),
        DType.BFloat16 => Of(values, v => (ushort)(BitConverter.SingleToUInt32Bits((float)ToBFloat16(v)) >> 16)),
        DType.Int32 => Of(values, v => (int)v),
        DType.Int64 => Of(values, v => (long)v),
        _ => Of(values, v => (byte)v),
    };

    private static byte[] Of<T>(double[] values, Converter<double, T> convert)
        where T : unmanaged => MemoryMarshal.AsBytes(Array.ConvertAll(values, convert).AsSpan()).ToArray();
}
