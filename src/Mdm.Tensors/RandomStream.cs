using Mdm.Kernels;

namespace Mdm.Tensors;

/// <summary>A position in the Philox sequence of one (seed, stream): what draws from it advances it, so that a run can be
/// stored as three numbers and continued bit for bit.</summary>
public sealed class RandomStream(ulong seed, ulong stream)
{
    /// <summary>The stream that dropout draws from on this thread while a network computes; null: no dropout.</summary>
    [field: ThreadStatic]
    public static RandomStream? Current { get; set; }

    public RandomKey Key { get; } = new(seed, stream);

    /// <summary>Elements drawn so far.</summary>
    public long Position { get; private set; }

    /// <summary>Takes the next n elements and returns where they begin. Beginnings are multiples of 4, one Philox block.</summary>
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

    /// <summary>Uniform numbers in [0,1).</summary>
    public Tensor Uniform(IDevice device, Shape shape)
    {
        Tensor y = Tensor.Empty(device, shape);
        device.Kernels.Uniform(y.Count, Key, Take(y.Count), y.Ptr);
        return y;
    }
}
