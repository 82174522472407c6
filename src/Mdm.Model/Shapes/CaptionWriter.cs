namespace Mdm.Model.Shapes;

/// <summary>Scene descriptions as English. The grammar, in which every alternative means the same:
/// <code>
/// caption    = scene | scene background | background scene
/// scene      = shape | shape relation shape
/// shape      = "a" ["small" | "large"] colour kind
/// relation   = "above" | "below" | ["to the"] "left of" | ["to the"] "right of"
/// background = "on a" ("black" | "grey" | "white") "background"
/// </code></summary>
public static class CaptionWriter
{
    /// <summary>The number of ways in which <see cref="Write"/> can say one thing, counting those that come out equal.</summary>
    public const int Variants = 4;

    /// <summary>Every word that a caption can hold, in the order of the vocabulary.</summary>
    public static IReadOnlyList<string> Vocabulary { get; } =
    [
        "a", "small", "large",
        .. Enum.GetValues<ShapeColour>().Select(Word),
        .. Enum.GetValues<ShapeKind>().Select(Word),
        "above", "below", "to", "the", "left", "right", "of",
        "on", "black", "grey", "white", "background",
    ];

    /// <summary>The caption of a scene.</summary>
    /// <param name="scene">What to say.</param>
    /// <param name="variant">0 is the plain form, used for prompts; bit 0 says "to the left of" instead of "left of",
    /// bit 1 puts the background first.</param>
    public static string Write(SceneDescription scene, int variant = 0)
    {
        bool toThe = (variant & 1) != 0, backgroundFirst = (variant & 2) != 0;
        string text = "a " + Words(scene.First);
        if (scene.Second != null)
            text += $" {Words(scene.Relation!.Value, toThe)} a {Words(scene.Second)}";
        if (scene.Background == ShapeBackground.Unsaid)
            return text;
        string background = $"on a {Word(scene.Background)} background";
        return backgroundFirst ? $"{background} {text}" : $"{text} {background}";
    }

    /// <summary>A shape without its article: "large red circle".</summary>
    public static string Words(ShapeWords shape)
    {
        string size = shape.Size == ShapeSize.Unsaid ? "" : Word(shape.Size) + " ";
        return $"{size}{Word(shape.Colour)} {Word(shape.Kind)}";
    }

    internal static string Word<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();

    internal static string Words(ShapeRelation relation, bool toThe = false)
    {
        string article = toThe ? "to the " : "";
        return relation switch
        {
            ShapeRelation.LeftOf => article + "left of",
            ShapeRelation.RightOf => article + "right of",
            _ => Word(relation),
        };
    }
}
