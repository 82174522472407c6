using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Tensors.Formats;

/// <summary>The checksum of zip and PNG: the remainder of the message, a polynomial over GF(2) with its bits reflected, modulo
/// 0xEDB88320. Where the processor multiplies such polynomials, 64 bytes at a time, else eight by tables.</summary>
internal static class Crc32
{
    private const int Slices = 8, Lanes = 4;
    private static readonly uint[][] Tables = MakeTables();

    /// <summary>Continues from <paramref name="crc"/>, the checksum of what came before (0 at the start).</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        uint state = ~crc;
        if (Pclmulqdq.IsSupported && bytes.Length >= 2 * Lanes * Vector128<byte>.Count)
            state = Fold(state, ref bytes);
        return ~ByTables(state, bytes);
    }

    /// <summary>As <see cref="Append"/>, without special instructions.</summary>
    internal static uint AppendByTables(uint crc, ReadOnlySpan<byte> bytes) => ~ByTables(~crc, bytes);

    /// <summary>Replaces all but the last bytes by 16 that leave the same remainder, and returns the state after these. Moving
    /// 128 bits forward over n bits multiplies their halves by x^(n+32) and x^(n-32) modulo the polynomial (reflected, times
    /// x).</summary>
    private static uint Fold(uint state, ref ReadOnlySpan<byte> bytes)
    {
        Vector128<ulong> over512 = Vector128.Create(0x154442bd4ul, 0x1c6e41596ul);
        Vector128<ulong> over128 = Vector128.Create(0x1751997d0ul, 0x0ccaa009eul);
        ReadOnlySpan<Vector128<ulong>> blocks = MemoryMarshal.Cast<byte, Vector128<ulong>>(bytes);
        Vector128<ulong> a = blocks[0] ^ Vector128.CreateScalar((ulong)state), b = blocks[1], c = blocks[2], d = blocks[3];
        int at = Lanes;
        for (; at + Lanes <= blocks.Length; at += Lanes)
        {
            a = Move(a, over512) ^ blocks[at];
            b = Move(b, over512) ^ blocks[at + 1];
            c = Move(c, over512) ^ blocks[at + 2];
            d = Move(d, over512) ^ blocks[at + 3];
        }

        a = Move(a, over128) ^ b;
        a = Move(a, over128) ^ c;
        a = Move(a, over128) ^ d;
        bytes = bytes[(at * Vector128<byte>.Count)..];
        Span<byte> left = stackalloc byte[Vector128<byte>.Count];
        a.AsByte().CopyTo(left);
        return ByTables(0, left);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> Move(Vector128<ulong> x, Vector128<ulong> factors) =>
        Pclmulqdq.CarrylessMultiply(x, factors, 0x00) ^ Pclmulqdq.CarrylessMultiply(x, factors, 0x11);

    private static uint ByTables(uint state, ReadOnlySpan<byte> bytes)
    {
        uint[] t0 = Tables[0], t1 = Tables[1], t2 = Tables[2], t3 = Tables[3];
        uint[] t4 = Tables[4], t5 = Tables[5], t6 = Tables[6], t7 = Tables[7];
        for (; bytes.Length >= Slices; bytes = bytes[Slices..])
        {
            uint low = state ^ BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            uint high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            state = t7[low & 255] ^ t6[(low >> 8) & 255] ^ t5[(low >> 16) & 255] ^ t4[low >> 24]
                ^ t3[high & 255] ^ t2[(high >> 8) & 255] ^ t1[(high >> 16) & 255] ^ t0[high >> 24];
        }

        foreach (byte b in bytes)
            state = t0[(byte)(state ^ b)] ^ (state >> 8);
        return state;
    }

    private static uint[][] MakeTables()
    {
        var tables = new uint[Slices][];
        for (int slice = 0; slice < Slices; slice++)
        {
            tables[slice] = new uint[256];
            for (uint n = 0; n < 256; n++)
            {
                uint value = slice == 0 ? n : tables[slice - 1][n];
                for (int bit = 0; bit < 8; bit++)
                    value = (value >> 1) ^ ((value & 1) * 0xEDB88320u);
                tables[slice][n] = value;
            }
        }

        return tables;
    }
}
