using System.Buffers.Binary;
using Mdm.Kernels;

namespace Mdm.Tensors.Checks;

/// <summary>What an operand is, and so which type it has when an operation is checked in bfloat16.</summary>
public enum CaseRole
{
    /// <summary>Has the type that is checked, and so has its gradient.</summary>
    Activation,

    /// <summary>A parameter that activations are multiplied with: read in the type that is checked, its gradient float32.</summary>
    Matrix,

    /// <summary>Has one type always: biases, norms' weights, masks, numbers per sample, ids.</summary>
    Fixed,
}

/// <summary>One operand of an <see cref="OperationCase"/>: its name in messages, shape, role, type, values, and whether a gradient
/// with respect to it is checked. The values can be represented exactly in the type.</summary>
public sealed class CaseInput
{
    private readonly Func<Random, int, double> _draw;

    private CaseInput(
        string name, Shape shape, CaseRole role, DType type, bool differentiable, Func<Random, int, double> draw)
    {
        Name = name;
        Shape = shape;
        Role = role;
        Type = type;
        IsDifferentiable = differentiable;
        _draw = draw;
    }

    public string Name { get; }

    public Shape Shape { get; }

    public CaseRole Role { get; }

    /// <summary>When checked in float32, and always for <see cref="CaseRole.Fixed"/>.</summary>
    public DType Type { get; }

    public bool IsDifferentiable { get; }

    /// <summary>A variable: uniform numbers in [low, high), with a gradient.</summary>
    public static CaseInput Variable(string name, Shape shape, double low = -1, double high = 1) =>
        Uniform(name, shape, CaseRole.Activation, true, low, high);

    /// <summary>A parameter that activations are multiplied with.</summary>
    public static CaseInput Matrix(string name, Shape shape, double low = -1, double high = 1) =>
        Uniform(name, shape, CaseRole.Matrix, true, low, high);

    /// <summary>A float32 parameter such as a bias.</summary>
    public static CaseInput Vector(string name, Shape shape, double low = -1, double high = 1) =>
        Uniform(name, shape, CaseRole.Fixed, true, low, high);

    /// <summary>Uniform numbers without a gradient.</summary>
    public static CaseInput Constant(string name, Shape shape, double low = -1, double high = 1) =>
        Uniform(name, shape, CaseRole.Activation, false, low, high);

    /// <summary>Uniform float32 numbers, one per sample, without a gradient.</summary>
    public static CaseInput Coefficients(string name, Shape shape, double low = -1, double high = 1) =>
        Uniform(name, shape, CaseRole.Fixed, false, low, high);

    /// <summary>Given numbers, without a gradient; repeated until the shape is full.</summary>
    public static CaseInput Values(string name, Shape shape, DType type, params double[] values) =>
        new(name, shape, CaseRole.Fixed, type, false,
            (_, i) => type == DType.Float32 ? (float)values[i % values.Length] : values[i % values.Length]);

    /// <summary>A key mask: 1 where the key takes part.</summary>
    public static CaseInput Mask(string name, Shape shape, params double[] values) => Values(name, shape, DType.Float32, values);

    private static CaseInput Uniform(string name, Shape shape, CaseRole role, bool differentiable, double low, double high) =>
        new(name, shape, role, DType.Float32, differentiable,
            (random, _) => (float)(low + (high - low) * random.NextDouble()));

    /// <summary>The type that the operand is read in when the case is checked in <paramref name="type"/>.</summary>
    public DType TypeIn(DType type) => Role == CaseRole.Fixed ? Type : type;

    /// <summary>The operand's numbers, rounded so that <see cref="TypeIn"/> holds them exactly.</summary>
    public double[] Draw(Random random, DType type)
    {
        bool rounded = TypeIn(type) == DType.BFloat16;
        double[] values = new double[Shape.Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = rounded ? ToBFloat16(_draw(random, i)) : _draw(random, i);
        return values;
    }

    /// <summary>The operand on a device.</summary>
    public Tensor Place(IDevice device, double[] values, DType type)
    {
        DType own = TypeIn(type);
        if (Role != CaseRole.Matrix || own == DType.Float32)
            return Tensor.FromBytes(device, Encode(values, own), Shape, own);
        Tensor copy = Tensor.FromBytes(device, Encode(values, own), Shape, own);
        return Tensor.FromBytes(device, Encode(values, DType.Float32), Shape, DType.Float32).WithCopy(copy);
    }

    /// <summary>To nearest, ties to even: half a unit in the last place, plus the last bit that stays, minus a little.</summary>
    public static double ToBFloat16(double value)
    {
        uint bits = BitConverter.SingleToUInt32Bits((float)value);
        bits += 0x7fff + (bits >> 16 & 1);
        return BitConverter.UInt32BitsToSingle(bits & 0xffff0000);
    }

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

    /// <summary>Numbers in the binary form of a type that holds them exactly.</summary>
    internal static byte[] Encode(double[] values, DType type)
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
