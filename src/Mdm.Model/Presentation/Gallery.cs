using System.Net;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Mdm.Model.Presentation;

/// <summary>One picture of a gallery. Paths are relative to the gallery's folder.</summary>
/// <param name="Path">The picture.</param>
/// <param name="Caption">What it should show.</param>
/// <param name="Note">Seed, size and the like; may be empty.</param>
/// <param name="More">Other pictures that belong to it (its lower levels, the reference, the animation), with a word each.</param>
public sealed record GalleryItem(string Path, string Caption, string Note = "", IReadOnlyList<(string Path, string Word)>? More = null);

/// <summary>Writes the page and the list that go with a folder of samples.</summary>
public static class Gallery
{
    private static readonly JsonSerializerOptions s_readable = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>A page that works from a folder, without a server or scripts.</summary>
    public static string Html(string title, IEnumerable<GalleryItem> items, string introduction = "") =>
        Html(title, [("", items)], introduction);

    /// <summary>The same with a heading over each part, where it has one.</summary>
    public static string Html(
        string title, IEnumerable<(string Heading, IEnumerable<GalleryItem> Items)> parts, string introduction = "")
    {
        var page = new StringBuilder();
        page.Append($$"""
            <!doctype html>
            <html lang="en">
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <title>{{Escape(title)}}</title>
            <style>
            body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #fafafa; color: #222; }
            section { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 1.2rem; }
            figure { margin: 0; }
            figure > a > img { width: 100%; image-rendering: pixelated; border: 1px solid #ddd; }
            figcaption small { color: #777; display: block; }
            </style>
            <h1>{{Escape(title)}}</h1>

            """);
        if (introduction.Length > 0)
            page.Append($"<p>{Escape(introduction)}</p>\n");
        foreach ((string heading, IEnumerable<GalleryItem> items) in parts)
        {
            if (heading.Length > 0)
                page.Append($"<h2>{Escape(heading)}</h2>\n");
            page.Append("<section>\n");
            foreach (GalleryItem item in items)
                Append(page, item);
            page.Append("</section>\n");
        }

        return page.Append("</html>\n").ToString();
    }

    private static void Append(StringBuilder page, GalleryItem item)
    {
        page.Append($"<figure><a href=\"{Link(item.Path)}\"><img src=\"{Link(item.Path)}\" alt=\"{Escape(item.Caption)}\"></a>");
        page.Append($"<figcaption>{Escape(item.Caption)}");
        if (item.Note.Length > 0)
            page.Append($"<small>{Escape(item.Note)}</small>");
        foreach ((string path, string word) in item.More ?? [])
            page.Append($" <a href=\"{Link(path)}\">{Escape(word)}</a>");
        page.Append("</figcaption></figure>\n");
    }

    /// <summary>The original's lst.json: an array of objects with <c>path</c> and <c>caption</c>.</summary>
    public static string List(IEnumerable<GalleryItem> items) =>
        new JsonArray([.. items.Select(item => new JsonObject { ["path"] = item.Path, ["caption"] = item.Caption })])
            .ToJsonString(s_readable) + "\n";

    private static string Escape(string text) => WebUtility.HtmlEncode(text);

    private static string Link(string path) => string.Join('/', path.Replace('\\', '/').Split('/').Select(Uri.EscapeDataString));
}
