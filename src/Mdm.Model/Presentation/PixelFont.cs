using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Presentation;

/// <summary>Capital letters, digits and a few signs on a grid of 5x7 pixels: enough to label pictures without a font file.</summary>
public static class PixelFont
{
    /// <summary>Width of a character with the gap behind it, in font pixels.</summary>
    public const int Advance = 6;

    /// <summary>Height of a line without a gap, in font pixels.</summary>
    public const int Height = 7;

    private const int Columns = 5;

    // Seven rows of five columns each, the leftmost column in bit 4.
    private static readonly Dictionary<char, byte[]> s_glyphs = new()
    {
        ['A'] = [14, 17, 17, 31, 17, 17, 17],
        ['B'] = [30, 17, 17, 30, 17, 17, 30],
        ['C'] = [14, 17, 16, 16, 16, 17, 14],
        ['D'] = [30, 17, 17, 17, 17, 17, 30],
        ['E'] = [31, 16, 16, 30, 16, 16, 31],
        ['F'] = [31, 16, 16, 30, 16, 16, 16],
        ['G'] = [14, 17, 16, 23, 17, 17, 15],
        ['H'] = [17, 17, 17, 31, 17, 17, 17],
        ['I'] = [14, 4, 4, 4, 4, 4, 14],
        ['J'] = [7, 2, 2, 2, 2, 18, 12],
        ['K'] = [17, 18, 20, 24, 20, 18, 17],
        ['L'] = [16, 16, 16, 16, 16, 16, 31],
        ['M'] = [17, 27, 21, 21, 17, 17, 17],
        ['N'] = [17, 25, 21, 19, 17, 17, 17],
        ['O'] = [14, 17, 17, 17, 17, 17, 14],
        ['P'] = [30, 17, 17, 30, 16, 16, 16],
        ['Q'] = [14, 17, 17, 17, 21, 18, 13],
        ['R'] = [30, 17, 17, 30, 20, 18, 17],
        ['S'] = [15, 16, 16, 14, 1, 1, 30],
        ['T'] = [31, 4, 4, 4, 4, 4, 4],
        ['U'] = [17, 17, 17, 17, 17, 17, 14],
        ['V'] = [17, 17, 17, 17, 17, 10, 4],
        ['W'] = [17, 17, 17, 21, 21, 21, 10],
        ['X'] = [17, 17, 10, 4, 10, 17, 17],
        ['Y'] = [17, 17, 10, 4, 4, 4, 4],
        ['Z'] = [31, 1, 2, 4, 8, 16, 31],
        ['0'] = [14, 17, 19, 21, 25, 17, 14],
        ['1'] = [4, 12, 4, 4, 4, 4, 14],
        ['2'] = [14, 17, 1, 6, 8, 16, 31],
        ['3'] = [14, 17, 1, 6, 1, 17, 14],
        ['4'] = [2, 6, 10, 18, 31, 2, 2],
        ['5'] = [31, 16, 30, 1, 1, 17, 14],
        ['6'] = [6, 8, 16, 30, 17, 17, 14],
        ['7'] = [31, 1, 2, 4, 8, 8, 8],
        ['8'] = [14, 17, 17, 14, 17, 17, 14],
        ['9'] = [14, 17, 17, 15, 1, 2, 12],
        ['.'] = [0, 0, 0, 0, 0, 12, 12],
        [','] = [0, 0, 0, 0, 12, 4, 8],
        ['-'] = [0, 0, 0, 14, 0, 0, 0],
        ['\''] = [4, 4, 8, 0, 0, 0, 0],
        ['!'] = [4, 4, 4, 4, 4, 0, 4],
        ['?'] = [14, 17, 1, 2, 4, 0, 4],
        [' '] = [0, 0, 0, 0, 0, 0, 0],
    };

    /// <summary>Writes one line; what does not fit into the picture is cut off. Letters come out as capitals, unknown
    /// characters as a box.</summary>
    /// <param name="image">Drawn into.</param>
    /// <param name="x">Left edge, pixels.</param>
    /// <param name="y">Upper edge, pixels.</param>
    /// <param name="text">The line.</param>
    /// <param name="grey">Brightness of the ink.</param>
    public static void Draw(Image image, int x, int y, string text, byte grey)
    {
        foreach (char character in text.ToUpperInvariant())
        {
            byte[] glyph = s_glyphs.GetValueOrDefault(character, [31, 17, 17, 17, 17, 17, 31]);
            for (int row = 0; row < Height; row++)
                for (int column = 0; column < Columns; column++)
                    if ((glyph[row] >> (Columns - 1 - column) & 1) != 0)
                        Set(image, x + column, y + row, grey);
            x += Advance;
        }
    }

    /// <summary>Breaks a text at spaces into lines of at most that many characters; a longer word is cut.</summary>
    public static IReadOnlyList<string> Wrap(string text, int characters)
    {
        var lines = new List<string>();
        string line = "";
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            string piece = word.Length > characters ? word[..characters] : word;
            if (line.Length > 0 && line.Length + 1 + piece.Length > characters)
            {
                lines.Add(line);
                line = "";
            }

            line = line.Length == 0 ? piece : $"{line} {piece}";
        }

        if (line.Length > 0)
            lines.Add(line);
        return lines;
    }

    private static void Set(Image image, int x, int y, byte grey)
    {
        if (x >= 0 && y >= 0 && x < image.Width && y < image.Height)
            image.Rgb.AsSpan(3 * (y * image.Width + x), 3).Fill(grey);
    }
}
