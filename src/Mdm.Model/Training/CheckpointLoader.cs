using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Training;

/// <summary>Loads weights from .pth and safetensors files.</summary>
public static class CheckpointLoader
{
    private const int Examples = 3;
    private const string Inner = "inner_unet.", DataParallel = "module.", RotaryFrequencies = ".attn.pos_emb.freqs";

    /// <summary>Replaces all parameters of a network, which has been put on a device, with a checkpoint's.</summary>
    /// <returns>What the file says beside the weights: batch_num, loss, ...</returns>
    /// <exception cref="MdmException">The file is damaged, or it and the network do not fit: which parameters and
    /// shapes.</exception>
    public static IReadOnlyDictionary<string, string> Load(string path, DenoisingNetwork network) =>
        Load(path, network, "", null);

    /// <summary>As <see cref="Load(string, DenoisingNetwork)"/>, for a part of the network or into another arena.</summary>
    /// <param name="path">The file.</param>
    /// <param name="network">Whose parameters to replace.</param>
    /// <param name="prefix">Only those under this path, such as <c>inner_unet.</c>; the file's names begin behind it.</param>
    /// <param name="arena">Null: the parameters themselves; else an arena laid out like them (an average), in which frozen
    /// parameters have no place.</param>
    internal static IReadOnlyDictionary<string, string> Load(string path, DenoisingNetwork network, string prefix, Tensor? arena)
    {
        using ITensorFile file = TensorFile.Open(path);
        Dictionary<string, StoredTensor> stored = Stored(file);
        Parameter[] wanted = network.Store.Parameters.Where(p => p.Name.StartsWith(prefix, StringComparison.Ordinal)).ToArray();
        RequireFit(path, wanted, prefix, stored, network.Config.Nestings - Nestings([prefix]));
        foreach (Parameter parameter in wanted)
            if (arena == null || !parameter.Frozen)
                network.Store.FromFileLayout(parameter, stored[parameter.Name[prefix.Length..]].ToFloats(), arena);
        return new Dictionary<string, string>(file.Metadata);
    }

    // Trained on several GPUs, PyTorch puts one more name before all others. The frequencies of rotary positions are in the
    // original's checkpoints too, though they are constants.
    private static Dictionary<string, StoredTensor> Stored(ITensorFile file)
    {
        bool parallel = file.Tensors.Keys.All(name => name.StartsWith(DataParallel, StringComparison.Ordinal));
        return file.Tensors.Where(pair => !pair.Key.EndsWith(RotaryFrequencies, StringComparison.Ordinal))
            .ToDictionary(pair => parallel ? pair.Key[DataParallel.Length..] : pair.Key, pair => pair.Value);
    }

    private static void RequireFit(
        string path, Parameter[] wanted, string prefix, Dictionary<string, StoredTensor> stored, int nestings)
    {
        Dictionary<string, Parameter> byName = wanted.ToDictionary(p => p.Name[prefix.Length..]);
        string[] missing = byName.Keys.Where(name => !stored.ContainsKey(name)).ToArray();
        string[] unexpected = stored.Keys.Where(name => !byName.ContainsKey(name)).ToArray();
        string[] misshapen = byName
            .Where(pair => stored.TryGetValue(pair.Key, out StoredTensor? found) && !SameShape(found.Shape, pair.Value.FileShape))
            .Select(pair => $"{pair.Key}: found [{string.Join(", ", stored[pair.Key].Shape)}], expected {pair.Value.FileShape}")
            .ToArray();
        if (missing.Length + unexpected.Length + misshapen.Length == 0)
            return;
        string[] complaints =
        [
            .. Complaint(missing, "missing"),
            .. Complaint(unexpected, "not in the network"),
            .. Complaint(misshapen, "of another shape"),
        ];
        throw new MdmException(
            $"{path} does not fit the configuration: {string.Join("; ", complaints)}{Hint(stored, nestings)}");
    }

    private static IEnumerable<string> Complaint(string[] items, string what)
    {
        if (items.Length == 0)
            yield break;
        string more = items.Length > Examples ? ", ..." : "";
        string noun = items.Length == 1 ? "parameter is" : "parameters are";
        yield return $"{items.Length} {noun} {what} ({string.Join(", ", items.Take(Examples))}{more})";
    }

    private static string Hint(Dictionary<string, StoredTensor> stored, int nestings)
    {
        if (!stored.TryGetValue("conv_in.weight", out StoredTensor? first))
            return "; it holds no network of this kind";
        int found = Nestings(stored.Keys);
        string kind = UNetConfig.NameOfModel(found), expected = UNetConfig.NameOfModel(nestings);
        return found == nestings
            ? $"; it holds a {kind} whose first level has {first.Shape[0]} channels: is this its configuration?"
            : $"; it holds a {kind}, the configuration describes a {expected}";
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
