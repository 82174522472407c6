using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Model.Training;
using Mdm.Tensors;

namespace Mdm.Model.Sampling;

/// <summary>A network, its weights, its text model and its noise schedule: all that sampling needs. What is large is loaded
/// when it is needed: the text model's weights for the prompts, the network's after them.</summary>
public sealed class SamplingModel : IDisposable
{
    private readonly string? _checkpoint;
    private Sampler? _sampler;

    /// <summary>Takes over parts that exist (of a trainer, say), with their weights; they are not disposed with this
    /// object.</summary>
    public SamplingModel(ProgramConfig config, DenoisingNetwork network, ITextModel? text)
        : this(config, network, text, network.Store.Device, null)
    {
    }

    private SamplingModel(ProgramConfig config, DenoisingNetwork network, ITextModel? text, IDevice device, string? checkpoint)
    {
        (Config, Network, Text, Device, _checkpoint) = (config, network, text, device, checkpoint);
        Process = new DiffusionProcess(config.DiffusionConfig, network.NestRatios);
        Captions = text == null ? null : new CaptionTokenizer(text.Tokenizer, config.ReaderConfig);
    }

    public ProgramConfig Config { get; }

    /// <summary>Has its weights from <see cref="LoadWeights"/> on.</summary>
    public DenoisingNetwork Network { get; }

    /// <summary>Null for an unconditional network.</summary>
    public ITextModel? Text { get; }

    /// <summary>Where pictures are drawn.</summary>
    public IDevice Device { get; }

    /// <summary>Prompts to tokens; null for an unconditional network.</summary>
    public CaptionTokenizer? Captions { get; }

    public DiffusionProcess Process { get; }

    /// <summary>Draws with the network, whose weights must be there.</summary>
    public Sampler Sampler => _sampler ??= new Sampler(Network, Process, Config.UseGraphs);

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

    /// <summary>Builds the network of a configuration for a checkpoint, whose weights are not loaded yet. The text model is the
    /// one saved beside the checkpoint, or else the configuration's.</summary>
    /// <param name="config">The network, its noise, the text model.</param>
    /// <param name="checkpoint">The weights.</param>
    /// <param name="device">Where to draw.</param>
    /// <param name="warn">Told of tensors in the checkpoint that the network has no use for.</param>
    /// <exception cref="MdmException">A file is missing or damaged, checkpoint and configuration do not fit, the device does
    /// not compute in bfloat16 (fp16), or nothing turns prompts into the features that the network was trained with.</exception>
    public static SamplingModel Open(ProgramConfig config, string checkpoint, IDevice device, Action<string>? warn = null)
    {
        if (!File.Exists(checkpoint))
            throw new MdmException($"{checkpoint}: there is no such file, expected a checkpoint (.pth or .safetensors)");
        _ = Devices.ComputeType(device, config.Fp16);
        ITextModel? text = TextModels.Load(FolderOf(checkpoint), device, config, load: false);
        try
        {
            text ??= TextModels.Create(config, device, load: false);
            if (text == null && config.UsePrecomputedTextEmbeddings)
            {
                throw new MdmException("use_precomputed_text_embeddings: found true, expected false and the text_model that made "
                    + "the features: there are none for a prompt");
            }

            DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, TextModels.Width(config, text));
            CheckpointLoader.RequireFit(checkpoint, network, warn);
            return new SamplingModel(config, network, text, device, checkpoint);
        }
        catch
        {
            text?.Dispose();
            throw;
        }
    }

    /// <summary>Loads the network's weights, unless they are there.</summary>
    /// <param name="progress">Told what is being loaded and the share that is done, 0..1; from any thread.</param>
    /// <exception cref="MdmException">The checkpoint is damaged or not what it was.</exception>
    /// <exception cref="OutOfDeviceMemoryException">They do not fit.</exception>
    public void LoadWeights(Action<string, double>? progress = null)
    {
        if (Network.Store.IsPlaced)
            return;
        DType type = Devices.ComputeType(Device, Config.Fp16);
        try
        {
            Network.Store.Place(Device, training: false, computeType: type, fill: false);
            string what = $"loading {Path.GetFileName(_checkpoint)}";
            CheckpointLoader.Load(_checkpoint!, Network, share => progress?.Invoke(what, share));
        }
        catch (OutOfDeviceMemoryException e)
        {
            Network.Store.Dispose();
            throw e.For($"the network's {Network.Store.Size(type.Size())}", Devices.RoomForWeights(Device, type));
        }
        catch
        {
            Network.Store.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _sampler?.Dispose();
        if (_checkpoint == null)
            return;
        Network.Dispose();
        Text?.Dispose();
    }

    private static string FolderOf(string checkpoint) => Path.GetDirectoryName(Path.GetFullPath(checkpoint))!;
}
