using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Sampling;

/// <summary>A kind of picture that a prompt is put into words for.</summary>
/// <param name="Name">As the user gives it.</param>
/// <param name="Template">The prompt, with {0} for what it should show.</param>
/// <param name="Negative">What guidance leads away from.</param>
public sealed record PromptStyle(string Name, string Template, string Negative)
{
    /// <summary>The prompt in this style.</summary>
    public string Apply(string prompt) => Template.Replace("{0}", prompt, StringComparison.Ordinal);

    /// <summary>The negative prompt of this style and one's own.</summary>
    public string ApplyNegative(string negative) => negative.Length == 0 ? Negative : $"{negative}, {Negative}";
}

/// <summary>The styles that come with the program.</summary>
public static class PromptStyles
{
    private static readonly PromptStyle[] s_styles =
    [
        new("photo", "a sharp photograph of {0}, natural light, fine detail", "drawing, painting, blurred, overexposed"),
        new("portrait", "a studio portrait of {0}, soft light, shallow depth of field", "crowd, distorted face, harsh shadows"),
        new("painting", "an oil painting of {0}, visible brush strokes, rich colours", "photograph, flat colours, text"),
        new("watercolour", "a watercolour of {0} on rough paper, soft edges", "photograph, hard outlines, text"),
        new("drawing", "a pencil drawing of {0}, fine hatching, white paper", "colour, photograph, smudges"),
        new("cartoon", "a cheerful cartoon of {0}, bold outlines, flat colours", "photograph, realistic shading, grain"),
        new("pixel", "pixel art of {0}, few colours, crisp squares", "photograph, smooth shading, blur"),
        new("render", "a 3D rendering of {0}, clean shapes, global illumination", "photograph, sketch, noise"),
        new("film", "a film still of {0}, dramatic light, wide angle, slight grain", "drawing, cartoon, flat light"),
    ];

    /// <summary>All names, for help and messages.</summary>
    public const string Names = "photo, portrait, painting, watercolour, drawing, cartoon, pixel, render or film";

    /// <summary>The style of that name.</summary>
    /// <exception cref="MdmException">There is none; the nearest one is named.</exception>
    public static PromptStyle Find(string name) =>
        s_styles.FirstOrDefault(style => style.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? throw new MdmException(
            $"--style: found '{name}', expected {Names}{NearestName.Hint(name, s_styles.Select(style => style.Name))}");
}
