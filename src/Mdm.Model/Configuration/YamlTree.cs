using Mdm.Kernels;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Mdm.Model.Configuration;

/// <summary>A value in a YAML file with the line where it stands: a scalar, a list or a map (exactly one is set).</summary>
internal sealed class YamlValue
{
    public required int Line { get; init; }
    public string? Scalar { get; init; }
    public bool Quoted { get; init; }
    public IReadOnlyList<YamlValue>? Items { get; init; }
    public IReadOnlyList<YamlEntry>? Entries { get; init; }

    /// <summary>The value in words, for messages. Lists inside lists are left out: anchors can make those endless.</summary>
    public string Shown => Scalar
        ?? (Items == null ? "{...}" : "[" + string.Join(", ", Items.Take(16).Select(i => i.Scalar ?? "...")) + "]");

    public bool IsNothing => Scalar != null && !Quoted && SettingField.IsNullWord(Scalar);
}

/// <summary>A key of a map; keys may occur twice.</summary>
internal readonly record struct YamlEntry(string Key, int Line, YamlValue Value);

/// <summary>Reads a YAML file into a tree that keeps lines and repeated keys. It works from the parser's events, since the
/// library's own document model refuses a key that occurs twice, which a published file has.</summary>
internal sealed class YamlTree
{
    private const int DeepestNesting = 64;
    private const long LargestFile = 4 << 20;

    private readonly string _file;
    private readonly IParser _events;
    private readonly Dictionary<AnchorName, YamlValue> _anchors = [];

    private YamlTree(string file, TextReader text)
    {
        _file = file;
        _events = new Parser(text);
    }

    /// <summary>The top-level map of a file, empty for an empty file.</summary>
    /// <exception cref="MdmException">The file cannot be read or is not YAML with keys at the top.</exception>
    public static YamlValue Read(string path)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > LargestFile } info)
                throw new MdmException($"{path}: {info.Length} bytes, expected a YAML file of at most {LargestFile}");
            return Parse(path, File.ReadAllText(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read configuration {path}: {e.Message}", e);
        }
    }

    /// <summary>As <see cref="Read"/>, from text; <paramref name="file"/> is the name for messages.</summary>
    public static YamlValue Parse(string file, string text)
    {
        var tree = new YamlTree(file, new StringReader(text));
        try
        {
            return tree.ReadDocument();
        }
        catch (YamlException e)
        {
            // The library puts positions in front of its message, which are said here in the program's own way.
            string message = (e.InnerException?.Message ?? e.Message).Split('\n')[0].Trim();
            throw new MdmException($"{file}, line {e.Start.Line}: not YAML: {SettingField.Shown(message)}", e);
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or FormatException or OverflowException)
        {
            // The library's state machine trips over some damaged files instead of describing them.
            throw new MdmException($"{file}, line {tree._events.Current?.Start.Line ?? 1}: not YAML", e);
        }
    }

    private YamlValue ReadDocument()
    {
        _events.Consume<StreamStart>();
        if (_events.Accept<StreamEnd>(out _))
            return new YamlValue { Line = 1, Entries = [] };
        _events.Consume<DocumentStart>();
        YamlValue root = ReadValue(0);
        _events.Consume<DocumentEnd>();
        if (!_events.Accept<StreamEnd>(out _))
            throw Fault(_events.Current!, "a second document, expected one");
        if (root.IsNothing)
            return new YamlValue { Line = 1, Entries = [] };
        return root.Entries != null ? root
            : throw new MdmException($"{_file}, line {root.Line}: expected 'key: value' lines, found '{SettingField.Shown(root.Shown)}'");
    }

    private YamlValue ReadValue(int depth)
    {
        if (depth > DeepestNesting)
            throw Fault(_events.Current!, $"nested deeper than {DeepestNesting} levels");
        if (_events.TryConsume<AnchorAlias>(out AnchorAlias? alias))
            return _anchors.TryGetValue(alias.Value, out YamlValue? known) ? known
                : throw Fault(alias, $"unknown anchor '*{SettingField.Shown(alias.Value.Value)}'");
        var node = (NodeEvent)_events.Current!;
        YamlValue value = node switch
        {
            Scalar => ReadScalar(),
            SequenceStart => ReadList(depth),
            _ => ReadMap(depth),
        };
        if (!node.Anchor.IsEmpty)
            _anchors[node.Anchor] = value;
        return value;
    }

    private YamlValue ReadScalar()
    {
        Scalar scalar = _events.Consume<Scalar>();
        bool quoted = scalar.Style != ScalarStyle.Plain;
        return new YamlValue { Line = (int)scalar.Start.Line, Scalar = scalar.Value, Quoted = quoted };
    }

    private YamlValue ReadList(int depth)
    {
        int line = (int)_events.Consume<SequenceStart>().Start.Line;
        var items = new List<YamlValue>();
        while (!_events.TryConsume<SequenceEnd>(out _))
            items.Add(ReadValue(depth + 1));
        return new YamlValue { Line = line, Items = items };
    }

    private YamlValue ReadMap(int depth)
    {
        int line = (int)_events.Consume<MappingStart>().Start.Line;
        var entries = new List<YamlEntry>();
        while (!_events.TryConsume<MappingEnd>(out _))
        {
            ParsingEvent at = _events.Current!;
            if (!_events.TryConsume<Scalar>(out Scalar? key))
                throw Fault(at, "a key that is not a word");
            entries.Add(new YamlEntry(key.Value, (int)key.Start.Line, ReadValue(depth + 1)));
        }

        return new YamlValue { Line = line, Entries = entries };
    }

    private MdmException Fault(ParsingEvent at, string what) => new($"{_file}, line {at.Start.Line}: {what}");
}
