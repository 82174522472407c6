using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Data;

/// <summary>
/// The order in which samples are used: each pass goes through this partition's shards in a random order and through a buffer
/// of <c>shuffle_buffer_size</c> samples, from which a random one is taken whenever a new one comes in. It depends on
/// the seed and the pass alone. A buffer of one sample keeps the order of the files.
/// </summary>
internal sealed class SampleOrder(ShardList shards, ulong seed, int bufferSize, int epochs, ReaderPosition start)
{
    /// <summary>Philox streams of the passes begin here, those of single samples' crops at the next.</summary>
    private const ulong OrderStream = 0x6F72_6465_7200_0000, CropStream = 0x6372_6F70_0000_0000;

    /// <summary>The Philox stream of one sample's own random numbers.</summary>
    public static ulong SampleStream(ReaderPosition position) =>
        CropStream + ((ulong)position.Epoch << 40) + (ulong)position.Sample;

    /// <summary>All samples from the start position on. Reads shards as it goes.</summary>
    public IEnumerable<PlannedSample> Samples()
    {
        for (int epoch = start.Epoch; epoch < epochs; epoch++)
        {
            long index = 0, skipped = epoch == start.Epoch ? start.Sample : 0;
            foreach (CaptionSample sample in Epoch(epoch))
            {
                index++;
                var position = new ReaderPosition(epoch, index);
                if (index > skipped)
                    yield return new PlannedSample(sample, position, SampleStream(position));
            }

            if (index == 0)
                throw new MdmException($"{shards.Path} lists no samples{shards.OfPartition}");
        }
    }

    private IEnumerable<CaptionSample> Epoch(int epoch)
    {
        var random = new PhiloxSequence(seed, OrderStream + (ulong)epoch);
        string[] order = [.. shards.Shards];
        if (bufferSize > 1)
            Shuffle(order, ref random);
        var buffer = new List<CaptionSample>(Math.Min(bufferSize, 1 << 16));
        foreach (CaptionSample sample in order.SelectMany(shards.Samples))
        {
            if (buffer.Count < bufferSize)
            {
                buffer.Add(sample);
                continue;
            }

            int place = random.Below(buffer.Count);
            yield return buffer[place];
            buffer[place] = sample;
        }

        CaptionSample[] rest = [.. buffer];
        if (bufferSize > 1)
            Shuffle(rest, ref random);
        foreach (CaptionSample sample in rest)
            yield return sample;
    }

    private static void Shuffle<T>(T[] items, ref PhiloxSequence random)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int j = random.Below(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }
}
