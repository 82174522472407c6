using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Sampling;
using Mdm.Model.Tests.Text;
using Mdm.Model.Tests.Training;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tests;

namespace Mdm.Model.Tests.Sampling;

/// <summary>What is in memory when, from the files to the pictures.</summary>
public sealed class SamplingModelTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void TheTextModelIsGoneWhenTheNetworkComes()
    {
        using var device = new CpuDevice();
        using SamplingModel model = Open(device);
        Assert.That(device.Memory.InUse, Is.Zero, "opened, not loaded");
        long weights = model.Network.Store.ParameterCount * sizeof(float);
        var job = new SamplingJob(model, Options(), Assert.Fail);
        var said = new List<string>();
        SamplingTask[] tasks = [new("w7 w9"), new("w8")];
        job.Prepare(tasks, (what, _) => said.Add(what));
        Assert.That(said.Distinct(), Is.EqualTo(new[] { "loading the text model", "reading the prompts", "loading model.pth" }));
        long text = device.Memory.Peak;
        Assert.That(text, Is.GreaterThan(4 * weights));
        Assert.That(device.Memory.Reserved, Is.LessThan(2 * weights), "the text model's memory is the system's again");
        device.ResetPeak();
        SamplingResult result = job.Run(tasks);
        Assert.That(result.Items, Has.Count.EqualTo(2));
        Assert.That(device.Memory.Peak, Is.LessThan(text / 2));
    }

    [Test]
    public void NothingIsLoadedForPicturesThatAreThere()
    {
        var origin = new RecipeOrigin("1", new RecipeFile("/c", "0"), "0", []);
        SamplingOptions options = Options() with { Resume = true, Origin = origin };
        SamplingTask[] tasks = [new("w7 w9")];
        using (var device = new CpuDevice())
        using (SamplingModel model = Open(device))
            new SamplingJob(model, options, Assert.Fail).Run(tasks);
        using (var device = new CpuDevice())
        using (SamplingModel model = Open(device))
        {
            var job = new SamplingJob(model, options, Assert.Fail);
            Assert.That(job.Run(tasks).Reused, Is.EqualTo(1));
            Assert.That(device.Memory.Peak, Is.Zero);
        }
    }

    [Test]
    public void WeightsThatDoNotFitSayWhatTheyTake()
    {
        using var device = new CpuDevice(limit: 100_000);
        using SamplingModel model = Open(device);
        Assert.That(() => model.LoadWeights(), Throws.TypeOf<OutOfDeviceMemoryException>().With.Message.Match(
            @"^the network's 0\.\d million weights take \d MB: cpu: asked for .*; end other programs or use a device with more "
            + "memory$"));
        Assert.That(device.Memory.InUse, Is.Zero);
    }

    [Test]
    public void ACheckpointOfAnotherNetworkIsRefusedBeforeAnythingIsLoaded()
    {
        using var device = new CpuDevice();
        Open(device).Dispose();
        ProgramConfig other = Config();
        other.UnetConfig = TinyRun.Plain(64);
        Assert.That(() => SamplingModel.Open(other, _folder["model.pth"], device),
            Throws.TypeOf<MdmException>().With.Message.Contains("of another shape"));
        Assert.That(device.Memory.Peak, Is.Zero);
    }

    private SamplingModel Open(IDevice device)
    {
        if (!File.Exists(_folder["model.pth"]))
        {
            new T5Folder { Width = 96, Heads = 8, HeadWidth = 12, FeedForward = 1024, Layers = 12 }.Write(_folder["t5"]);
            T5TextModelTests.Vocabulary(_folder["t5.vocab"], 40);
            using DenoisingNetwork network = NetworkBuilder.Build(TinyRun.Plain(), 96);
            network.Store.Place(Devices.Open("cpu"), training: false, seed: 4);
            TensorFile.Save(_folder["model.pth"], [.. network.Store.Parameters.Select(parameter => StoredTensor.FromFloats(
                parameter.Name, Array.ConvertAll(parameter.FileShape.ToArray(), size => (long)size),
                network.Store.ToFileLayout(parameter)))]);
        }

        return SamplingModel.Open(Config(), _folder["model.pth"], device, Assert.Fail);
    }

    private ProgramConfig Config()
    {
        var config = new ProgramConfig
        {
            TextModel = _folder["t5"],
            VocabFile = _folder["t5.vocab"],
            UnetConfig = TinyRun.Plain(),
        };
        config.DiffusionConfig.SamplerConfig.NumDiffusionSteps = 8;
        return config;
    }

    private SamplingOptions Options() =>
        new() { Folder = _folder["out"], Seed = 3, Size = 8, Batch = 2, Steps = 2, Guidance = 3 };
}
