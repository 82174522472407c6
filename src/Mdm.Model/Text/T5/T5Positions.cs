namespace Mdm.Model.Text.T5;

/// <summary>T5's relative positions: distances are put into buckets, exact ones for near tokens and ever wider ones for far
/// ones, and each bucket has a learned bias for every head.</summary>
internal static class T5Positions
{
    /// <summary>The bucket of a distance, key position minus query position, with attention in both directions. Of the n =
    /// buckets/2 for each direction, the first n/2 hold one distance each, the others grow to <paramref name="maxDistance"/>
    /// with the logarithm.</summary>
    public static int Bucket(int distance, int buckets, int maxDistance)
    {
        int n = buckets / 2, exact = n / 2, d = Math.Abs(distance);
        int direction = distance > 0 ? n : 0;
        if (d < exact)
            return direction + d;
        int wide = exact + (int)(Math.Log((double)d / exact) / Math.Log((double)maxDistance / exact) * (n - exact));
        return direction + Math.Min(wide, n - 1);
    }

    /// <summary>bias[h,q,k] = table[bucket(k-q), h], which is added to the scores of every layer.</summary>
    /// <param name="config">Heads and buckets.</param>
    /// <param name="table">[buckets, heads].</param>
    /// <param name="length">Tokens.</param>
    /// <returns>[heads, length, length], row by row.</returns>
    public static float[] Bias(T5Config config, ReadOnlySpan<float> table, int length)
    {
        float[] bias = new float[checked(config.Heads * length * length)];
        float[] byDistance = new float[2 * length - 1];
        for (int head = 0; head < config.Heads; head++)
        {
            for (int i = 0; i < byDistance.Length; i++)
                byDistance[i] = table[Bucket(i - (length - 1), config.Buckets, config.MaxDistance) * config.Heads + head];
            for (int query = 0; query < length; query++)
                byDistance.AsSpan(length - 1 - query, length).CopyTo(bias.AsSpan((head * length + query) * length));
        }

        return bias;
    }
}
