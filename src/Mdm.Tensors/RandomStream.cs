using Mdm.Kernels;

namespace Mdm.Tensors;

/// <summary>A position in the Philox sequence of one (seed, stream): what draws from it advances it, so that a run can be
/// stored as three numbers and continued bit for bit.</summary>
public sealed class RandomStream(ulong seed, ulong stream)
{
    /// <summary>The stream that dropout draws from on this thread while a network computes; null: no dropout.</summary>
    [field: ThreadStatic]
    public static RandomStream? Current { get; set; }

    /// <summary>Seed and stream, as kernels take them.</summary>
    public RandomKey Key { get; } = new(seed, stream);

    /// <summary>Elements drawn so far.</summary>
    public long Position { get; private set; }

    /// <summary>Takes the next n elements and returns where they begin. Beginnings are multiples of 4, one Philox
    /// block.</summary>
    public long Take(long n)
    {
        long start = Position;
        Position += (n + 3) / 4 * 4;
        return start;
    }

    /// <summary>Goes to another position and returns the one before.</summary>
    public long Rewind(long position)
    {
        long before = Position;
        Position = position;
        return before;
    }

    /// <summary>Standard normal numbers.</summary>
    public Tensor Normal(IDevice device, Shape shape)
    {
        Tensor y = Tensor.Empty(device, shape);
        device.Kernels.Normal(y.Count, Key, Take(y.Count), y.Ptr);
        return y;
    }

    /// <summary>Standard normal numbers, sample i from stream i, so that a sample's numbers do not depend on its batch.</summary>
    public static Tensor Normal(IDevice device, Shape shape, IReadOnlyList<RandomStream> streams)
    {
        if (streams.Count != shape[0])
            throw new ArgumentException($"{streams.Count} random streams for a batch of {shape[0]}");
        Tensor y = Tensor.Empty(device, shape);
        long inner = y.Count / Math.Max(1, shape[0]);
        for (int i = 0; i < streams.Count; i++)
            device.Kernels.Normal(inner, streams[i].Key, streams[i].Take(inner), y.Ptr + i * inner);
        return y;
    }

    /// <summary>Integers in 0..limit-1, drawn on the host (limit up to 2^24).</summary>
    public int[] Integers(int count, int limit)
    {
        long start = Take(count);
        int[] values = new int[count];
        for (int i = 0; i < count; i++)
            values[i] = Math.Min(limit - 1, (int)((double)Philox.Uniform(Key, start + i) * limit));
        return values;
    }

    /// <summary>Uniform numbers in [0,1).</summary>
    public Tensor Uniform(IDevice device, Shape shape)
    {
        Tensor y = Tensor.Empty(device, shape);
        device.Kernels.Uniform(y.Count, Key, Take(y.Count), y.Ptr);
        return y;
    }
}
