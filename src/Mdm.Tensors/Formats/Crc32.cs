using System.Buffers.Binary;

namespace Mdm.Tensors.Formats;

/// <summary>The checksum of zip and PNG (polynomial 0xEDB88320, reflected), eight bytes at a time.</summary>
internal static class Crc32
{
    private const int Slices = 8;
    private static readonly uint[][] Tables = MakeTables();

    /// <summary>Continues from <paramref name="crc"/>, the checksum of what came before (0 at the start).</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        uint[] t0 = Tables[0], t1 = Tables[1], t2 = Tables[2], t3 = Tables[3];
        uint[] t4 = Tables[4], t5 = Tables[5], t6 = Tables[6], t7 = Tables[7];
        crc = ~crc;
        for (; bytes.Length >= Slices; bytes = bytes[Slices..])
        {
            uint low = crc ^ BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            uint high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            crc = t7[low & 255] ^ t6[(low >> 8) & 255] ^ t5[(low >> 16) & 255] ^ t4[low >> 24]
                ^ t3[high & 255] ^ t2[(high >> 8) & 255] ^ t1[(high >> 16) & 255] ^ t0[high >> 24];
        }

        foreach (byte b in bytes)
            crc = t0[(byte)(crc ^ b)] ^ (crc >> 8);
        return ~crc;
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
