using Mdm.Tensors;

namespace Mdm.Model.Configuration;

/// <summary>How the learning rate moves after the warm-up.</summary>
[LowerCaseNames]
public enum LrSchedule
{
    Constant,
    Cosine,
}

/// <summary>Everything that a training or sampling run is told: the top level of a YAML file and its sections.</summary>
public sealed class ProgramConfig
{
    /// <summary>Value of <see cref="TextModel"/> that names the frozen table of random word vectors.</summary>
    public const string WordsTextModel = "words";

    [Setting("Kind of network (unet, nested_unet, nested2_unet, ...); none: as unet_config nests", Placeholder = "NAME")]
    public string? Model { get; set; }

    [Setting($"Where to compute: {Devices.Names}", Placeholder = "NAME")]
    public string Device { get; set; } = "auto";

    [Setting("Kernels for products and convolutions: own, library (cuBLASLt, cuDNN), or auto, the fastest, measured once",
        Placeholder = "NAME")]
    public string Kernels { get; set; } = "own";

    [Setting("Threads; 0: one per core", Min = 0)]
    public int Threads { get; set; }

    [Setting("Seed of all random numbers; -1: a new one each run", Min = -1)]
    public long Seed { get; set; } = -1;

    [Setting("bfloat16 arithmetic with float32 master weights")]
    public bool Fp16 { get; set; }

    [Setting("Records training and sampling steps and replays them, where the device can")]
    public bool UseGraphs { get; set; } = true;

    [Setting("Folder for checkpoints and logs", Placeholder = "DIR")]
    public string OutputDir { get; set; } = "";

    [Setting("How much is logged: DEBUG, INFO, WARNING or ERROR")]
    public string Loglevel { get; set; } = "INFO";

    [Setting("Trains on all machines of an MPI run")]
    public bool Multinode { get; set; }

    [Setting("Text encoder: a folder or name of a T5 model, or 'words' for random word vectors", Placeholder = "NAME")]
    public string TextModel { get; set; } = "google/flan-t5-xl";

    [Setting("Width of the vectors of text_model words", Min = 1)]
    public int TextDim { get; set; } = 64;

    [Setting("Seed of the vectors of text_model words", Min = 0)]
    public long TextSeed { get; set; }

    [Setting("Neighbours on either side that each vector of text_model words tells of", Min = 0, Max = 64)]
    public int TextContext { get; set; }

    [Setting("Width of the text features where no text model is loaded; none: no text", Min = 1)]
    public int? LanguageModelDim { get; set; }

    [Setting("Tokenizer: a .vocab file, spiece.model, tokenizer.json, or a folder with either of these", Placeholder = "PATH")]
    public string VocabFile { get; set; } = "data/c4_wpm.vocab";

    [Setting("Text features come from the data set, not from a text model")]
    public bool UsePrecomputedTextEmbeddings { get; set; }

    [Setting("Not supported; text_model words serves class names")]
    public bool CategoricalConditioning { get; set; }

    [Setting("Index TSV of the training data", Placeholder = "FILE")]
    public string FileList { get; set; } = "";

    [Setting("Checkpoint to start from", Placeholder = "FILE")]
    public string? PretrainedVisionFile { get; set; }

    [Setting("Starts from the averaged weights of the checkpoint")]
    public bool ResumeFromEma { get; set; }

    [Setting("Samples in a batch", Min = 1)]
    public int BatchSize { get; set; } = 2;

    [Setting("Learning rate", Min = 0)]
    public double Lr { get; set; } = 1e-3;

    [Setting("Learning rate after the warm-up: constant, or a cosine to zero at num_training_steps")]
    public LrSchedule LrSchedule { get; set; }

    [Setting("Steps over which the learning rate rises", Min = 0)]
    public int WarmupSteps { get; set; } = 5000;

    [Setting("Updates to make", Min = 1)]
    public int NumTrainingSteps { get; set; } = 850000;

    [Setting("Passes over the data, at most", Min = 1)]
    public int NumEpochs { get; set; } = 20000;

    [Setting("Greatest norm of all gradients together", Min = 0)]
    public double GradientClipNorm { get; set; } = 2;

    [Setting("AdamW in place of Adam")]
    public bool UseAdamw { get; set; }

    [Setting("Batches whose gradients are averaged into one update", Min = 1)]
    public int NumGradientAccumulations { get; set; } = 1;

    [Setting("Multiplies the loss", Min = 0)]
    public double LossFactor { get; set; } = 1;

    [Setting("Decay of the averaged weights", Min = 0, Max = 1)]
    public double EmaDecay { get; set; } = 0.9999;

    [Setting("Averages over fewer steps at the beginning")]
    public bool EmaWarmup { get; set; }

    [Setting("Probability of training a sample without its caption, which guidance needs", Min = 0, Max = 1)]
    public double CondDropProb { get; set; }

    [Setting("Computes activations twice to save memory")]
    public bool GradientCheckpointing { get; set; }

    [Setting("Steps between log lines", Min = 1)]
    public int LogFreq { get; set; } = 100;

    [Setting("Steps between checkpoints", Min = 1)]
    public int SaveFreq { get; set; } = 1000;

    [Setting("Minutes between checkpoints, beside save_freq; 0: off", Min = 0)]
    public double CheckpointEveryMinutes { get; set; }

    [Setting("Checkpoint to sample from", Placeholder = "FILE")]
    public string ModelFile { get; set; } = "";

    [Setting("TSV of the captions to sample", Placeholder = "FILE")]
    public string TestFileList { get; set; } = "";

    [Setting("Folder for samples", Placeholder = "DIR")]
    public string SampleDir { get; set; } = "samples";

    [Setting("Side of the sampled images; -1: reader_config.image_size", Min = -1, Placeholder = "PIXELS")]
    public int SampleImageSize { get; set; } = -1;

    [Setting("Images to sample from test_file_list, at least", Min = 1)]
    public int MinExamples { get; set; } = 10000;

    [Setting("Guidance; 1: none", Alias = "guidance")]
    public double CfgWeight { get; set; } = 1;

    [Setting("Sampling steps; none: num_diffusion_steps", Min = 1)]
    public int? NumInferenceSteps { get; set; }

    [Setting("Noise of DDIM sampling, 0: none; not given: ancestral sampling", Min = 0, Max = 1, Alias = "eta")]
    public double? DdimEta { get; set; }

    [Setting("What the picture should not show")]
    public string NegativePrompt { get; set; } = "";

    [Setting("Also shows the lower levels of a nested network")]
    public bool OutputInner { get; set; }

    [Setting("Port of the web page", Min = 1, Max = 65535)]
    public int Port { get; set; } = 19231;

    /// <summary>The networks.</summary>
    [Setting("Networks")]
    public UNetConfig UnetConfig { get; set; } = new();

    /// <summary>The loss and the noise schedule.</summary>
    [Setting("Loss")]
    public DiffusionConfig DiffusionConfig { get; set; } = new();

    /// <summary>Images and captions.</summary>
    [Setting("Images and captions")]
    public ReaderConfig ReaderConfig { get; set; } = new();

    /// <summary>Side of the images to sample, the default filled in; -1 where neither setting is given.</summary>
    public int ResolvedSampleSize => SampleImageSize > 0 ? SampleImageSize : ReaderConfig.ImageSize;

    /// <summary>A copy that shares nothing with this object.</summary>
    public ProgramConfig Clone()
    {
        var copy = (ProgramConfig)MemberwiseClone();
        copy.UnetConfig = UnetConfig.Clone();
        copy.DiffusionConfig = DiffusionConfig.Clone();
        copy.ReaderConfig = ReaderConfig.Clone();
        return copy;
    }
}
