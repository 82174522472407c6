using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Kernels.Cuda;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Numbers on the device and, as float64, here. They can be represented exactly in their type.</summary>
internal sealed class Operand : IDisposable
{
    private readonly CudaDevice device;
    private readonly DType type;
    private readonly int count;
    private readonly int skipped;
    private readonly nint address;

    /// <param name="device">Where the numbers lie.</param>
    /// <param name="type">Float32 or BFloat16.</param>
    /// <param name="values">The numbers before they are rounded to the type.</param>
    /// <param name="skipped">Elements of the allocation before the first; makes the address odd.</param>
    public Operand(CudaDevice device, DType type, double[] values, int skipped = 0)
    {
        (this.device, this.type, count, this.skipped) = (device, type, values.Length, skipped);
        address = device.Allocate(Bytes);
        Values = [.. values.Select(v => type == DType.BFloat16 ? RoundToBFloat16((float)v) : (float)v)];
        byte[] bytes = new byte[Bytes];
        Span<ushort> halves = MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan());
        Span<uint> words = MemoryMarshal.Cast<byte, uint>(bytes.AsSpan());
        for (int i = 0; i < count; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits((float)Values[i]);
            if (type == DType.BFloat16)
                halves[skipped + i] = (ushort)(bits >> 16);
            else
                words[skipped + i] = bits;
        }

        device.Upload(bytes, address);
    }

    public double[] Values { get; }

    public Ptr Ptr => new Ptr(address, type) + skipped;

    private int Bytes => (skipped + count) * type.Size();

    public static Operand Random(CudaDevice device, DType type, int seed, int count, int skipped = 0)
    {
        var random = new Random(seed);
        return new Operand(device, type, [.. Enumerable.Range(0, count).Select(_ => 2 * random.NextDouble() - 1)], skipped);
    }

    /// <summary>What is on the device now.</summary>
    public double[] Read()
    {
        byte[] bytes = new byte[Bytes];
        device.Download(address, bytes);
        double[] values = new double[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = BitConverter.UInt32BitsToSingle(type == DType.BFloat16
                ? (uint)MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan())[skipped + i] << 16
                : MemoryMarshal.Cast<byte, uint>(bytes.AsSpan())[skipped + i]);
        }

        return values;
    }

    /// <summary>‖found - expected‖ / ‖expected‖ of what is on the device.</summary>
    public double RelativeError(double[] expected) => Mdm.Tests.RelativeError.Of(Read(), expected);

    public void Dispose() => device.Free(address, Bytes);

    private static float RoundToBFloat16(float x)
    {
        uint bits = BitConverter.SingleToUInt32Bits(x);
        return BitConverter.UInt32BitsToSingle((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
    }
}
