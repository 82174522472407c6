using Mdm.Kernels;

namespace Mdm.Tensors.Checks;

/// <summary>
/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011), written for clarity. Element
/// i of a sequence is word i mod 4 of the block whose counter is (i div 4, stream), under the key seed; all 64-bit numbers
/// are two words, low word first.
/// </summary>
public static class PhiloxReference
{
    /// <summary>One block: four words from a counter of four words and a key of two.</summary>
    public static uint[] Block(uint[] counter, uint[] key)
    {
        (uint a, uint b, uint c, uint d) = (counter[0], counter[1], counter[2], counter[3]);
        (uint k, uint l) = (key[0], key[1]);
        for (int round = 0; round < 10; round++)
        {
            ulong first = 0xD2511F53UL * a, second = 0xCD9E8D57UL * c;
            (a, b, c, d) = ((uint)(second >> 32) ^ b ^ k, (uint)second, (uint)(first >> 32) ^ d ^ l, (uint)first);
            k += 0x9E3779B9;
            l += 0xBB67AE85;
        }

        return [a, b, c, d];
    }

    /// <summary>Words offset..offset+n-1 of a sequence.</summary>
    public static uint[] Words(int n, RandomKey key, long offset)
    {
        uint[] words = new uint[n];
        for (int i = 0; i < n; i++)
        {
            ulong block = (ulong)(offset + i) / 4;
            words[i] = Block([(uint)block, (uint)(block >> 32), (uint)key.Stream, (uint)(key.Stream >> 32)],
                [(uint)key.Seed, (uint)(key.Seed >> 32)])[(offset + i) % 4];
        }

        return words;
    }

    /// <summary>The upper 24 bits of each word as a fraction.</summary>
    public static double[] Uniform(int n, RandomKey key, long offset) =>
        Array.ConvertAll(Words(n, key, offset), word => (word >> 8) / 16777216.0);

    /// <summary>Box and Muller: words (0, 1) and (2, 3) of a block give u = (upper 24 bits + 1)·2⁻²⁴ and an angle of 2π·(upper 24
    /// bits)·2⁻²⁴, and so two numbers √(-2 ln u)·(cos, sin).</summary>
    public static double[] Normal(int n, RandomKey key, long offset)
    {
        long first = offset / 2 * 2;
        uint[] words = Words((int)(offset - first) + n + 1, key, first);
        double[] normal = new double[n];
        for (int i = 0; i < n; i++)
        {
            int at = (int)(offset - first) + i, pair = at / 2 * 2;
            double radius = Math.Sqrt(-2 * Math.Log(((words[pair] >> 8) + 1) / 16777216.0));
            double angle = 2 * Math.PI * (words[pair + 1] >> 8) / 16777216.0;
            normal[i] = radius * (at == pair ? Math.Cos(angle) : Math.Sin(angle));
        }

        return normal;
    }
}
