using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors;

namespace Mdm.Model.Text.T5;

/// <summary>Features of captions that were seen before, on the device; the one not asked for longest goes first.</summary>
/// <param name="width">Numbers per token.</param>
/// <param name="mostBytes">How much is kept.</param>
internal sealed class FeatureCache(int width, long mostBytes = 128L << 20) : IDisposable
{
    private readonly Dictionary<int[], LinkedListNode<(int[] Caption, Tensor Features)>> _known = new(new TokenComparer());
    private readonly LinkedList<(int[] Caption, Tensor Features)> _byUse = new();
    private long _bytes;

    /// <summary>The features [tokens,width] of every caption that occurs, those not known from <paramref name="encode"/>, which
    /// gets each of them once. They last at least until the next call.</summary>
    /// <param name="captions">Token numbers; may repeat.</param>
    /// <param name="encode">Computes features [captions,N,width], N at least the longest one's length.</param>
    public Dictionary<int[], Tensor> Take(IReadOnlyList<int[]> captions, Func<IReadOnlyList<int[]>, Tensor> encode)
    {
        Shrink();
        var wanted = new Dictionary<int[], Tensor>(new TokenComparer());
        var missing = new List<int[]>();
        foreach (int[] caption in captions)
        {
            if (wanted.ContainsKey(caption))
                continue;
            bool known = _known.TryGetValue(caption, out LinkedListNode<(int[] Caption, Tensor Features)>? node);
            wanted.Add(caption, known ? node!.Value.Features : null!);
            if (!known)
            {
                missing.Add(caption);
                continue;
            }

            _byUse.Remove(node!);
            _byUse.AddLast(node!);
        }

        if (missing.Count == 0)
            return wanted;
        using Scope scope = Scope.Enter();
        Tensor found = encode(missing);
        for (int i = 0; i < missing.Count; i++)
            wanted[missing[i]] = Keep(missing[i], found, i);
        return wanted;
    }

    /// <summary>Whether captions are few enough to be kept all at once.</summary>
    public bool HasRoomFor(IEnumerable<int[]> captions)
    {
        long tokens = captions.Distinct(new TokenComparer()).Sum(caption => (long)Math.Max(1, caption.Length));
        return tokens * width * sizeof(float) <= mostBytes;
    }

    public void Dispose()
    {
        foreach ((_, Tensor features) in _byUse)
            features.Dispose();
        _byUse.Clear();
        _known.Clear();
    }

    private Tensor Keep(int[] caption, Tensor found, int index)
    {
        var shape = new Shape(Math.Max(1, caption.Length), width);
        Tensor features = Scope.Detach(Tensor.Empty(found.Device, shape));
        Ptr from = found.Ptr + (long)index * found.Shape[1] * width;
        found.Kernels.CopyRows(shape[0], width, new Rows(from, width), new RowsTarget(features.Ptr, width, false));
        _known.Add(caption, _byUse.AddLast((caption, features)));
        _bytes += features.Count * sizeof(float);
        return features;
    }

    // Before a call, not in it: what was handed out must stay until its reader is done.
    private void Shrink()
    {
        while (_bytes > mostBytes && _byUse.First is { } oldest)
        {
            _byUse.RemoveFirst();
            _known.Remove(oldest.Value.Caption);
            _bytes -= oldest.Value.Features.Count * sizeof(float);
            oldest.Value.Features.Dispose();
        }
    }

    private sealed class TokenComparer : IEqualityComparer<int[]>
    {
        public bool Equals(int[]? a, int[]? b) => a.AsSpan().SequenceEqual(b);

        public int GetHashCode(int[] tokens)
        {
            HashCode hash = default;
            hash.AddBytes(MemoryMarshal.AsBytes(tokens.AsSpan()));
            return hash.ToHashCode();
        }
    }
}
