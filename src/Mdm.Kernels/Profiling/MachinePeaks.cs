namespace Mdm.Kernels.Profiling;

/// <summary>What a device reaches at best, measured on the spot.</summary>
/// <param name="Operations">Floating-point operations per second of a large matrix product.</param>
/// <param name="Bytes">Bytes per second of a copy larger than the caches, reads and writes counted.</param>
public sealed record MachinePeaks(double Operations, double Bytes)
{
    private const double LeastSeconds = 0.02;
    private const int Rounds = 5;
    private const int LargestProduct = 8192;
    private const long CopiedNumbers = 32L << 20;

    /// <summary>The time that so much work needs at the least: the roofline.</summary>
    public double LeastTime(double operations, double bytes) => Math.Max(operations / Operations, bytes / Bytes);

    /// <param name="device">Measured with its own kernels.</param>
    /// <param name="type">What products are computed in.</param>
    public static MachinePeaks Measure(IDevice device, DType type)
    {
        // A product that takes some time: 1024 squared on a processor, 8192 on a GPU.
        int n = 512;
        double operations = Product(device, type, n, out double seconds);
        while (seconds < LeastSeconds && n < LargestProduct)
            operations = Math.Max(operations, Product(device, type, n *= 2, out seconds));
        return new MachinePeaks(operations, Copy(device));
    }

    private static double Product(IDevice device, DType type, int n, out double seconds)
    {
        long bytes = (long)n * n * type.Size();
        nint a = device.Allocate(bytes), b = device.Allocate(bytes), c = device.Allocate(bytes);
        device.Kernels.Fill((long)n * n, 0.5f, new Ptr(a, type));
        device.Kernels.Fill((long)n * n, 0.25f, new Ptr(b, type));
        seconds = Fastest(device, () => device.Kernels.MatMul(MatMulShape.Contiguous(n, n, n, transposeB: true),
            new Ptr(a, type), new Ptr(b, type), new Target(new Ptr(c, type), false)));
        device.Free(a, bytes);
        device.Free(b, bytes);
        device.Free(c, bytes);
        return 2.0 * n * n * n / seconds;
    }

    private static double Copy(IDevice device)
    {
        const long bytes = CopiedNumbers * sizeof(float);
        nint from = device.Allocate(bytes), to = device.Allocate(bytes);
        Ptr source = new(from, DType.Float32), destination = new(to, DType.Float32);
        device.Kernels.Fill(CopiedNumbers, 1, source);
        double seconds = Fastest(device, () =>
            device.Kernels.LinearCombination(CopiedNumbers, 1, source, 0, Ptr.None, new Target(destination, false)));
        device.Free(from, bytes);
        device.Free(to, bytes);
        return 2.0 * bytes / seconds;
    }

    private static double Fastest(IDevice device, Action act)
    {
        act();
        double best = double.PositiveInfinity;
        for (int i = 0; i < Rounds; i++)
        {
            long from = device.Mark();
            act();
            best = Math.Min(best, device.Seconds(from, device.Mark()));
        }

        return best;
    }
}
