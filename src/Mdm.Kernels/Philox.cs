namespace Mdm.Kernels;

/// <summary>
/// The generator behind every random number here, for the few that the host needs itself: Philox4x32-10 (Salmon et al., 2011,
/// doi 10.1145/2063384.2063405). Element i is word i mod 4 of the block whose counter is (i/4, stream) under the key seed.
/// </summary>
public static class Philox
{
    private const uint Multiplier0 = 0xD2511F53, Multiplier1 = 0xCD9E8D57;
    private const uint Weyl0 = 0x9E3779B9, Weyl1 = 0xBB67AE85;
    private const int Rounds = 10;

    /// <summary>Element <paramref name="index"/> as 32 random bits.</summary>
    public static uint Bits(RandomKey key, long index)
    {
        (uint a, uint b, uint c, uint d) = Block(key, (ulong)index / 4);
        return (index & 3) switch { 0 => a, 1 => b, 2 => c, _ => d };
    }

    /// <summary>Element <paramref name="index"/> of the uniform numbers in [0,1): the upper 24 bits.</summary>
    public static float Uniform(RandomKey key, long index) => (Bits(key, index) >> 8) * (1f / (1 << 24));

    private static (uint A, uint B, uint C, uint D) Block(RandomKey key, ulong counter)
    {
        uint a = (uint)counter, b = (uint)(counter >> 32), c = (uint)key.Stream, d = (uint)(key.Stream >> 32);
        uint k0 = (uint)key.Seed, k1 = (uint)(key.Seed >> 32);
        for (int round = 0; round < Rounds; round++)
        {
            ulong p0 = (ulong)Multiplier0 * a, p1 = (ulong)Multiplier1 * c;
            (a, b, c, d) = ((uint)(p1 >> 32) ^ b ^ k0, (uint)p1, (uint)(p0 >> 32) ^ d ^ k1, (uint)p0);
            k0 += Weyl0;
            k1 += Weyl1;
        }

        return (a, b, c, d);
    }
}
