using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>Reads and writes NumPy's .npy: floating-point arrays in C order, little-endian.</summary>
public static partial class NpyFile
{
    private static ReadOnlySpan<byte> Magic => [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    /// <summary>The array as float32 values in row-major order.</summary>
    /// <param name="bytes">The file.</param>
    /// <param name="name">For error messages.</param>
    /// <exception cref="MdmException">The file is damaged, cut short, or holds another kind of array.</exception>
    public static (long[] Shape, float[] Values) Parse(ReadOnlySpan<byte> bytes, string name)
    {
        if (bytes.Length < 12 || !bytes.StartsWith(Magic))
            throw new MdmException($"{name}: found {bytes.Length} bytes without NumPy's signature, expected a .npy file");
        // Version 1 has a 16-bit header length, later ones 32 bits.
        int start = bytes[6] == 1 ? 10 : 12;
        uint length = bytes[6] == 1
            ? BinaryPrimitives.ReadUInt16LittleEndian(bytes[8..])
            : BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]);
        if (bytes[6] is < 1 or > 3 || length > (uint)(bytes.Length - start))
            throw new MdmException(
                $"{name}: found version {bytes[6]} with a header of {length} bytes, the file has {bytes.Length}");
        Match header = Header().Match(Encoding.Latin1.GetString(bytes.Slice(start, (int)length)));
        if (!header.Success)
            throw new MdmException($"{name}: the NumPy header is damaged");
        if (header.Groups["order"].Value == "True")
            throw new MdmException($"{name}: the array is in Fortran order, expected C order");
        DType type = header.Groups["type"].Value switch
        {
            "<f2" => DType.Float16,
            "<f4" => DType.Float32,
            "<f8" => DType.Float64,
            string other => throw new MdmException($"{name}: found elements '{other}', expected <f2, <f4 or <f8"),
        };
        long[] shape = Shape(header.Groups["shape"].Value, name);
        ReadOnlySpan<byte> data = bytes[(start + (int)length)..];
        Int128 expected = shape.Aggregate((Int128)type.Size(), (product, n) => Int128.Min(product * n, long.MaxValue));
        if (data.Length != expected)
            throw new MdmException($"{name}: found {data.Length} bytes of data, expected {expected} for "
                + StoredTensor.Describe(shape));
        byte[] copy = data.ToArray();
        return (shape, new StoredTensor(name, type, shape, () => copy).ToFloats());
    }

    /// <summary>A file (version 1.0) with a matrix.</summary>
    /// <param name="rows">Its rows.</param>
    /// <param name="cols">Its columns.</param>
    /// <param name="values">Row by row.</param>
    /// <param name="half">Rounds the elements to float16, which halves the file.</param>
    /// <exception cref="MdmException">A number is beyond the range of float16.</exception>
    public static byte[] Write(int rows, int cols, ReadOnlySpan<float> values, bool half = false)
    {
        if (values.Length != (long)rows * cols)
            throw new ArgumentException($"{values.Length} numbers do not fill [{rows}, {cols}]");
        const int Start = 10, Alignment = 64;
        string header = $"{{'descr': '{(half ? "<f2" : "<f4")}', 'fortran_order': False, 'shape': ({rows}, {cols}), }}";
        // Blanks and a line end fill up to where the data are aligned.
        int length = (Start + header.Length + 1 + Alignment - 1) / Alignment * Alignment - Start;
        byte[] bytes = new byte[Start + length + values.Length * (half ? 2 : sizeof(float))];
        Magic.CopyTo(bytes);
        bytes[6] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), (ushort)length);
        Encoding.Latin1.GetBytes(header.PadRight(length - 1) + "\n").CopyTo(bytes, Start);
        Span<byte> data = bytes.AsSpan(Start + length);
        for (int i = 0; i < values.Length; i++)
        {
            if (!half)
                BinaryPrimitives.WriteSingleLittleEndian(data[(4 * i)..], values[i]);
            else if (Half.IsFinite((Half)values[i]) || !float.IsFinite(values[i]))
                BinaryPrimitives.WriteHalfLittleEndian(data[(2 * i)..], (Half)values[i]);
            else
                throw new MdmException($"found the number {values[i]:G4}, expected at most 65504, where float16 ends");
        }

        return bytes;
    }

    private static long[] Shape(string text, string name)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        long[] shape = new long[parts.Length];
        for (int i = 0; i < parts.Length; i++)
            if (parts.Length > 64 || !long.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out shape[i]))
                throw new MdmException($"{name}: found shape ({text}), expected at most 64 numbers");
        return shape;
    }

    [GeneratedRegex(@"^\{\s*'descr':\s*'(?<type>[^']{1,20})',\s*'fortran_order':\s*(?<order>True|False),\s*"
        + @"'shape':\s*\((?<shape>[0-9, ]*)\),?\s*\}\s*$")]
    private static partial Regex Header();
}
