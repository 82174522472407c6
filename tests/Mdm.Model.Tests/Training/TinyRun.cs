using System.Runtime.InteropServices;
using Mdm.Model.Configuration;
using Mdm.Model.Tests.Data;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Tests.Training;

/// <summary>A data set of 8x8 images and the settings of a run that trains a tiny nested network on it, with dropout and
/// captions left out at random.</summary>
internal sealed class TinyRun : IDisposable
{
    public TinyRun(int samples = 20) => Data = new TinyDataset(samples);

    public TinyDataset Data { get; }

    public static ProgramConfig Config(TinyDataset data, string output = "run", Action<ProgramConfig>? change = null)
    {
        var config = new ProgramConfig
        {
            OutputDir = data[output],
            FileList = data.Index,
            TextModel = ProgramConfig.WordsTextModel,
            TextDim = 16,
            VocabFile = data.Vocabulary,
            Seed = 3,
            BatchSize = 4,
            NumTrainingSteps = 6,
            WarmupSteps = 2,
            LogFreq = 2,
            CondDropProb = 0.3,
            EmaDecay = 0.9,
            UnetConfig = Nested(),
        };
        config.ReaderConfig.ImageSize = 8;
        config.ReaderConfig.ShuffleBufferSize = 6;
        config.ReaderConfig.ReaderBufferSize = 3;
        config.DiffusionConfig.NoUseResidual = true;
        config.DiffusionConfig.UseDoubleLoss = true;
        config.DiffusionConfig.UseVdmLossWeights = false;
        config.DiffusionConfig.SamplerConfig.NumDiffusionSteps = 50;
        change?.Invoke(config);
        return config;
    }

    public ProgramConfig Config(string output = "run", Action<ProgramConfig>? change = null) => Config(Data, output, change);

    public Trainer Trainer(string output = "run", Action<ProgramConfig>? change = null, TrainerOptions? options = null) =>
        new(Config(output, change), Devices.Open("cpu"), options ?? new TrainerOptions());

    public static UNetConfig Plain(int channels = 32) => new()
    {
        ResolutionChannels = [channels],
        NumResnetsPerResolution = [1],
        AttentionLevels = [0],
        NumAttentionLayers = [1],
        TemporalDim = 32,
        MicroConditioning = "scale:8",
        ResnetConfig = new ResNetConfig { NumGroupsNorm = 8, Dropout = 0.1 },
        SkipNormalization = true,
    };

    public static UNetConfig Nested() => new()
    {
        ResolutionChannels = [16, 16],
        NumResnetsPerResolution = [1],
        AttentionLevels = [],
        NumAttentionLayers = [0],
        TemporalDim = 32,
        ResnetConfig = new ResNetConfig { NumGroupsNorm = 8, Dropout = 0.1 },
        SkipNormalization = true,
        InnerConfig = WithNesting(Plain()),
    };

    public static Dictionary<string, float[]> Weights(ParameterStore store, Tensor? arena = null) =>
        store.Parameters.ToDictionary(p => p.Name, p => store.ToFileLayout(p, arena));

    /// <summary>Asserts that two sets of weights agree in every bit (faster than comparing element by element).</summary>
    public static void AssertSame(Dictionary<string, float[]> found, Dictionary<string, float[]> expected)
    {
        Assert.That(found.Keys, Is.EquivalentTo(expected.Keys));
        string[] differing = found.Keys.Where(name => !Bits(found[name]).SequenceEqual(Bits(expected[name]))).ToArray();
        Assert.That(differing, Is.Empty);

        static ReadOnlySpan<byte> Bits(float[] values) => MemoryMarshal.AsBytes(values.AsSpan());
    }

    public static void AssertSame(Tensor found, Tensor expected) =>
        Assert.That(found.ToArray().AsSpan().SequenceEqual(expected.ToArray()));

    public void Dispose() => Data.Dispose();

    private static UNetConfig WithNesting(UNetConfig config)
    {
        config.Nesting = true;
        return config;
    }
}

/// <summary>Keeps what a run reports, and may do something at a step.</summary>
internal sealed class Recorder(Action<StepReport>? atStep = null) : ITrainingObserver
{
    public List<StepReport> Steps { get; } = [];

    public List<string> Checkpoints { get; } = [];

    public List<string> Warnings { get; } = [];

    public void StepDone(StepReport report)
    {
        Steps.Add(report);
        atStep?.Invoke(report);
    }

    public void Saved(string path) => Checkpoints.Add(path);

    public void Warning(string message)
    {
        lock (Warnings)
            Warnings.Add(message);
    }
}
