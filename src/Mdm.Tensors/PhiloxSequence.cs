using Mdm.Kernels;

namespace Mdm.Tensors;

/// <summary>Random numbers one after the other for decisions that the host makes: the order of samples, crops, which captions
/// are left out. The same Philox numbers as those of a <see cref="RandomStream"/> of this seed and stream.</summary>
public struct PhiloxSequence(ulong seed, ulong stream, long position = 0)
{
    /// <summary>How many 32-bit numbers lie before the next one.</summary>
    public long Position { get; private set; } = position;

    /// <summary>The next 32 random bits.</summary>
    public uint Next() => Philox.Bits(new RandomKey(seed, stream), Position++);

    /// <summary>Uniform in [0,1): multiples of 2^-32.</summary>
    public double Uniform() => Next() * (1.0 / (1L << 32));

    /// <summary>One of 0 ... count-1, all equally likely within count·2^-32.</summary>
    public int Below(int count) => (int)((ulong)Next() * (uint)count >> 32);

    /// <summary>A standard normal number (Box and Muller); takes two numbers.</summary>
    public double Normal()
    {
        double radius = Math.Sqrt(-2 * Math.Log((Next() + 1.0) / (1L << 32)));
        return radius * Math.Cos(2 * Math.PI * Uniform());
    }
}
