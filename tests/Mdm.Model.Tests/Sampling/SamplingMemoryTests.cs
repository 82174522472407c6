using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Sampling;
using Mdm.Model.Tests.Data;
using Mdm.Model.Tests.Diffusion;
using Mdm.Model.Tests.Networks;
using Mdm.Model.Text;
using Mdm.Tensors;
using Mdm.Tensors.Formats.Images;
using Mdm.Tests;

namespace Mdm.Model.Tests.Sampling;

/// <summary>A job on a device with little memory.</summary>
public sealed class SamplingMemoryTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void ABatchThatDoesNotFitIsHalved([Values] bool withText)
    {
        var warnings = new List<string>();
        long roomy = Draw(long.MaxValue, warnings, out byte[][] expected, withText);
        Assert.That(warnings, Is.Empty);

        // Room for a third of what eight pictures at once take.
        long least = Draw(roomy / 3, warnings, out byte[][] found, withText);
        Assert.That(least, Is.LessThanOrEqualTo(roomy / 3));
        Assert.That(warnings, Is.EqualTo(new[] { "not enough memory for 8 pictures at once: going on with fewer" }));
        foreach ((byte[] one, byte[] other) in expected.Zip(found))
            Assert.That(one.Zip(other, (a, b) => Math.Abs(a - b)).Max(), Is.LessThanOrEqualTo(1));
    }

    [Test]
    public void ASinglePictureThatDoesNotFitIsAnError() =>
        Assert.That(() => Draw(2048, [], out _), Throws.TypeOf<OutOfDeviceMemoryException>().With.Message.Matches(
            @"^not enough memory to draw one picture of 16x16: \d+ bytes were asked for, .*; --sample-image-size may be lowered"));

    [Test]
    public void GuidanceIsNamedWhereItTakesHalf() =>
        Assert.That(() => Draw(4096, [], out _, withText: true), Throws.TypeOf<OutOfDeviceMemoryException>()
            .With.Message.Contains("; --guidance=1 takes half; "));

    // Eight pictures; the peak of the memory that they took beside the weights.
    private long Draw(long limit, List<string> warnings, out byte[][] pictures, bool withText = false)
    {
        var device = new LimitedDevice();
        using var data = new TinyDataset(1);
        using DenoisingNetwork network =
            withText ? TextNetworks.Create(device, TextNetwork.Nested) : TinyNetwork.Nested(device).Awake();
        using ITextModel? text = withText ? new WordTableTextModel(device, data.Vocabulary, 5, TextNetworks.TextWidth) : null;
        var config = new ProgramConfig();
        config.DiffusionConfig.NoUseResidual = true;
        config.DiffusionConfig.SamplerConfig.NumDiffusionSteps = 8;
        config.DiffusionConfig.SamplerConfig.ScheduleType = ScheduleType.Deepfloyd;
        using var model = new SamplingModel(config, network, text);
        var options = new SamplingOptions
        {
            Folder = _folder.Path,
            Seed = 3,
            Size = 16,
            Batch = 8,
            Steps = 3,
            Guidance = withText ? 3 : 1,
        };
        device.Allow(limit);
        SamplingTask[] tasks = [.. Enumerable.Repeat(new SamplingTask(withText ? "a red circle" : ""), 8)];
        SamplingResult result = new SamplingJob(model, options, warnings.Add).Run(tasks);
        pictures = [.. result.Items.Select(item => ImageFile.Read(_folder[item.Path]).Rgb)];
        Assert.That(device.Used, Is.Zero, "bytes in use afterwards");
        return device.Peak;
    }

    /// <summary>A processor that gives out so many bytes and no more.</summary>
    private sealed class LimitedDevice : IDevice
    {
        private readonly CpuDevice _inner = new();
        private long _limit = long.MaxValue;

        public long Used { get; private set; }

        public long Peak { get; private set; }

        public string Name => _inner.Name;

        public string Description => _inner.Description;

        public IKernels Kernels => _inner.Kernels;

        public MemoryStatistics Memory => _inner.Memory;

        public void Allow(long bytes) => (_limit, Used, Peak) = (bytes, 0, 0);

        public bool Supports(DType type) => _inner.Supports(type);

        public nint Allocate(long bytes)
        {
            if (Used + bytes > _limit)
                throw new OutOfDeviceMemoryException($"{bytes} bytes were asked for, {Used} of {_limit} are in use");
            Used += bytes;
            Peak = Math.Max(Peak, Used);
            return _inner.Allocate(bytes);
        }

        public void Free(nint address, long bytes)
        {
            Used -= bytes;
            _inner.Free(address, bytes);
        }

        public void Upload(ReadOnlySpan<byte> source, nint destination) => _inner.Upload(source, destination);

        public void Download(nint source, Span<byte> destination) => _inner.Download(source, destination);

        public void Synchronize() => _inner.Synchronize();

        public void Trim() => _inner.Trim();

        public void ResetPeak() => _inner.ResetPeak();

        public void Dispose() => _inner.Dispose();
    }
}
