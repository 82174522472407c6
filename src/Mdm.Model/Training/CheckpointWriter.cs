using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Text;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Training;

/// <summary>
/// Writes a run's checkpoints into its output folder: <c>vis_model_{step}.pth</c> with the averaged weights,
/// <c>vis_model_noema_{step}.pth</c> with the present ones, and beside them what sampling and resuming need: config.yaml, the
/// text model, and last of all the training state, so that a state never refers to files that are not there.
/// </summary>
public sealed class CheckpointWriter(ProgramConfig config, ITextModel? text)
{
    /// <summary>Name of the configuration beside the checkpoints.</summary>
    public const string ConfigFile = "config.yaml";

    /// <summary>Name of the file with the averaged weights.</summary>
    public static string FileName(long step) => $"vis_model_{step:D6}.pth";

    /// <summary>Name of the file with the weights as they are.</summary>
    public static string PlainFileName(long step) => $"vis_model_noema_{step:D6}.pth";

    /// <summary>Writes everything; earlier files stay as they are until each new one is complete.</summary>
    /// <returns>The file with the averaged weights.</returns>
    /// <exception cref="MdmException">A file cannot be written.</exception>
    public string Write(string folder, ParameterStore store, Adam adam, TrainingProgress progress)
    {
        string averaged = Path.Combine(folder, FileName(progress.Step));
        AtomicFile.WriteText(Path.Combine(folder, ConfigFile), ConfigSaver.ToYaml(config));
        text?.Save(folder);
        WriteWeights(Path.Combine(folder, PlainFileName(progress.Step)), store, null, progress);
        WriteWeights(averaged, store, adam.Ema, progress);
        TrainingState.Save(Path.Combine(folder, TrainingState.FileName), store, adam, progress);
        return averaged;
    }

    private static void WriteWeights(string path, ParameterStore store, Tensor? arena, TrainingProgress progress)
    {
        StoredTensor[] tensors = store.Parameters.Select(parameter => new StoredTensor(
            parameter.Name, Array.ConvertAll(parameter.FileShape.ToArray(), size => (long)size),
            () => store.ToFileLayout(parameter, arena))).ToArray();
        TensorFile.Save(path, tensors, new Dictionary<string, string>
        {
            ["batch_num"] = progress.Step.ToString(CultureInfo.InvariantCulture),
            ["loss"] = Number(progress.Running.Last),
            ["best_avg_loss"] = Number(progress.Running.Best),
            ["exp_avg_loss"] = Number(progress.Running.Average),
            ["exp_avg_loss_var"] = Number(progress.Running.Variance),
        });
    }

    // With a point or an exponent, so that whoever reads it takes it for a floating-point number.
    private static string Number(double value)
    {
        string text = value.ToString("R", CultureInfo.InvariantCulture);
        return text.All(c => char.IsAsciiDigit(c) || c == '-') ? text + ".0" : text;
    }
}
