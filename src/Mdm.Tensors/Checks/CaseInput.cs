using System.Buffers.Binary;
using Mdm.Kernels;

namespace Mdm.Tensors.Checks;

/// <summary>One operand of an <see cref="OperationCase"/>: its name in messages, shape, type, values, and whether a gradient
/// with respect to it is checked. The values can be represented exactly in the type.</summary>
public sealed class CaseInput
{
    private readonly Func<Random, int, double> _draw;

    private CaseInput(string name, Shape shape, DType type, bool differentiable, Func<Random, int, double> draw)
    {
        Name = name;
        Shape = shape;
        Type = type;
        IsDifferentiable = differentiable;
        _draw = draw;
    }

    public string Name { get; }

    public Shape Shape { get; }

    public DType Type { get; }

    public bool IsDifferentiable { get; }

    /// <summary>A variable: uniform float32 numbers in [low, high), with a gradient.</summary>
    public static CaseInput Variable(string name, Shape shape, double low = -1, double high = 1) =>
        new(name, shape, DType.Float32, true, (random, _) => (float)(low + (high - low) * random.NextDouble()));

    /// <summary>Uniform float32 numbers without a gradient.</summary>
    public static CaseInput Constant(string name, Shape shape, double low = -1, double high = 1) =>
        new(name, shape, DType.Float32, false, (random, _) => (float)(low + (high - low) * random.NextDouble()));

    /// <summary>Given numbers, without a gradient; repeated until the shape is full.</summary>
    public static CaseInput Values(string name, Shape shape, DType type, params double[] values) =>
        new(name, shape, type, false,
            (_, i) => type == DType.Float32 ? (float)values[i % values.Length] : values[i % values.Length]);

    /// <summary>A key mask: 1 where the key takes part.</summary>
    public static CaseInput Mask(string name, Shape shape, params double[] values) => Values(name, shape, DType.Float32, values);

    /// <summary>The operand's numbers.</summary>
    public double[] Draw(Random random)
    {
        double[] values = new double[Shape.Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = _draw(random, i);
        return values;
    }

    /// <summary>The operand on a device.</summary>
    public Tensor Place(IDevice device, double[] values) => Tensor.FromBytes(device, Encode(values, Type), Shape, Type);

    /// <summary>The numbers of a tensor of any type.</summary>
    public static double[] Read(Tensor x)
    {
        int size = x.Type.Size();
        byte[] bytes = new byte[x.Count * size];
        x.CopyTo(bytes);
        double[] values = new double[x.Count];
        for (int i = 0; i < values.Length; i++)
        {
            ReadOnlySpan<byte> element = bytes.AsSpan(i * size, size);
            values[i] = x.Type switch
            {
                DType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(element),
                DType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(element),
                DType.Float16 => (double)BinaryPrimitives.ReadHalfLittleEndian(element),
                DType.BFloat16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(element) << 16),
                DType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(element),
                DType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(element),
                _ => element[0],
            };
        }

        return values;
    }

    private static byte[] Encode(double[] values, DType type)
    {
        int size = type.Size();
        byte[] bytes = new byte[values.Length * size];
        for (int i = 0; i < values.Length; i++)
        {
            Span<byte> element = bytes.AsSpan(i * size, size);
            switch (type)
            {
                case DType.Float32:
                    BinaryPrimitives.WriteSingleLittleEndian(element, (float)values[i]);
                    break;
                case DType.Float64:
                    BinaryPrimitives.WriteDoubleLittleEndian(element, values[i]);
                    break;
                case DType.Float16:
                    BinaryPrimitives.WriteHalfLittleEndian(element, (Half)values[i]);
                    break;
                case DType.BFloat16:
                    BinaryPrimitives.WriteUInt16LittleEndian(element,
                        (ushort)(BitConverter.SingleToInt32Bits((float)values[i]) >> 16));
                    break;
                case DType.Int64:
                    BinaryPrimitives.WriteInt64LittleEndian(element, (long)values[i]);
                    break;
                case DType.Int32:
                    BinaryPrimitives.WriteInt32LittleEndian(element, (int)values[i]);
                    break;
                default:
                    element[0] = (byte)values[i];
                    break;
            }
        }

        return bytes;
    }
}
