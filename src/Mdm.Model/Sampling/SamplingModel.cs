using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Model.Training;
using Mdm.Tensors;

namespace Mdm.Model.Sampling;

/// <summary>A network with its weights, its text model and its noise schedule: all that sampling needs.</summary>
public sealed class SamplingModel : IDisposable
{
    private readonly bool _ownsParts;

    /// <summary>Takes over parts that exist (of a trainer, say); they are not disposed with this object.</summary>
    public SamplingModel(ProgramConfig config, DenoisingNetwork network, ITextModel? text)
        : this(config, network, text, ownsParts: false)
    {
    }

    private SamplingModel(ProgramConfig config, DenoisingNetwork network, ITextModel? text, bool ownsParts)
    {
        (Config, Network, Text, _ownsParts) = (config, network, text, ownsParts);
        Process = new DiffusionProcess(config.DiffusionConfig, network.NestRatios);
        Sampler = new Sampler(network, Process, config.UseGraphs);
        Captions = text == null ? null : new CaptionTokenizer(text.Tokenizer, config.ReaderConfig);
    }

    public ProgramConfig Config { get; }

    public DenoisingNetwork Network { get; }

    /// <summary>Null for an unconditional network.</summary>
    public ITextModel? Text { get; }

    /// <summary>Prompts to tokens; null for an unconditional network.</summary>
    public CaptionTokenizer? Captions { get; }

    public DiffusionProcess Process { get; }

    public Sampler Sampler { get; }

    /// <summary>Checks that a checkpoint is one of a configuration's network, without reading its weights or those of the text model:
    /// this takes no time, where loading may take minutes.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="checkpoint">The weights.</param>
    /// <returns>Whether the network knows text.</returns>
    /// <exception cref="MdmException">They do not fit, or the file is damaged.</exception>
    public static bool RequireFit(ProgramConfig config, string checkpoint)
    {
        int? width = TextModels.FindWidth(FolderOf(checkpoint), config);
        // What is wrong where the width is not known, loading says.
        if (width == null)
            return true;
        using DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, width.Value);
        CheckpointLoader.RequireFit(checkpoint, network);
        return width > 0;
    }

    /// <summary>Builds the network of a configuration and loads a checkpoint into it. The text model is the one saved beside
    /// the checkpoint, or else the configuration's.</summary>
    /// <param name="config">The network, its noise, the text model.</param>
    /// <param name="checkpoint">The weights.</param>
    /// <param name="device">Where to draw.</param>
    /// <param name="progress">Told what is being loaded and the share that is done, 0..1; from any thread.</param>
    /// <param name="warn">Told of tensors in the checkpoint that the network has no use for.</param>
    /// <exception cref="MdmException">A file is missing or damaged, checkpoint and configuration do not fit, the device does
    /// not compute in bfloat16 (fp16), or nothing turns prompts into the features that the network was trained with.</exception>
    public static SamplingModel Load(ProgramConfig config, string checkpoint, IDevice device,
        Action<string, double>? progress = null, Action<string>? warn = null)
    {
        if (!File.Exists(checkpoint))
            throw new MdmException($"{checkpoint}: there is no such file, expected a checkpoint (.pth or .safetensors)");
        string folder = FolderOf(checkpoint);
        ITextModel? text = TextModels.Load(folder, device, config, share => progress?.Invoke(TextModels.Loading, share));
        DenoisingNetwork? network = null;
        try
        {
            text ??= TextModels.Create(config, device, share => progress?.Invoke(TextModels.Loading, share));
            if (text == null && config.UsePrecomputedTextEmbeddings)
            {
                throw new MdmException("use_precomputed_text_embeddings: found true, expected false and the text_model that made "
                    + "the features: there are none for a prompt");
            }

            network = NetworkBuilder.Build(config.UnetConfig, TextModels.Width(config, text));
            network.Store.Place(device, training: false, computeType: Devices.ComputeType(device, config.Fp16), fill: false);
            CheckpointLoader.Load(
                checkpoint, network, share => progress?.Invoke($"loading {Path.GetFileName(checkpoint)}", share), warn);
            return new SamplingModel(config, network, text, ownsParts: true);
        }
        catch
        {
            network?.Dispose();
            text?.Dispose();
            throw;
        }
    }

    private static string FolderOf(string checkpoint) => Path.GetDirectoryName(Path.GetFullPath(checkpoint))!;

    public void Dispose()
    {
        Sampler.Dispose();
        if (!_ownsParts)
            return;
        Network.Dispose();
        Text?.Dispose();
    }
}
