namespace Mdm.Tensors;

/// <summary>The sizes of a tensor, slowest dimension first. Images are [B,H,W,C].</summary>
public readonly struct Shape : IEquatable<Shape>
{
    private readonly int[] _sizes;

    /// <exception cref="ArgumentException">A size is negative.</exception>
    public Shape(params ReadOnlySpan<int> sizes)
    {
        foreach (int size in sizes)
            if (size < 0)
                throw new ArgumentException($"a tensor cannot have the shape [{string.Join(", ", sizes.ToArray())}]");
        _sizes = sizes.ToArray();
    }

    public int Rank => _sizes.Length;

    /// <summary>The size of dimension i; negative i count from the end.</summary>
    public int this[int i] => _sizes[i < 0 ? i + _sizes.Length : i];

    /// <summary>The number of elements.</summary>
    public long Count
    {
        get
        {
            long count = 1;
            foreach (int size in _sizes)
                count *= size;
            return count;
        }
    }

    public int[] ToArray() => (int[])_sizes.Clone();

    /// <summary>The same shape with dimension i replaced.</summary>
    public Shape With(int i, int size)
    {
        int[] sizes = ToArray();
        sizes[i < 0 ? i + sizes.Length : i] = size;
        return new Shape(sizes);
    }

    public bool Equals(Shape other) => _sizes.AsSpan().SequenceEqual(other._sizes);

    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (int size in _sizes)
            hash.Add(size);
        return hash.ToHashCode();
    }

    public static bool operator ==(Shape a, Shape b) => a.Equals(b);

    public static bool operator !=(Shape a, Shape b) => !a.Equals(b);

    public override string ToString() => $"[{string.Join(", ", _sizes)}]";
}
