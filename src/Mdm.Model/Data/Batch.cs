using Mdm.Kernels;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Data;

/// <summary>Samples that are trained on together, on the host.</summary>
public sealed class Batch
{
    private readonly byte[] _pixels;
    private readonly TextArray?[] _features;

    internal Batch(IReadOnlyList<LoadedSample> samples, int side, ReaderPosition next)
    {
        Side = side;
        Next = next;
        Captions = samples.Select(s => s.Caption).ToArray();
        Tokens = samples.Select(s => s.Tokens).ToArray();
        OriginalSides = samples.Select(s => (float)s.OriginalSide).ToArray();
        _features = samples.Select(s => s.Features).ToArray();
        int inner = side * side * 3;
        _pixels = new byte[samples.Count * inner];
        for (int i = 0; i < samples.Count; i++)
            samples[i].Pixels.CopyTo(_pixels, i * inner);
    }

    public int Count => Captions.Count;

    /// <summary>Height and width of the images.</summary>
    public int Side { get; }

    /// <summary>RGB bytes [B,Side,Side,3].</summary>
    public ReadOnlySpan<byte> Pixels => _pixels;

    /// <summary>As the data set has them, without added spaces.</summary>
    public IReadOnlyList<string> Captions { get; }

    /// <summary>Token numbers of each caption, not padded; empty without a tokenizer.</summary>
    public IReadOnlyList<int[]> Tokens { get; }

    /// <summary>Smaller side of each picture before it was resized, in pixels: the micro-condition <c>scale</c>.</summary>
    public IReadOnlyList<float> OriginalSides { get; }

    /// <summary>Where reading goes on behind this batch.</summary>
    public ReaderPosition Next { get; }

    /// <summary>The images as a network sees them: [B,Side,Side,3], (byte - 127) / 128.</summary>
    public Tensor Images(IDevice device)
    {
        float[] values = new float[_pixels.Length];
        for (int i = 0; i < values.Length; i++)
            values[i] = (_pixels[i] - 127) * (1f / 128);
        return Tensor.From(device, values, new Shape(Count, Side, Side, 3));
    }

    /// <summary><see cref="OriginalSides"/> as a tensor [B].</summary>
    public Tensor Scales(IDevice device) => Tensor.From(device, OriginalSides.ToArray(), new Shape(Count));

    /// <summary>The text features computed beforehand, padded with zeros to the longest, and their mask.</summary>
    /// <param name="device">Where to.</param>
    /// <param name="dropped">Per sample: leave its text out.</param>
    /// <param name="empty">Features of the empty caption, in place of those left out; null: zeros, and masked.</param>
    internal TextFeatures Features(IDevice device, IReadOnlyList<bool> dropped, TextArray? empty = null)
    {
        int width = _features[0]!.Width;
        TextArray[] used = _features.Select((own, i) => dropped[i] && empty != null ? empty : own!).ToArray();
        int length = Math.Max(1, used.Max(f => f.Tokens));
        float[] values = new float[Count * length * width], mask = new float[Count * length];
        for (int i = 0; i < Count; i++)
        {
            TextArray own = used[i];
            if (own.Width != width)
                throw new MdmException($"text features have the widths {width} and {own.Width}, expected one width");
            if (dropped[i] && empty == null)
                continue;
            own.Values.CopyTo(values, i * length * width);
            mask.AsSpan(i * length, own.Tokens).Fill(1);
        }

        return new TextFeatures(
            Tensor.From(device, values, new Shape(Count, length, width)), Tensor.From(device, mask, new Shape(Count, length)));
    }
}
