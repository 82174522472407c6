using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>A named tensor as it is in a file or goes into one: row-major, little-endian, in the file's layout and type.
/// Tensors of an opened file are views of it and end with it.</summary>
public sealed class StoredTensor
{
    private readonly TensorSource source;

    /// <summary>float32 values that are fetched when the tensor is written or read.</summary>
    public StoredTensor(string name, long[] shape, Func<ReadOnlyMemory<float>> values)
        : this(name, DType.Float32, shape, new DeferredSource<float>(values))
    {
    }

    /// <summary>Little-endian bytes of any type that are fetched when the tensor is written or read.</summary>
    public StoredTensor(string name, DType type, long[] shape, Func<ReadOnlyMemory<byte>> bytes)
        : this(name, type, shape, new DeferredSource<byte>(bytes))
    {
    }

    internal StoredTensor(string name, DType type, long[] shape, TensorSource source)
    {
        Name = name;
        Type = type;
        Shape = shape;
        this.source = source;
        Count = shape.Contains(0) ? 0 : shape.Aggregate(1L, (product, extent) => checked(product * extent));
    }

    public string Name { get; }

    public DType Type { get; }

    /// <summary>Empty for a scalar.</summary>
    public long[] Shape { get; }

    /// <summary>Number of elements.</summary>
    public long Count { get; }

    public long ByteCount => Count * Type.Size();

    /// <summary>All bytes: a view of the file where they lie there in one piece, else a copy. At most 2 GB.</summary>
    public ReadOnlySpan<byte> Bytes
    {
        get
        {
            if (source.TryWhole(out ReadOnlySpan<byte> whole))
                return whole;
            if (ByteCount > Array.MaxLength)
                throw new MdmException($"tensor '{Name}' has {ByteCount} bytes, at most {Array.MaxLength} fit in one piece");
            byte[] bytes = new byte[ByteCount];
            int at = 0;
            Visit(chunk =>
            {
                chunk.CopyTo(bytes.AsSpan(at));
                at += chunk.Length;
            });
            return bytes;
        }
    }

    /// <summary>A float32 tensor with the given numbers, last dimension fastest.</summary>
    public static StoredTensor FromFloats(string name, long[] shape, float[] values) => new(name, shape, () => values);

    /// <summary>Writes the elements in row-major order, widened (float64: rounded) to float32.</summary>
    /// <exception cref="MdmException">The tensor holds integers, or the number of elements differs.</exception>
    public void CopyTo(Span<float> destination)
    {
        ExpectCount(destination.Length);
        if (Type is not (DType.Float32 or DType.BFloat16 or DType.Float16 or DType.Float64))
            throw new MdmException($"tensor '{Name}' is {Type}, expected a floating-point type");
        unsafe
        {
            fixed (float* start = destination)
            {
                float* next = start;
                Visit(chunk =>
                {
                    int count = chunk.Length / Type.Size();
                    Widen(chunk, new Span<float>(next, count));
                    next += count;
                });
            }
        }
    }

    /// <summary>All elements as float32, row-major.</summary>
    public float[] ToFloats()
    {
        if (Count > Array.MaxLength)
            throw new MdmException($"tensor '{Name}' has {Count} elements, at most {Array.MaxLength} fit in an array");
        float[] values = new float[Count];
        CopyTo(values);
        return values;
    }

    /// <summary>All elements of an integer tensor, row-major.</summary>
    /// <exception cref="MdmException">The tensor is not of an integer type.</exception>
    public long[] ToIntegers()
    {
        ReadOnlySpan<byte> bytes = Bytes;
        long[] values = new long[Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = Type switch
            {
                DType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(bytes[(8 * i)..]),
                DType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes[(4 * i)..]),
                DType.UInt8 => bytes[i],
                _ => throw new MdmException($"tensor '{Name}' is {Type}, expected an integer type"),
            };
        return values;
    }

    /// <summary>float64 elements of a float64 or narrower floating-point tensor, row-major.</summary>
    public double[] ToDoubles() => Type == DType.Float64
        ? MemoryMarshal.Cast<byte, double>(Bytes).ToArray()
        : Array.ConvertAll(ToFloats(), value => (double)value);

    /// <summary>All bytes, piece by piece.</summary>
    /// <exception cref="MdmException">A deferred source gave another number of bytes than the shape says, or the file cannot be
    /// read or is damaged; that may be known only after all pieces.</exception>
    internal void Visit(ChunkVisitor visitor) => Visit(visitor, 1);

    /// <summary>As <see cref="Visit(ChunkVisitor)"/>, in pieces of whole rows.</summary>
    /// <param name="visitor">Gets the pieces.</param>
    /// <param name="row">Elements that stay together; a divisor of <see cref="Count"/>.</param>
    internal void Visit(ChunkVisitor visitor, int row)
    {
        long seen = 0;
        source.Visit(chunk =>
        {
            seen += chunk.Length;
            if (seen <= ByteCount)
                visitor(chunk);
        }, checked(row * Type.Size()));
        if (seen != ByteCount)
            throw new MdmException($"tensor '{Name}' {Describe(Shape)}: found {seen} bytes, expected {ByteCount}");
    }

    /// <summary>A shape as people write it: [2,3].</summary>
    internal static string Describe(ReadOnlySpan<long> shape) => $"[{string.Join(',', shape.ToArray())}]";

    private static void Widen(ReadOnlySpan<byte> from, Span<float> to, DType type)
    {
        switch (type)
        {
            case DType.Float32:
                from.CopyTo(MemoryMarshal.AsBytes(to));
                break;
            case DType.BFloat16:
                ReadOnlySpan<ushort> upper = MemoryMarshal.Cast<byte, ushort>(from);
                for (int i = 0; i < to.Length; i++)
                    to[i] = BitConverter.UInt32BitsToSingle((uint)upper[i] << 16);
                break;
            case DType.Float16:
                ReadOnlySpan<Half> halves = MemoryMarshal.Cast<byte, Half>(from);
                for (int i = 0; i < to.Length; i++)
                    to[i] = (float)halves[i];
                break;
            default:
                ReadOnlySpan<double> doubles = MemoryMarshal.Cast<byte, double>(from);
                for (int i = 0; i < to.Length; i++)
                    to[i] = (float)doubles[i];
                break;
        }
    }

    private void Widen(ReadOnlySpan<byte> from, Span<float> to) => Widen(from, to, Type);

    private void ExpectCount(long found)
    {
        if (found != Count)
            throw new MdmException($"tensor '{Name}' {Describe(Shape)} has {Count} elements, the destination {found}");
    }
}
