using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Presentation;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>A picture with what is written beside it.</summary>
/// <param name="Picture">The result.</param>
/// <param name="Levels">All levels side by side, or null.</param>
/// <param name="Frames">The path to it; may be empty.</param>
/// <param name="Seed">Of its noise.</param>
/// <param name="Recipe">What it was made of, or null.</param>
internal sealed record DrawnPicture(Image Picture, Image? Levels, Image[] Frames, ulong Seed, Recipe? Recipe);

/// <summary>The folder of a job: pictures as they are finished, and the grid, the list and the page in the end.</summary>
/// <param name="options">Of the job.</param>
/// <param name="gridSide">A picture is a grid of that many by that many frames of a video; 1: it is none.</param>
internal sealed class SamplingFolder(SamplingOptions options, int gridSide)
{
    private const int VideoFrameMilliseconds = 125;
    private const int FrameMilliseconds = 60, LastFrameMilliseconds = 1500, LeastFrameSide = 128;
    private const int MostOnGrid = 64;

    private readonly SortedDictionary<int, (GalleryItem Item, Image? Shown)> _done = [];

    /// <summary>Pictures there are.</summary>
    public int Count => _done.Count;

    /// <summary>Takes a picture that is there already, with all that is wanted beside it.</summary>
    /// <param name="index">Of the picture.</param>
    /// <param name="task">What it should show.</param>
    /// <param name="recipe">What it would be drawn by.</param>
    /// <param name="levels">How many the network has.</param>
    /// <returns>False if it must be drawn.</returns>
    public bool Reuse(int index, SamplingTask task, Recipe recipe, int levels)
    {
        string name = Name(index);
        bool withLevels = options.Levels && levels > 1;
        if (!Exists($"{name}.png") || (withLevels && !Exists(LevelsFile(name))) || (options.Animation && !Exists(PathFile(name)))
            || (gridSide > 1 && !Exists(VideoFile(name))))
            return false;
        Image? shown;
        try
        {
            if (Recipe.Find(PathOf($"{name}.png")) is not { } found || !found.DrawsAs(recipe))
                return false;
            shown = index < MostOnGrid ? ImageFile.Read(PathOf(withLevels ? LevelsFile(name) : $"{name}.png")) : null;
        }
        catch (MdmException)
        {
            // A damaged picture is drawn again.
            return false;
        }

        var more = new List<(string Path, string Word)>();
        if (task.Reference != null)
            Add(more, ReferenceFile(name), "reference", PngWriter.Encode(task.Reference));
        if (withLevels)
            more.Add((LevelsFile(name), "levels"));
        if (gridSide > 1)
            more.Add((VideoFile(name), "video"));
        if (options.Animation)
            more.Add((PathFile(name), "path"));
        Finished(index, task, recipe.Seed, shown, more);
        return true;
    }

    /// <summary>Writes a picture. Its own file comes last: where it is, all that belongs to it is too.</summary>
    public void Write(int index, SamplingTask task, DrawnPicture drawn)
    {
        string name = Name(index);
        var more = new List<(string Path, string Word)>();
        if (task.Reference is { } reference)
            Add(more, ReferenceFile(name), "reference", PngWriter.Encode(reference));
        if (drawn.Levels is { } levels)
            Add(more, LevelsFile(name), "levels", PngWriter.Encode(levels));
        if (gridSide > 1)
        {
            Image[] frames = ImageGrid.Cells(drawn.Picture, gridSide);
            Image[] video = Array.ConvertAll(frames, frame => ImageGrid.Enlarge(frame, LeastFrameSide));
            Add(more, VideoFile(name), "video", PngWriter.EncodeAnimation(video, [.. video.Select(_ => VideoFrameMilliseconds)]));
        }

        if (drawn.Frames.Length > 0)
        {
            int[] delays = Enumerable.Repeat(FrameMilliseconds, drawn.Frames.Length).ToArray();
            delays[^1] = LastFrameMilliseconds;
            Image[] large = Array.ConvertAll(drawn.Frames, frame => ImageGrid.Enlarge(frame, LeastFrameSide));
            Add(more, PathFile(name), "path", PngWriter.EncodeAnimation(large, delays));
        }

        var texts = new Dictionary<string, string>
        {
            ["prompt"] = task.Prompt,
            ["seed"] = drawn.Seed.ToString(CultureInfo.InvariantCulture),
        };
        if (drawn.Recipe is { } recipe)
            texts[Recipe.Keyword] = recipe.ToJson();
        Save($"{name}.png", PngWriter.Encode(drawn.Picture, texts));
        Finished(index, task, drawn.Seed, drawn.Levels ?? drawn.Picture, more);
    }

    /// <summary>Writes the grid, the list and the page.</summary>
    /// <param name="how">How the pictures were drawn, for people.</param>
    /// <param name="reused">How many were there already.</param>
    /// <param name="complete">Whether these are all.</param>
    public SamplingResult Finish(string how, int reused, bool complete)
    {
        GalleryItem[] items = [.. _done.Values.Select(done => done.Item)];
        (Image, string)[] sheet = [.. _done.Values.Where(done => done.Shown != null)
            .Select(done => (done.Shown!, done.Item.Caption))];
        string grid = Save("grid.png", PngWriter.Encode(ImageGrid.Compose(sheet))), page = PathOf("index.html");
        AtomicFile.WriteText(PathOf("lst.json"), Gallery.List(items));
        AtomicFile.WriteText(page, Gallery.Html(options.Title, items, how));
        return new SamplingResult(items, sheet, grid, page, reused, complete);
    }

    // Only what the grid will show is kept: a job may have many thousands.
    private void Finished(int index, SamplingTask task, ulong seed, Image? shown, List<(string Path, string Word)> more) =>
        _done.Add(index, (new GalleryItem($"{Name(index)}.png", task.Prompt, $"seed {seed}", more),
            index < MostOnGrid ? shown : null));

    private void Add(List<(string Path, string Word)> more, string file, string word, byte[] bytes)
    {
        Save(file, bytes);
        more.Add((file, word));
    }

    private static string Name(int index) => index.ToString("D5", CultureInfo.InvariantCulture);

    private static string LevelsFile(string name) => $"{name}_levels.png";

    private static string VideoFile(string name) => $"{name}_video.png";

    private static string PathFile(string name) => $"{name}_path.png";

    private static string ReferenceFile(string name) => $"{name}_reference.png";

    private string PathOf(string file) => Path.Combine(options.Folder, file);

    private bool Exists(string file) => File.Exists(PathOf(file));

    private string Save(string name, byte[] bytes)
    {
        string path = PathOf(name);
        AtomicFile.Write(path, stream => stream.Write(bytes));
        return path;
    }
}
