using System.Runtime.Intrinsics;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>From a picture of any size to a square one, as training takes it.</summary>
public static class ImagePreparation
{
    /// <summary>Resizes so that the smaller side becomes <paramref name="size"/> and cuts out a square of it.
    /// The filter is a triangle (bilinear) on pixel centres; when shrinking it is as wide as the pixels it merges, so that
    /// nothing flickers or aliases. This is what Pillow calls BILINEAR, but in one rounding instead of two. Only the pixels of
    /// the square are computed.</summary>
    /// <param name="image">The picture.</param>
    /// <param name="size">Side of the result, pixels.</param>
    /// <param name="random">For a random crop: gives an integer from 0 to below its argument. Null: the centre.</param>
    /// <param name="smallerSide">Length of the smaller side before cutting, at least <paramref name="size"/>; 0: the
    /// same.</param>
    /// <exception cref="MdmException">The size is not positive, or the smaller side is smaller than it.</exception>
    public static Image ResizeAndCrop(Image image, int size, Func<int, int>? random = null, int smallerSide = 0)
    {
        if (smallerSide == 0)
            smallerSide = size;
        if (size < 1)
            throw new MdmException($"found image size {size}, expected at least 1");
        if (smallerSide < size)
            throw new MdmException($"found smaller side {smallerSide}, expected at least the image size {size}");
        int smaller = Math.Min(image.Width, image.Height);
        int width = Scaled(image.Width, smallerSide, smaller), height = Scaled(image.Height, smallerSide, smaller);
        int left = random == null ? (width - size) / 2 : random(width - size + 1);
        int top = random == null ? (height - size) / 2 : random(height - size + 1);
        Taps[] columns = Window(image.Width, width, left, size);
        Taps[] rows = Window(image.Height, height, top, size);
        return Resample(image, columns, rows);
    }

    private static int Scaled(int extent, int size, int smaller) =>
        (int)Math.Clamp(Math.Round((double)extent * size / smaller, MidpointRounding.AwayFromZero), size, int.MaxValue / 2);

    /// <summary>The weights of source pixels First, First + 1, .. in one pixel of the result; they add up to 1.</summary>
    private readonly record struct Taps(int First, float[] Weights);

    private static Taps[] Window(int from, int to, int start, int count)
    {
        double scale = (double)from / to, reach = Math.Max(1, scale);
        var taps = new Taps[count];
        for (int i = 0; i < count; i++)
        {
            double centre = (start + i + 0.5) * scale;
            int first = Math.Clamp((int)Math.Floor(centre - reach), 0, from - 1);
            int end = Math.Clamp((int)Math.Ceiling(centre + reach), first + 1, from);
            double[] weights = [.. Enumerable.Range(first, end - first)
                .Select(pixel => Math.Max(0, 1 - Math.Abs(pixel + 0.5 - centre) / reach))];
            double sum = weights.Sum();
            taps[i] = new Taps(first, Array.ConvertAll(weights, weight => (float)(weight / sum)));
        }

        return taps;
    }

    /// <summary>Rows first, as they are next to each other in memory, then columns.</summary>
    private static Image Resample(Image image, Taps[] columns, Taps[] rows)
    {
        int left = columns[0].First, right = columns[^1].First + columns[^1].Weights.Length;
        float[] merged = new float[3 * (right - left)];
        var result = new Image(columns.Length, rows.Length);
        int to = 0;
        foreach (Taps row in rows)
        {
            Array.Clear(merged);
            for (int i = 0; i < row.Weights.Length; i++)
                AddScaled(image.Rgb.AsSpan(3 * ((row.First + i) * image.Width + left), merged.Length), row.Weights[i], merged);
            foreach (Taps column in columns)
            {
                (float red, float green, float blue) = (0.5f, 0.5f, 0.5f);
                int from = 3 * (column.First - left);
                foreach (float weight in column.Weights)
                {
                    red += weight * merged[from];
                    green += weight * merged[from + 1];
                    blue += weight * merged[from + 2];
                    from += 3;
                }

                result.Rgb[to++] = (byte)Math.Min(red, 255);
                result.Rgb[to++] = (byte)Math.Min(green, 255);
                result.Rgb[to++] = (byte)Math.Min(blue, 255);
            }
        }

        return result;
    }

    private static void AddScaled(ReadOnlySpan<byte> pixels, float weight, Span<float> sums)
    {
        int i = 0, step = Vector256<float>.Count;
        for (; i <= sums.Length - step; i += step)
        {
            Vector64<byte> bytes = Vector64.Create(pixels.Slice(i, step));
            Vector128<short> words = Vector128.WidenLower(bytes.ToVector128Unsafe()).AsInt16();
            var integers = Vector256.Create(Vector128.WidenLower(words), Vector128.WidenUpper(words));
            Vector256<float> sum = Vector256.Create<float>(sums.Slice(i, step)) + weight * Vector256.ConvertToSingle(integers);
            sum.CopyTo(sums[i..]);
        }

        for (; i < sums.Length; i++)
            sums[i] += weight * pixels[i];
    }
}
