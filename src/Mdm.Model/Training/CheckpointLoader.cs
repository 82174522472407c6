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
    private const string DataParallel = "module.", RotaryFrequencies = ".attn.pos_emb.freqs";

    /// <summary>Replaces all parameters of a network, which has been put on a device, with a checkpoint's.</summary>
    /// <param name="path">The file.</param>
    /// <param name="network">What to fill.</param>
    /// <param name="progress">Told the share of the file that is loaded, 0..1, from any thread.</param>
    /// <param name="warn">Told of tensors that the network has no use for.</param>
    /// <returns>What the file says beside the weights: batch_num, loss, ...</returns>
    /// <exception cref="MdmException">The file and the network do not fit, and which parameters and shapes (then no weight has
    /// changed); or the file is damaged.</exception>
    public static IReadOnlyDictionary<string, string> Load(
        string path, DenoisingNetwork network, Action<double>? progress = null, Action<string>? warn = null) =>
        Load(path, network, "", null, progress, warn);

    /// <summary>As <see cref="Load(string, DenoisingNetwork, Action{double}, Action{string})"/>, for a part of the network or
    /// into another arena.</summary>
    /// <param name="path">The file.</param>
    /// <param name="network">Whose parameters to replace.</param>
    /// <param name="prefix">Only those under this path, such as <c>inner_unet.</c>; the file's names begin behind it.</param>
    /// <param name="arena">Null: the parameters themselves; else an arena laid out like them (an average), in which frozen
    /// parameters have no place.</param>
    /// <param name="progress">Told the share of the file that is loaded, 0..1, from any thread.</param>
    /// <param name="warn">Told of tensors that the network has no use for.</param>
    internal static IReadOnlyDictionary<string, string> Load(string path, DenoisingNetwork network, string prefix, Tensor? arena,
        Action<double>? progress = null, Action<string>? warn = null)
    {
        using ITensorFile file = TensorFile.Open(path);
        Dictionary<string, StoredTensor> stored = Stored(file);
        Parameter[] wanted = Wanted(network, prefix);
        RequireFit(path, stored, wanted, prefix, warn);
        StoredParameter[] parts = [.. wanted.Where(parameter => arena == null || !parameter.Frozen)
            .Select(parameter => new StoredParameter(parameter, stored[parameter.Name[prefix.Length..]], 0, arena))];
        network.Store.Load(parts, progress);
        return new Dictionary<string, string>(file.Metadata);
    }

    /// <summary>Checks that a checkpoint is one of a network, which need not be on a device, without reading the weights.</summary>
    /// <param name="path">The file.</param>
    /// <param name="network">What it should fill.</param>
    /// <param name="warn">Told of tensors that the network has no use for.</param>
    /// <exception cref="MdmException">They do not fit, and which parameters and shapes; or the file is damaged.</exception>
    public static void RequireFit(string path, DenoisingNetwork network, Action<string>? warn = null)
    {
        using ITensorFile file = TensorFile.Open(path);
        RequireFit(path, Stored(file), Wanted(network, ""), "", warn);
    }

    private static Parameter[] Wanted(DenoisingNetwork network, string prefix) =>
        [.. network.Store.Parameters.Where(p => p.Name.StartsWith(prefix, StringComparison.Ordinal))];

    private static void RequireFit(
        string path, Dictionary<string, StoredTensor> stored, Parameter[] wanted, string prefix, Action<string>? warn)
    {
        var fit = new CheckpointFit(path, stored, wanted.ToDictionary(p => p.Name[prefix.Length..], p => p.FileShape));
        if (fit.Require() is { } leftAside)
            warn?.Invoke(leftAside);
    }

    // Trained on several GPUs, PyTorch puts one more name before all others. The frequencies of rotary positions are in the
    // original's checkpoints too, though they are constants.
    private static Dictionary<string, StoredTensor> Stored(ITensorFile file)
    {
        bool parallel = file.Tensors.Keys.All(name => name.StartsWith(DataParallel, StringComparison.Ordinal));
        return file.Tensors.Where(pair => !pair.Key.EndsWith(RotaryFrequencies, StringComparison.Ordinal))
            .ToDictionary(pair => parallel ? pair.Key[DataParallel.Length..] : pair.Key, pair => pair.Value);
    }
}
