namespace Mdm.Model.Diffusion;

/// <summary>The normal numbers of PyTorch's generator on a processor: the Mersenne Twister mt19937 and two ways of making normal
/// numbers of it, by how many are asked for at once.</summary>
public sealed class TorchGenerator
{
    private const int Length = 624, Middle = 397, Group = 16;

    private readonly uint[] _state = new uint[Length];
    private int _next = Length;
    private double? _spare;

    /// <param name="seed">As for <c>torch.manual_seed</c>; its lower 32 bits count.</param>
    public TorchGenerator(ulong seed)
    {
        _state[0] = (uint)seed;
        for (int i = 1; i < Length; i++)
            _state[i] = 1812433253u * (_state[i - 1] ^ _state[i - 1] >> 30) + (uint)i;
    }

    /// <summary>What <c>torch.randn</c> of so many float32 elements gives next, but for the last bit or two.</summary>
    public float[] Normal(int count)
    {
        float[] values = new float[count];
        if (count < Group)
        {
            for (int i = 0; i < count; i++)
                values[i] = (float)NextNormal();
            return values;
        }

        for (int i = 0; i < count; i++)
            values[i] = NextUniform();
        for (int i = 0; i + Group <= count; i += Group)
            Transform(values.AsSpan(i, Group));
        if (count % Group == 0)
            return values;
        // The last group overlaps the one before it, with new numbers.
        Span<float> last = values.AsSpan(count - Group);
        foreach (ref float value in last)
            value = NextUniform();
        Transform(last);
        return values;
    }

    // Box and Muller, cosines in the first half and sines in the second, in float32.
    private static void Transform(Span<float> uniform)
    {
        for (int i = 0; i < Group / 2; i++)
        {
            float radius = MathF.Sqrt(-2 * MathF.Log(1 - uniform[i])), angle = 2 * MathF.PI * uniform[i + Group / 2];
            (uniform[i], uniform[i + Group / 2]) = (radius * MathF.Cos(angle), radius * MathF.Sin(angle));
        }
    }

    // The same one number at a time in float64; every second one was made with the one before it.
    private double NextNormal()
    {
        if (_spare is { } spare)
        {
            _spare = null;
            return spare;
        }

        double first = NextDouble(), second = NextDouble();
        double radius = Math.Sqrt(-2 * double.LogP1(-second)), angle = 2 * Math.PI * first;
        _spare = radius * Math.Sin(angle);
        return radius * Math.Cos(angle);
    }

    private float NextUniform() => (Next() & 0xffffff) * (1f / (1 << 24));

    private double NextDouble()
    {
        ulong high = Next();
        return ((high << 32 | Next()) & ((1UL << 53) - 1)) * (1.0 / (1UL << 53));
    }

    private uint Next()
    {
        if (_next == Length)
        {
            for (int i = 0; i < Length; i++)
            {
                uint joined = _state[i] & 0x80000000 | _state[(i + 1) % Length] & 0x7fffffff;
                _state[i] = _state[(i + Middle) % Length] ^ joined >> 1 ^ (joined & 1) * 0x9908b0dfu;
            }

            _next = 0;
        }

        uint y = _state[_next++];
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c5680;
        y ^= y << 15 & 0xefc60000;
        return y ^ y >> 18;
    }
}
