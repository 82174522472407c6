namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string ElementwiseFile = "elementwise.cu";
    private const int ElementThreads = 256;

    /// <summary>Enough to fill a multiprocessor several times over, so that the last ones to end matter little.</summary>
    private const int BlocksPerMultiprocessor = 16;

    /// <summary>Vectors that a thread of <c>map</c> has in flight.</summary>
    private const int VectorsAtOnce = 2;

    private static readonly KernelModule CopyModule = new("copy.cu"), CastModule = new("cast.cu");

    private static KernelModule[] ElementwiseModules => [.. KernelModule.BothTypes(ElementwiseFile), CopyModule, CastModule];

    public void Unary(UnaryFunction f, long n, Ptr x, Ptr y)
    {
        RequireType("function: y", y, x.Type);
        if (n > 0)
            LaunchBlocks(ElementwiseFile, NameOf(f), x.Type, ElementBlocks(n, x.Type), n, x, y);
    }

    public void UnaryBackward(UnaryFunction f, long n, Ptr x, Ptr dy, Target dx)
    {
        RequireType("gradient of a function: dy", dy, x.Type);
        RequireType("gradient of a function: dx", dx, x.Type);
        if (n > 0 && !dx.IsNone)
            LaunchBlocks(ElementwiseFile, NameOf(f) + "_backward", x.Type, ElementBlocks(n, x.Type), n, x, dy, dx.Ptr,
                dx.Accumulate);
    }

    public void Clamp(long n, float low, float high, Ptr x, Ptr y)
    {
        RequireType("clamp: y", y, x.Type);
        if (n > 0)
            LaunchBlocks(ElementwiseFile, "clamp", x.Type, ElementBlocks(n, x.Type), n, low, high, x, y);
    }

    public void ClampBackward(long n, float low, float high, Ptr x, Ptr dy, Target dx)
    {
        RequireType("gradient of clamp: dy", dy, x.Type);
        RequireType("gradient of clamp: dx", dx, x.Type);
        if (n > 0 && !dx.IsNone)
            LaunchBlocks(ElementwiseFile, "clamp_backward", x.Type, ElementBlocks(n, x.Type), n, low, high, x, dy, dx.Ptr,
                dx.Accumulate);
    }

    public void LinearCombination(long n, float a, Ptr x, float b, Ptr y, Target z)
    {
        RequireType("linear combination: y", y, x.Type);
        RequireType("linear combination: z", z, x.Type);
        if (n > 0 && !z.IsNone)
            LaunchBlocks(ElementwiseFile, "linear_combination", x.Type, ElementBlocks(n, x.Type), n, a, x, b, y, z.Ptr,
                z.Accumulate);
    }

    public void Multiply(long n, Ptr x, Ptr y, Target z)
    {
        RequireType("product: y", y, x.Type);
        RequireType("product: z", z, x.Type);
        if (n > 0 && !z.IsNone)
            LaunchBlocks(ElementwiseFile, "multiply", x.Type, ElementBlocks(n, x.Type), n, x, y, z.Ptr, z.Accumulate);
    }

    public void SampleCombination(int batch, long inner, Ptr a, Ptr x, Ptr b, Ptr y, Target z)
    {
        RequireType("combination by samples: y", y, x.Type);
        RequireType("combination by samples: z", z, x.Type);
        if (batch > 0 && inner > 0 && !z.IsNone)
            LaunchBlocks(ElementwiseFile, "sample_combination", x.Type, SampleBlocks(batch, inner, x.Type), batch, inner,
                a, x, b, y, z.Ptr, z.Accumulate);
    }

    public void ClampToUnit(int batch, long inner, Ptr limit, Ptr x, Ptr y)
    {
        RequireType("clamp to unit: y", y, x.Type);
        if (batch > 0 && inner > 0)
            LaunchBlocks(ElementwiseFile, "clamp_to_unit", x.Type, SampleBlocks(batch, inner, x.Type), batch, inner, limit,
                x, y);
    }

    public void Fill(long n, float value, Ptr y)
    {
        if (n > 0)
            LaunchBlocks(ElementwiseFile, "fill", y.Type, ElementBlocks(n, y.Type), n, value, y);
    }

    public void Zero(long bytes, nint address)
    {
        if (bytes > 0)
            LaunchBlocks(new KernelId(CopyModule, "zero_bytes"), StrideBlocks((bytes + 15) / 16), bytes,
                new Ptr(address, DType.UInt8));
    }

    public void CopyRows(int rows, int cols, Rows source, RowsTarget destination)
    {
        if (destination.IsNone || rows == 0 || cols == 0)
            return;
        if (source.Ptr.Type != destination.Ptr.Type)
            throw new ArgumentException($"no copy from {source.Ptr.Type} to {destination.Ptr.Type}", nameof(destination));
        if (destination.Accumulate)
            AddRows(rows, cols, source, destination);
        else
            CopyBytes(rows, (long)cols * source.Ptr.Type.Size(), source, destination);
    }

    public void Cast(long n, Ptr source, Ptr destination)
    {
        if (n == 0)
            return;
        if (source.Type == destination.Type)
        {
            CopyUnits(1, n * source.Type.Size(), 0, 0, source, destination);
            return;
        }

        bool possible = destination.Type == DType.Float32 || (IsReal(source.Type) && IsReal(destination.Type));
        if (!possible)
            throw new ArgumentException($"no cast from {source.Type} to {destination.Type}", nameof(destination));
        LaunchBlocks(
            new KernelId(CastModule, CastName(source.Type, destination.Type)), StrideBlocks((n + 7) / 8), n, source, destination);
    }

    private void AddRows(int rows, int cols, Rows source, RowsTarget destination)
    {
        DType type = source.Ptr.Type;
        bool wide = IsWide(type, cols | source.Stride | destination.Stride, source.Ptr, destination.Ptr);
        int groups = wide ? cols / (16 / type.Size()) : cols;
        long units = (long)rows * groups;
        LaunchBlocks(ElementwiseFile, wide ? "add_rows_wide" : "add_rows", type, StrideBlocks(units), units, groups,
            source.Ptr, (long)source.Stride, destination.Ptr, (long)destination.Stride);
    }

    private void CopyBytes(int rows, long rowBytes, Rows source, RowsTarget destination)
    {
        int size = source.Ptr.Type.Size();
        long from = (long)source.Stride * size, to = (long)destination.Stride * size;
        if (from == rowBytes && to == rowBytes)
            CopyUnits(1, rows * rowBytes, 0, 0, source.Ptr, destination.Ptr);
        else
            CopyUnits(rows, rowBytes, from, to, source.Ptr, destination.Ptr);
    }

    /// <summary>Copies rows of bytes in the widest units that all of it is a multiple of.</summary>
    private void CopyUnits(int rows, long rowBytes, long sourceStep, long destinationStep, Ptr source, Ptr destination)
    {
        long together = rowBytes | sourceStep | destinationStep | source.Address | destination.Address | 16;
        int unit = (int)(together & -together);
        long cols = rowBytes / unit;

        // Longer than a row can be (a tensor as one row): several calls.
        const long Most = int.MaxValue;
        for (long first = 0; first < cols; first += Most)
        {
            int count = (int)Math.Min(Most, cols - first);
            long units = rows * (long)count;
            LaunchBlocks(new KernelId(CopyModule, CopyName(unit)), StrideBlocks((units + 3) / 4), units, count,
                new Ptr(source.Address + (nint)(first * unit), source.Type), sourceStep / unit,
                new Ptr(destination.Address + (nint)(first * unit), destination.Type), destinationStep / unit);
        }
    }

    private static string CopyName(int unit) => unit switch
    {
        16 => "copy_rows_16",
        8 => "copy_rows_8",
        4 => "copy_rows_4",
        2 => "copy_rows_2",
        _ => "copy_rows_1",
    };

    private static bool IsReal(DType type) => type is DType.Float32 or DType.BFloat16 or DType.Float16 or DType.Float64;

    private static string CastName(DType source, DType destination) => $"cast_{ShortName(source)}_{ShortName(destination)}";

    private static string ShortName(DType type) => type switch
    {
        DType.Float32 => "f32",
        DType.BFloat16 => "bf16",
        DType.Float16 => "f16",
        DType.Float64 => "f64",
        DType.Int64 => "i64",
        DType.Int32 => "i32",
        DType.UInt8 => "u8",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown element type"),
    };

    private static string NameOf(UnaryFunction f) => f switch
    {
        UnaryFunction.Silu => "silu",
        UnaryFunction.Gelu => "gelu",
        UnaryFunction.Tanh => "tanh_of",
        UnaryFunction.GeluTanh => "gelu_tanh",
        _ => throw new ArgumentOutOfRangeException(nameof(f), f, "unknown function"),
    };

    private long MostBlocks => (long)BlocksPerMultiprocessor * device.Properties.Multiprocessors;

    /// <summary>Blocks for a loop over n units, one per thread and round.</summary>
    private int StrideBlocks(long units) =>
        (int)Math.Clamp((units + ElementThreads - 1) / ElementThreads, 1, MostBlocks);

    private int ElementBlocks(long n, DType type) => StrideBlocks(n / (VectorsAtOnce * 16 / type.Size()));

    /// <summary>Blocks for n elements of each of some samples: (blocks of a sample, samples).</summary>
    private Dim3 SampleBlocks(long samples, long inner, DType type)
    {
        const int MostY = 65535;
        long share = Math.Max(1, MostBlocks / samples);
        return new Dim3((int)Math.Min(share, ElementBlocks(inner, type)), (int)Math.Min(samples, MostY));
    }

    private void LaunchBlocks(string file, string kernel, DType type, Dim3 grid, params ReadOnlySpan<Arg> arguments) =>
        LaunchBlocks(new KernelId(KernelModule.Of(file, type), kernel), grid, arguments);

    /// <summary>Queues a kernel with <see cref="ElementThreads"/> threads a block and no dynamic shared memory.</summary>
    private void LaunchBlocks(in KernelId kernel, Dim3 grid, params ReadOnlySpan<Arg> arguments) =>
        device.Launch(kernel, grid, ElementThreads, 0, arguments);
}
