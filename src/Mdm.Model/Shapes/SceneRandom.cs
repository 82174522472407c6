namespace Mdm.Model.Shapes;

/// <summary>Random numbers for one scene: SplitMix64 (Steele, Lea and Flood 2014) started from the hash of a seed, a stream
/// and an index, so that a scene is the same on any machine and in whatever order scenes are drawn.</summary>
internal struct SceneRandom(ulong seed, ulong stream, ulong index)
{
    private const ulong Step = 0x9E3779B97F4A7C15;

    private ulong _state = Mix(Mix(Mix(seed + Step) ^ stream) + (index * Step));

    /// <summary>The finaliser of SplitMix64: a bijection of 64-bit numbers that scatters neighbours.</summary>
    public static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    public ulong Next() => Mix(_state += Step);

    /// <summary>Uniform in [0, 1).</summary>
    public double Uniform() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform in [least, most).</summary>
    public double Between(double least, double most) => least + ((most - least) * Uniform());

    /// <summary>A number within <paramref name="most"/> of zero.</summary>
    public double About(double most) => Between(-most, most);

    /// <summary>One of 0 ... count-1.</summary>
    public int Below(int count) => (int)(Uniform() * count);

    /// <summary>True in this share of the calls.</summary>
    public bool Chance(double share) => Uniform() < share;
}
