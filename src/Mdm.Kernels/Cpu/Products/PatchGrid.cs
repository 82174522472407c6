namespace Mdm.Kernels.Cpu.Products;

/// <summary>The pixels of images [B,Height,Width,Channels] under square patches that belong to a grid of 4x4 patches of a
/// result: patch (i, j) starts at pixel (4i + start, 4j + start). What is outside the image is at a given address.</summary>
internal unsafe struct PatchGrid(float* data, int height, int width, int channels, int start, int size, float* outside)
{
    public readonly float* Data = data;
    public readonly int Height = height;
    public readonly int Width = width;

    /// <summary>Patches of a result of this size.</summary>
    public static int Count(int batch, int height, int width) => batch * Along(height) * Along(width);

    /// <summary>The pointers to a patch's pixels, by rows. The grid is that of a result of the given size.</summary>
    public readonly void Point(int patch, int resultHeight, int resultWidth, float** places)
    {
        int across = Along(resultWidth), down = Along(resultHeight), b = patch / across / down;
        int h0 = patch / across % down * Winograd.Result + start, w0 = patch % across * Winograd.Result + start;
        for (int i = 0; i < size; i++)
        {
            bool row = (uint)(h0 + i) < (uint)Height;
            float* pixel = Data + (((long)b * Height + h0 + i) * Width + w0) * channels;
            for (int j = 0; j < size; j++, pixel += channels)
                places[i * size + j] = row && (uint)(w0 + j) < (uint)Width ? pixel : outside;
        }
    }

    private static int Along(int length) => (length + Winograd.Result - 1) / Winograd.Result;
}
