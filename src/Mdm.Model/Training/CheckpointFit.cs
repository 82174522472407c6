using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Training;

/// <summary>Whether a checkpoint is one of a network, and what to say if not.</summary>
/// <param name="path">The file, for messages.</param>
/// <param name="stored">What it holds.</param>
/// <param name="wanted">Names and shapes of the network's parameters.</param>
internal sealed class CheckpointFit(
    string path, IReadOnlyDictionary<string, StoredTensor> stored, IReadOnlyDictionary<string, Shape> wanted)
{
    /// <summary>More names than these are cut to the first few.</summary>
    private const int Listed = 12, Examples = 3;

    private const string Inner = "inner_unet.", TextProjection = "lm_proj.weight", First = "conv_in.weight";

    /// <summary>Throws unless the file has all parameters in their shapes.</summary>
    /// <returns>A warning about tensors that the network has no use for; null if there are none. A file with more networks than
    /// the configuration describes is refused.</returns>
    /// <exception cref="MdmException">What is missing or of another shape, and which configuration the file is of.</exception>
    public string? Require()
    {
        string[] missing = [.. wanted.Keys.Where(name => !stored.ContainsKey(name))];
        string[] unexpected = [.. stored.Keys.Where(name => !wanted.ContainsKey(name))];
        string[] misshapen = [.. wanted
            .Where(pair => stored.TryGetValue(pair.Key, out StoredTensor? found) && !SameShape(found.Shape, pair.Value))
            .Select(pair => $"{pair.Key}: found [{string.Join(", ", stored[pair.Key].Shape)}], expected {pair.Value}")];
        bool fits = missing.Length + misshapen.Length == 0 && Nestings(stored.Keys) == Nestings(wanted.Keys);
        if (fits && unexpected.Length == 0)
            return null;
        string[] complaints =
        [
            .. Complaint(missing, "missing"),
            .. Complaint(unexpected, "not in the network"),
            .. Complaint(misshapen, "of another shape"),
        ];
        return fits
            ? $"{path}: {complaints[0]} and left aside"
            : throw new MdmException($"{path} does not fit the configuration: {string.Join("; ", complaints)}; {Hint()}");
    }

    private static IEnumerable<string> Complaint(string[] items, string what)
    {
        if (items.Length == 0)
            yield break;
        string noun = items.Length == 1 ? "parameter is" : "parameters are";
        yield return $"{items.Length} {noun} {what} ({List(items)})";
    }

    private static string List(string[] items) => items.Length <= Listed
        ? string.Join(", ", items)
        : $"{string.Join(", ", items.Take(Examples))} and {items.Length - Examples} more";

    private string Hint()
    {
        if (!stored.TryGetValue(First, out StoredTensor? first))
            return "it holds no network of this kind";
        int found = Nestings(stored.Keys), expected = Nestings(wanted.Keys);
        string kind = UNetConfig.NameOfModel(found);
        string what = found == expected
            ? $"it holds a {kind} whose first level has {first.Shape[0]} channels"
            : $"it holds a {kind}, the configuration describes a {UNetConfig.NameOfModel(expected)}";
        return FindConfig() is { } config ? $"{what}: its configuration is {config}" : $"{what}: is this its configuration?";
    }

    /// <summary>The configuration that comes with the program whose network the file holds, or null.</summary>
    private string? FindConfig()
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "configs");
        if (!Directory.Exists(folder))
            return null;
        // How wide the text features are is not the configuration's to say, and the innermost network alone projects them.
        string? projection = stored.Keys.FirstOrDefault(name => name.EndsWith(TextProjection, StringComparison.Ordinal));
        int textWidth = projection != null && stored[projection].Shape is [_, > 0 and <= int.MaxValue and var width]
            ? (int)width
            : 0;
        return Directory.EnumerateFiles(folder, "*.yaml", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .FirstOrDefault(file => IsOf(file, textWidth));
    }

    private bool IsOf(string configFile, int textWidth)
    {
        try
        {
            ProgramConfig config = ConfigLoader.Load(configFile, [], _ => { });
            using DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, textWidth);
            return network.Store.Parameters.Count == stored.Count && network.Store.Parameters.All(parameter =>
                stored.TryGetValue(parameter.Name, out StoredTensor? tensor) && SameShape(tensor.Shape, parameter.FileShape));
        }
        catch (MdmException)
        {
            // A file somebody put there that is no configuration, or one that needs text features.
            return false;
        }
    }

    private static int Nestings(IEnumerable<string> names) => names.Select(name =>
    {
        int depth = 0;
        for (; name.StartsWith(Inner, StringComparison.Ordinal); name = name[Inner.Length..])
            depth++;
        return depth;
    }).DefaultIfEmpty(0).Max();

    private static bool SameShape(long[] found, Shape expected) =>
        found.AsSpan().SequenceEqual(Array.ConvertAll(expected.ToArray(), size => (long)size));
}
