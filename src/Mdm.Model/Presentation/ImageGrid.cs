using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Presentation;

/// <summary>Several pictures on one sheet, each with its caption below.</summary>
public static class ImageGrid
{
    private const int Margin = 8;
    private const int LineGap = 2;
    private const int MostLines = 4;
    private const byte Paper = 255;
    private const byte Ink = 40;

    /// <summary>Lays pictures out in rows, each enlarged by a whole factor so that its smaller side reaches
    /// <paramref name="leastSide"/> pixels.</summary>
    /// <param name="items">Pictures (of any sizes) and captions.</param>
    /// <param name="columns">Pictures in a row; 0: about as many columns as rows.</param>
    /// <param name="leastSide">Pixels.</param>
    public static Image Compose(IReadOnlyList<(Image Image, string Caption)> items, int columns = 0, int leastSide = 128)
    {
        if (items.Count == 0)
            throw new ArgumentException("a grid needs at least one picture");
        if (columns <= 0)
            columns = Math.Min(items.Count, Math.Max(1, (int)Math.Round(Math.Sqrt(items.Count * 1.5))));
        columns = Math.Min(columns, items.Count);
        Image[] pictures = items.Select(item => Enlarge(item.Image, leastSide)).ToArray();
        int width = pictures.Max(p => p.Width), height = pictures.Max(p => p.Height);
        IReadOnlyList<string>[] captions =
            items.Select(item => PixelFont.Wrap(item.Caption, Math.Max(1, (width + 1) / PixelFont.Advance))).ToArray();
        int lines = Math.Min(MostLines, captions.Max(c => c.Count));
        int cellWidth = width + 2 * Margin, cellHeight = height + 2 * Margin + lines * (PixelFont.Height + LineGap);
        int rows = (items.Count + columns - 1) / columns;
        var sheet = new Image(columns * cellWidth, rows * cellHeight);
        sheet.Rgb.AsSpan().Fill(Paper);
        for (int i = 0; i < items.Count; i++)
        {
            int left = i % columns * cellWidth + Margin, top = i / columns * cellHeight + Margin;
            Paste(sheet, pictures[i], left, top);
            for (int line = 0; line < Math.Min(lines, captions[i].Count); line++)
                PixelFont.Draw(sheet, left, top + height + 4 + line * (PixelFont.Height + LineGap), captions[i][line], Ink);
        }

        return sheet;
    }

    /// <summary>Pictures side by side, a little apart, each enlarged (whole pixels) to the height of the tallest.</summary>
    public static Image Row(IReadOnlyList<Image> images)
    {
        int height = images.Max(i => i.Height);
        Image[] pictures = images.Select(i => Enlarge(i, height)).ToArray();
        var sheet = new Image(pictures.Sum(p => p.Width) + Margin * (pictures.Length - 1), pictures.Max(p => p.Height));
        sheet.Rgb.AsSpan().Fill(Paper);
        int left = 0;
        foreach (Image picture in pictures)
        {
            Paste(sheet, picture, left, 0);
            left += picture.Width + Margin;
        }

        return sheet;
    }

    /// <summary>Repeats every pixel so often that the smaller side has at least <paramref name="leastSide"/> pixels.</summary>
    public static Image Enlarge(Image image, int leastSide)
    {
        int side = Math.Min(image.Width, image.Height), factor = (leastSide + side - 1) / side;
        if (factor <= 1)
            return image;
        var large = new Image(image.Width * factor, image.Height * factor);
        for (int y = 0; y < large.Height; y++)
            for (int x = 0; x < large.Width; x++)
                image.Rgb.AsSpan(3 * (y / factor * image.Width + x / factor), 3).CopyTo(large.Rgb.AsSpan(3 * (y * large.Width + x)));
        return large;
    }

    /// <summary>The cells of a picture that is a grid of side x side pictures, row by row.</summary>
    public static Image[] Cells(Image grid, int side)
    {
        int width = grid.Width / side, height = grid.Height / side;
        var cells = new Image[side * side];
        for (int i = 0; i < cells.Length; i++)
        {
            cells[i] = new Image(width, height);
            for (int y = 0; y < height; y++)
                grid.Rgb.AsSpan(3 * ((i / side * height + y) * grid.Width + i % side * width), 3 * width)
                    .CopyTo(cells[i].Rgb.AsSpan(3 * y * width));
        }

        return cells;
    }

    /// <summary>A grid of side x side times the same picture.</summary>
    public static Image Repeat(Image cell, int side)
    {
        var grid = new Image(side * cell.Width, side * cell.Height);
        for (int i = 0; i < side * side; i++)
            Paste(grid, cell, i % side * cell.Width, i / side * cell.Height);
        return grid;
    }

    private static void Paste(Image sheet, Image picture, int left, int top)
    {
        for (int y = 0; y < picture.Height; y++)
            picture.Rgb.AsSpan(3 * y * picture.Width, 3 * picture.Width).CopyTo(sheet.Rgb.AsSpan(3 * ((top + y) * sheet.Width + left)));
    }
}
