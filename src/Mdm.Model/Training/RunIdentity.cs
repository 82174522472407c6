using System.Security.Cryptography;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Text;

namespace Mdm.Model.Training;

/// <summary>What a run was trained with that its training state does not hold: kept to notice that it goes on with something
/// else. Empty or 0: not known.</summary>
/// <param name="Text">The text model's vocabulary (hashed) and settings.</param>
/// <param name="Data">The list of the data (hashed).</param>
/// <param name="BatchSize">Samples in a batch.</param>
/// <param name="Accumulations">Batches in an update.</param>
public sealed record RunIdentity(string Text, string Data, int BatchSize, int Accumulations)
{
    /// <summary>Of a state that does not say.</summary>
    public static RunIdentity Unknown { get; } = new("", "", 0, 0);

    public static RunIdentity Of(ProgramConfig config)
    {
        bool words = config.TextModel == ProgramConfig.WordsTextModel && !config.UsePrecomputedTextEmbeddings;
        string text = words ? $"{Hash(Tokenizers.FindOrNull(config.VocabFile) ?? "")} {config.TextDim} {config.TextSeed} {config.TextContext}" : "";
        return new RunIdentity(text, Hash(config.FileList), config.BatchSize, config.NumGradientAccumulations);
    }

    /// <summary>Compares with what a run goes on with, one warning for each difference that somebody may want.</summary>
    /// <exception cref="MdmException">The words would mean something else to the network than before.</exception>
    public void RequireFit(RunIdentity now, Action<string> warn)
    {
        if (Differ(Text, now.Text))
        {
            throw new MdmException(
                "the training state belongs to another vocabulary or other text_dim, text_seed or text_context than "
                + "given: expected those of the run so far (its output folder has them), or a new output_dir "
                + "with pretrained_vision_file");
        }

        if (Differ(Data, now.Data))
            warn("file_list is not that of the run so far, which goes on at the same place in the new data");
        if (BatchSize != 0 && BatchSize != now.BatchSize)
            warn($"batch_size is {now.BatchSize}, {BatchSize} in the run so far; it goes on with {now.BatchSize}");
        if (Accumulations != 0 && Accumulations != now.Accumulations)
            warn($"num_gradient_accumulations is {now.Accumulations}, {Accumulations} in the run so far; it goes on with "
                + $"{now.Accumulations}");
    }

    private static bool Differ(string then, string now) => then.Length > 0 && now.Length > 0 && then != now;

    // What cannot be read is reported by whoever needs it.
    private static string Hash(string file)
    {
        try
        {
            using FileStream stream = File.OpenRead(file);
            return Convert.ToHexString(SHA256.HashData(stream).AsSpan(0, 8));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return "";
        }
    }
}
