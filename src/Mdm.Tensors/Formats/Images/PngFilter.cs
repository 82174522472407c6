using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>The five predictions of a PNG row from its left neighbour (a), the row above (b) and the one left of that
/// (c).</summary>
internal static class PngFilter
{
    public const int Count = 5;

    /// <summary>Turns a stored row into its bytes, in place. <paramref name="above"/> is zero for the first row.</summary>
    public static void Undo(int filter, Span<byte> row, ReadOnlySpan<byte> above, int bytesPerPixel)
    {
        int n = bytesPerPixel;
        switch (filter)
        {
            case 0:
                break;
            case 1:
                for (int i = n; i < row.Length; i++)
                    row[i] += row[i - n];
                break;
            case 2:
                for (int i = 0; i < row.Length; i++)
                    row[i] += above[i];
                break;
            case 3:
                for (int i = 0; i < row.Length; i++)
                    row[i] += (byte)(((i < n ? 0 : row[i - n]) + above[i]) >> 1);
                break;
            case 4:
                for (int i = 0; i < row.Length; i++)
                    row[i] += i < n ? above[i] : Paeth(row[i - n], above[i], above[i - n]);
                break;
            default:
                throw new MdmException($"PNG: found row filter {filter}, expected 0 to 4");
        }
    }

    /// <summary>Writes the differences that <see cref="Undo"/> turns back into <paramref name="row"/>.</summary>
    public static void Apply(int filter, ReadOnlySpan<byte> row, ReadOnlySpan<byte> above, int bytesPerPixel, Span<byte> result)
    {
        int n = bytesPerPixel;
        for (int i = 0; i < row.Length; i++)
        {
            byte a = i < n ? (byte)0 : row[i - n];
            byte b = above[i];
            byte c = i < n ? (byte)0 : above[i - n];
            int prediction = filter switch
            {
                0 => 0,
                1 => a,
                2 => b,
                3 => (a + b) >> 1,
                _ => Paeth(a, b, c),
            };
            result[i] = (byte)(row[i] - prediction);
        }
    }

    /// <summary>The neighbour nearest to a + b - c; among equals a before b before c.</summary>
    private static byte Paeth(byte a, byte b, byte c)
    {
        int toA = Math.Abs(b - c), toB = Math.Abs(a - c), toC = Math.Abs(a + b - 2 * c);
        return toA <= toB && toA <= toC ? a : toB <= toC ? b : c;
    }
}
