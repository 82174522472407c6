using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Training;

/// <summary>Starts a network from weights trained before: an inner network from <c>initialize_inner_with_pretrained</c>, the
/// whole from <c>pretrained_vision_file</c>.</summary>
internal static class PretrainedWeights
{
    private const string Averaged = "vis_model_", NotAveraged = "vis_model_noema_";

    /// <summary>Loads what the configuration names into a network that has been put on a device.</summary>
    /// <param name="config">The run's settings.</param>
    /// <param name="network">The network, with fresh weights.</param>
    /// <param name="average">The moving average, which starts at the same weights; null if there is none.</param>
    /// <param name="warn">Told of inner networks that start afresh because their file is not there, and of tensors in files that
    /// have no place.</param>
    /// <param name="progress">Told which file is being loaded and the share that is done, 0..1; from any thread.</param>
    /// <returns>Whether the average was loaded from a file of its own.</returns>
    public static bool Load(ProgramConfig config, DenoisingNetwork network, Tensor? average, Action<string> warn,
        Action<string, double>? progress = null)
    {
        void LoadFile(string path, string prefix, Tensor? arena) => CheckpointLoader.Load(path, network, prefix, arena,
            share => progress?.Invoke($"loading {Path.GetFileName(path)}", share), warn);
        string prefix = "";
        foreach (UNetConfig level in network.Config.Chain().Where(c => c.InnerConfig != null))
        {
            prefix += "inner_unet.";
            if (level.InitializeInnerWithPretrained is not { Length: > 0 } inner || inner == "None")
                continue;
            if (File.Exists(inner))
                LoadFile(inner, prefix, null);
            else
                warn($"initialize_inner_with_pretrained: {inner} is not there; the inner network is trained from the start");
        }

        if (config.PretrainedVisionFile is not { Length: > 0 } file)
            return false;
        string plain = Path.Combine(Path.GetDirectoryName(file)!, Path.GetFileName(file).Replace(Averaged, NotAveraged));
        bool pair = !config.ResumeFromEma && plain != file && File.Exists(plain);
        LoadFile(pair ? plain : file, "", null);
        if (pair && average != null)
            LoadFile(file, "", average);
        return pair && average != null;
    }
}
