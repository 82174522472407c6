using System.Text.Json;
using System.Text.Json.Nodes;
using Mdm.Kernels;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Shapes;

/// <summary>One line of a table: how many of so many are right.</summary>
/// <param name="Group">"all", "combination", "shapes", "attribute" or "kind".</param>
/// <param name="Name">Which of the group.</param>
public sealed record EvaluationRow(string Group, string Name, int Correct, int Total)
{
    /// <summary>Between 0 and 1.</summary>
    public double Share => Total == 0 ? 0 : Correct / (double)Total;
}

/// <summary>An image judged. Without a verdict, <paramref name="Error"/> says why: a picture that cannot be read counts as
/// wrong, a caption that is not of the grammar does not count.</summary>
public sealed record EvaluatedImage(string Path, string Caption, ShapeVerdict? Verdict, string? Error, bool Counts)
{
    public bool Correct => Verdict is { Correct: true };
}

/// <summary>Shares of images that show what their captions say.</summary>
public sealed class ShapesEvaluation
{
    private readonly HeldOutCombinations? _heldOut;

    /// <param name="images">All images judged.</param>
    /// <param name="heldOut">With it, held-out and seen combinations are also counted apart.</param>
    public ShapesEvaluation(IReadOnlyList<EvaluatedImage> images, HeldOutCombinations? heldOut = null)
    {
        Images = images;
        _heldOut = heldOut;
        Rows = [.. CountRows().Where(row => row.Total > 0)];
    }

    /// <summary>The images in the order of the list.</summary>
    public IReadOnlyList<EvaluatedImage> Images { get; }

    /// <summary>The table: all; held-out and seen combinations; one and two shapes; attributes (of the images whose
    /// caption speaks of it, those in which it is right throughout); kinds (of the images whose caption names it).</summary>
    public IReadOnlyList<EvaluationRow> Rows { get; }

    /// <summary>The share of all images counted that are right in everything.</summary>
    public double Share => Rows[0].Share;

    /// <summary>Judges the images of an <c>lst.json</c>: an array of objects with <c>path</c> (relative to the list's folder)
    /// and <c>caption</c>.</summary>
    /// <param name="listPath">The list.</param>
    /// <param name="heldOut">As for the constructor.</param>
    /// <param name="progress">Told the number of images done and the number of all, from any thread.</param>
    /// <exception cref="MdmException">The list cannot be read or is none, or no image in it can be counted.</exception>
    public static ShapesEvaluation OfList(
        string listPath, HeldOutCombinations? heldOut = null, Action<int, int>? progress = null)
    {
        List<(string Path, string Caption)> list = ReadList(listPath);
        string folder = Path.GetDirectoryName(Path.GetFullPath(listPath))!;
        var images = new EvaluatedImage[list.Count];
        int done = 0;
        Parallel.For(0, images.Length, i =>
        {
            images[i] = Judge(folder, list[i].Path, list[i].Caption);
            progress?.Invoke(Interlocked.Increment(ref done), images.Length);
        });
        if (!images.Any(image => image.Counts))
            throw new MdmException($"{listPath}: no image can be judged" + (images.Length > 0 ? $"; {images[0].Error}" : ""));
        return new ShapesEvaluation(images, heldOut);
    }

    /// <summary>The table and the verdicts as indented JSON.</summary>
    public string ToJson()
    {
        var rows = new JsonArray();
        foreach (EvaluationRow row in Rows)
            rows.Add(new JsonObject
            {
                ["group"] = row.Group,
                ["name"] = row.Name,
                ["correct"] = row.Correct,
                ["total"] = row.Total,
                ["share"] = Math.Round(row.Share, 4),
            });
        var images = new JsonArray();
        foreach (EvaluatedImage image in Images)
            images.Add(new JsonObject
            {
                ["path"] = image.Path,
                ["caption"] = image.Caption,
                ["correct"] = image.Counts ? image.Correct : null,
                ["reasons"] = new JsonArray([.. Reasons(image).Select(reason => JsonValue.Create(reason))]),
            });
        return new JsonObject { ["scores"] = rows, ["images"] = images }
            .ToJsonString(new JsonSerializerOptions { WriteIndented = true });
    }

    private static IEnumerable<string> Reasons(EvaluatedImage image) => image.Verdict?.Reasons ?? [image.Error!];

    private static EvaluatedImage Judge(string folder, string path, string caption)
    {
        SceneDescription wanted;
        try
        {
            wanted = CaptionParser.Parse(caption);
        }
        catch (MdmException e)
        {
            return new EvaluatedImage(path, caption, null, e.Message, Counts: false);
        }

        try
        {
            Image image = ImageFile.Read(Path.Combine(folder, path));
            SceneMeasurement found = SceneMeasurement.Measure(image.Rgb, image.Width, image.Height);
            return new EvaluatedImage(path, caption, ShapesJudge.Judge(found, wanted), null, Counts: true);
        }
        catch (MdmException e)
        {
            return new EvaluatedImage(path, caption, null, e.Message, Counts: true);
        }
    }

    private static List<(string Path, string Caption)> ReadList(string listPath)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(listPath));
            var list = new List<(string, string)>();
            foreach (JsonElement entry in json.RootElement.EnumerateArray())
                list.Add((Text(entry, "path"), Text(entry, "caption")));
            return list;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read {listPath}: {e.Message}", e);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new MdmException(
                $"{listPath}: expected a JSON array of objects with the texts \"path\" and \"caption\": {e.Message}", e);
        }
    }

    private static string Text(JsonElement entry, string name) =>
        entry.GetProperty(name).GetString() ?? throw new JsonException($"found null for \"{name}\"");

    private IEnumerable<EvaluationRow> CountRows()
    {
        (EvaluatedImage Image, SceneDescription Scene)[] all =
            [.. Images.Where(image => image.Counts).Select(image => (image, CaptionParser.Parse(image.Caption)))];
        EvaluationRow Row(string group, string name, Func<SceneDescription, bool> belongs)
        {
            EvaluatedImage[] chosen = [.. all.Where(one => belongs(one.Scene)).Select(one => one.Image)];
            return new EvaluationRow(group, name, chosen.Count(image => image.Correct), chosen.Length);
        }

        yield return Row("all", "all", _ => true);
        if (_heldOut != null)
        {
            yield return Row("combination", "held out", _heldOut.Contains);
            yield return Row("combination", "seen in training", scene => !_heldOut.Contains(scene));
        }

        yield return Row("shapes", "one", scene => scene.Second == null);
        yield return Row("shapes", "two", scene => scene.Second != null);
        foreach (ShapeAttribute attribute in Enum.GetValues<ShapeAttribute>())
            yield return AttributeRow(attribute, [.. all.Select(one => one.Image.Verdict).OfType<ShapeVerdict>()]);
        foreach (ShapeKind kind in Enum.GetValues<ShapeKind>())
            yield return Row("kind", CaptionWriter.Word(kind), scene => scene.Shapes.Any(shape => shape.Kind == kind));
    }

    private static EvaluationRow AttributeRow(ShapeAttribute attribute, ShapeVerdict[] verdicts)
    {
        AttributeVerdict[][] speaking = verdicts
            .Select(verdict => verdict.Attributes.Where(a => a.Attribute == attribute).ToArray())
            .Where(about => about.Length > 0).ToArray();
        int correct = speaking.Count(about => about.All(a => a.Correct));
        return new EvaluationRow("attribute", CaptionWriter.Word(attribute), correct, speaking.Length);
    }
}
