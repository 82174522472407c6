using System.Collections.Concurrent;
using Mdm.Kernels;
using Mdm.Model.Text;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Data;

/// <summary>A sample ready for a batch.</summary>
/// <param name="Pixels">RGB bytes [side,side,3].</param>
/// <param name="OriginalSide">The picture's smaller side before resizing.</param>
/// <param name="Caption">As in the data set.</param>
/// <param name="Tokens">Not padded.</param>
/// <param name="Features">Text features [tokens, width] computed beforehand, if wanted.</param>
internal sealed record LoadedSample(byte[] Pixels, int OriginalSide, string Caption, int[] Tokens, TextArray? Features);

/// <summary>Text features of one caption.</summary>
/// <param name="Tokens">Rows.</param>
/// <param name="Width">Columns.</param>
/// <param name="Values">Row by row.</param>
internal sealed record TextArray(int Tokens, int Width, float[] Values);

/// <summary>A sample, or why there is none.</summary>
internal readonly record struct LoadResult(LoadedSample? Sample, CaptionFate Fate, string? Problem);

/// <summary>Reads, decodes, resizes, crops and tokenises single samples, on many threads at once. Resized pictures are kept
/// while there is room.</summary>
internal sealed class SampleLoader(DatasetOptions options, ShardList shards, ArchiveCache archives)
{
    private readonly ConcurrentDictionary<(string Tar, string File), (Image Image, int OriginalSide)> _pictures = new();
    private long _cachedBytes;

    /// <summary>Never throws for what is wrong with the sample itself.</summary>
    public LoadResult Load(in PlannedSample planned)
    {
        CaptionSample source = planned.Source;
        int[] tokens = [];
        CaptionFate fate = options.Tokenizer?.EncodeCaption(source.Caption, out tokens) ?? CaptionFate.Kept;
        if (fate != CaptionFate.Kept)
            return new LoadResult(null, fate, null);
        try
        {
            (Image image, int originalSide) = FindPicture(source, planned.Random);
            TextArray? features = options.PrecomputedText ? ReadFeatures(source) : null;
            return new LoadResult(new LoadedSample(image.Rgb, originalSide, source.Caption, tokens, features), fate, null);
        }
        catch (MdmException e)
        {
            return new LoadResult(null, fate, $"{source.File} in {source.Tar}: {e.Message}");
        }
    }

    /// <summary>The square picture [side,side,3] and the smaller side of the original. What is kept in memory is the square,
    /// or, where it is cut at random, the whole picture.</summary>
    private (Image Image, int OriginalSide) FindPicture(CaptionSample source, ulong stream)
    {
        (string, string) key = (source.Tar, source.File);
        if (!_pictures.TryGetValue(key, out (Image Image, int OriginalSide) picture))
        {
            Image whole = ImageFile.Decode(archives.Read(shards.Resolve(source.Tar), source.File));
            picture = (options.Reader.RandomCrop ? whole : Square(whole, null), Math.Min(whole.Width, whole.Height));
            Keep(key, picture);
        }

        if (!options.Reader.RandomCrop)
            return picture;
        var random = new PhiloxSequence(options.Seed, stream);
        return (Square(picture.Image, count => random.Below(count)), picture.OriginalSide);
    }

    private Image Square(Image image, Func<int, int>? random) =>
        ImagePreparation.ResizeAndCrop(image, options.Reader.ImageSize, random, options.Reader.SmallerSide);

    private void Keep((string Tar, string File) key, (Image Image, int OriginalSide) picture)
    {
        int bytes = picture.Image.Rgb.Length;
        if (Interlocked.Add(ref _cachedBytes, bytes) <= options.CacheBytes)
            _pictures[key] = picture;
        else
            Interlocked.Add(ref _cachedBytes, -bytes);
    }

    private TextArray ReadFeatures(CaptionSample source)
    {
        if (source.TextTar is not { Length: > 0 } tar || source.TextFile is not { Length: > 0 } file)
            throw new MdmException("there are no text features: the columns text_tar and text_file are missing or empty");
        (long[] shape, float[] values) = NpyFile.Parse(archives.Read(shards.Resolve(tar), file), file);
        return shape.Length == 2 || (shape.Length == 3 && shape[0] == 1)
            ? new TextArray((int)shape[^2], (int)shape[^1], values)
            : throw new MdmException($"{file}: found the shape [{string.Join(", ", shape)}], expected [tokens, width]");
    }
}
