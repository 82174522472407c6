using System.Runtime.InteropServices;
using Mdm.Kernels;
using static Mdm.CudaEmulator.Tests.AttentionNumbers;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Device memory of a test, with rows of all heads inside wider rows of NaN.</summary>
internal sealed class AttentionOperands(IDevice device, DType type, int columns, int extra) : IDisposable
{
    private readonly List<(nint Address, long Bytes)> _memory = [];

    public IDevice Device => device;

    private int Stride => columns + extra;

    public Rows Rows(double[] values)
    {
        double[] wide = new double[values.Length / columns * Stride];
        Array.Fill(wide, double.NaN);
        for (int i = 0; i < values.Length; i++)
            wide[(i / columns * Stride) + (extra / 2) + (i % columns)] = values[i];
        byte[] bytes = type == DType.Float32
            ? MemoryMarshal.AsBytes<float>(Array.ConvertAll(wide, x => (float)x)).ToArray()
            : MemoryMarshal.AsBytes<ushort>(Array.ConvertAll(wide, ToBFloat16)).ToArray();
        return new(new Ptr(Place(bytes), type) + (extra / 2), Stride);
    }

    public Ptr Floats(double[]? values) => values == null ? Ptr.None
        : new(Place(MemoryMarshal.AsBytes<float>(Array.ConvertAll(values, x => (float)x)).ToArray()), DType.Float32);

    public double[] Floats(Ptr at, int count)
    {
        float[] values = new float[count];
        device.Download(at.Address, MemoryMarshal.AsBytes(values.AsSpan()));
        return Array.ConvertAll(values, x => (double)x);
    }

    /// <summary>The columns of the heads; the others must still be NaN.</summary>
    public double[] Read(Rows rows)
    {
        nint start = (rows.Ptr + (-extra / 2)).Address;
        byte[] bytes = new byte[_memory.Find(m => m.Address == start).Bytes];
        device.Download(start, bytes);
        float[] wide = type == DType.Float32 ? MemoryMarshal.Cast<byte, float>(bytes).ToArray()
            : Array.ConvertAll(MemoryMarshal.Cast<byte, ushort>(bytes).ToArray(), FromBFloat16);
        bool Within(int i) => i % Stride >= extra / 2 && i % Stride < (extra / 2) + columns;
        int used = bytes.Length / type.Size() / Stride * Stride;
        Assert.That(wide.Take(used).Where((_, i) => !Within(i)), Is.All.NaN, "columns beside the heads");
        return [.. wide.Take(used).Where((_, i) => Within(i)).Select(x => (double)x)];
    }

    /// <summary>‖found - expected‖ ≤ tolerance · max(‖expected‖, least).</summary>
    public void Near(Rows rows, double[] expected, double tolerance, string what, double least = 0)
    {
        double[] found = Read(rows);
        Assert.That(found, Has.Length.EqualTo(expected.Length), what);
        Assert.That(found.Count(x => !double.IsFinite(x)), Is.Zero, $"{what}: NaN or infinite");
        double error = Norm([.. found.Zip(expected, (x, y) => x - y)]);
        Assert.That(error, Is.LessThanOrEqualTo(tolerance * Math.Max(Norm(expected), least)), what);
    }

    public void Dispose() => _memory.ForEach(m => device.Free(m.Address, m.Bytes));

    private static ushort ToBFloat16(double x) => (ushort)(BitConverter.SingleToUInt32Bits((float)x) >> 16);

    private static float FromBFloat16(ushort x) => BitConverter.UInt32BitsToSingle((uint)x << 16);

    private nint Place(byte[] bytes)
    {
        // Also without an element: the kernels must see that there is an operand.
        nint address = device.Allocate(Math.Max(16, bytes.Length));
        _memory.Add((address, Math.Max(16, bytes.Length)));
        device.Upload(bytes, address);
        return address;
    }
}
