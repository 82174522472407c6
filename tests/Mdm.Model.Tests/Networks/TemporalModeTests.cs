using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Golden;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Tests.Networks;

/// <summary>Networks that see a picture as a grid of frames.</summary>
public sealed class TemporalModeTests
{
    [TestCase(2, 4, 32, false)]
    [TestCase(2, 4, 32, true)]
    [TestCase(1, 5, 64, true)]
    [TestCase(3, 1, 32, true)]
    public void AttentionOverFramesIsItsFormula(int samples, int frames, int channels, bool rotary)
    {
        const int Height = 4, Width = 2;
        using var store = new ParameterStore();
        var attention = new TemporalAttention(new ModuleContext(store), channels, rotary);
        store.Place(GoldenModel.Device, training: false);
        Randomise(store);
        var random = new Random(5);
        var shape = new Shape(samples * frames, Height, Width, channels);
        float[] x = [.. Enumerable.Range(0, (int)shape.Count).Select(_ => 2 * random.NextSingle() - 1)];

        using Scope scope = Scope.Enter();
        Tensor y = attention.Call((Tensor.From(GoldenModel.Device, x, shape), samples));

        double[] expected = new TemporalAttentionReference(store, Height, Width, channels, rotary)
            .Compute([.. x.Select(v => (double)v)], samples);
        Close.Require("y", y.ToArray(), [.. expected.Select(v => (float)v)], Close.Forward);
    }

    [Test]
    public void SpatialResamplingTreatsEveryFrameAsAPictureOfItsOwn()
    {
        // 2 x 2 frames, of 8x8 pixels outermost and 4x4 further in, where they are halved twice.
        UNetConfig still = Network([32, 32]), video = Network([32, 32]);
        video.TemporalMode = video.TemporalSpatialDs = true;
        video.InnerConfig = Network([32, 32, 32]);
        video.InnerConfig.TemporalMode = true;
        video.InnerConfig.InnerConfig = Network([32]);
        Assert.That((video.GridSide, video.LowestGridSide, video.InnerConfig.GridSide, video.InnerConfig.LowestGridSide),
            Is.EqualTo((2, 2, 2, 1)));
        Assert.That(video.Scales(), Is.EqualTo(new[] { 4, 2, 1 }));
        using DenoisingNetwork whole = NetworkBuilder.Build(video, 0), part = NetworkBuilder.Build(still, 0);
        whole.Store.Place(GoldenModel.Device, training: false);
        part.Store.Place(GoldenModel.Device, training: false);
        Randomise(whole.Store);
        Silence(whole.Store.ByName["out_adapter.weight"]);
        Silence(whole.Store.ByName["out_adapter.bias"]);
        foreach (Parameter parameter in part.Store.Parameters)
            part.Store.FromFileLayout(parameter, whole.Store.ToFileLayout(whole.Store.ByName[parameter.Name]));

        using Scope scope = Scope.Enter();
        Tensor[] images = [.. new[] { 16, 8, 4 }.Select((side, k) => Noise(new Shape(2, side, side, 3), k))];
        Tensor times = Tensor.From(GoldenModel.Device, [3f, 700f], new Shape(2));
        Tensor found = whole.Call(new NetworkInput(images, times, null, new Dictionary<string, Tensor>())).Predictions[0];
        // The network for single pictures is not told to divide them by their deviation, as a nested one does.
        Tensor frames = Op.StdNormalize(Op.GridToFrames(images[0], 2));
        Tensor expected = part.Call(
            new NetworkInput([frames], Op.RepeatSamples(times, 4), null, new Dictionary<string, Tensor>())).Predictions[0];

        Close.Require("prediction", found.ToArray(), Op.FramesToGrid(expected, 2).ToArray(), Close.Forward);
        Assert.That(whole.Store.ByName["down_blocks.0.resample.weight"].FileShape, Is.EqualTo(new Shape(32, 32, 3, 3)));
        Assert.That(whole.Store.ByName["inner_unet.down_blocks.0.resample.weight"].FileShape, Is.EqualTo(new Shape(32, 32, 3)));
    }

    [Test]
    public void LowerResolutionsAreSomeOfTheFrames()
    {
        // 16 frames of 2x2 pixels around 4 around one; each frame's pixels are its number.
        UNetConfig video = Network([32, 32, 32]);
        video.TemporalMode = true;
        video.InnerConfig = Network([32, 32, 32]);
        video.InnerConfig.TemporalMode = true;
        video.InnerConfig.InnerConfig = Network([32]);
        Assert.That((video.GridSide, video.LowestGridSide, video.PickedGridSide, video.SizeFactor), Is.EqualTo((4, 2, 4, 4)));
        using Scope scope = Scope.Enter();
        float[] numbers = [.. Enumerable.Range(0, 64).Select(i => (float)(i / 16 * 4 + i % 8 / 2))];
        Tensor image = Tensor.From(GoldenModel.Device, numbers, new Shape(1, 8, 8, 1));

        Tensor[] found = LowerResolutions.Of(video, image);

        Assert.That(found.Select(level => level.Shape), Is.EqualTo(new Shape[] { new(1, 8, 8, 1), new(1, 4, 4, 1), new(1, 2, 2, 1) }));
        Assert.That(found[1].ToArray(), Is.EqualTo(new float[] { 0, 0, 4, 4, 0, 0, 4, 4, 8, 8, 12, 12, 8, 8, 12, 12 }));
        Assert.That(found[2].ToArray(), Is.EqualTo(new float[4]));
        // One network over frames sees blocks of 2x2 frames as one, but the loss still picks among 4x4.
        video.InnerConfig = Network([32]);
        Assert.That((video.GridSide, video.PickedGridSide, video.SizeFactor), Is.EqualTo((2, 4, 4)));
        Assert.That(LowerResolutions.Of(video, image)[1].ToArray(), Is.EqualTo(found[1].ToArray()));
    }

    [Test]
    public void TextIsSeenByAllFrames()
    {
        UNetConfig config = Network([32, 32, 32]);
        config.TemporalMode = config.TemporalPositionalEncoding = true;
        config.AttentionLevels = [1];
        config.NumTemporalAttentionLayers = [0, 1, 0];
        config.InnerConfig = Network([32]);
        using DenoisingNetwork network = NetworkBuilder.Build(config, 16);
        network.Store.Place(GoldenModel.Device, training: true);
        Randomise(network.Store);

        using Scope scope = Scope.Enter();
        using Tape tape = Tape.Start();
        Tensor mask = Tensor.From(GoldenModel.Device, [1f, 1, 0, 1, 0, 0], new Shape(2, 3));
        var text = new TextFeatures(Noise(new Shape(2, 3, 16), 9), mask);
        Tensor[] images = [Noise(new Shape(2, 16, 16, 3), 1), Noise(new Shape(2, 8, 8, 3), 2)];
        Tensor times = Tensor.From(GoldenModel.Device, [3f, 700f], new Shape(2));
        NetworkOutput output = network.Call(new NetworkInput(images, times, text, new Dictionary<string, Tensor>()));
        tape.Backward(Op.Mean(Op.Multiply(output.Predictions[0], output.Predictions[0])));

        Assert.That(output.Predictions[0].Shape, Is.EqualTo(new Shape(2, 16, 16, 3)));
        foreach (string name in (string[])["down_blocks.1.attn.0.kv_cond.weight", "up_blocks.1.t_attn.1.attn.qkv.weight",
            "down_blocks.0.resample.weight", "up_blocks.1.resample.bias"])
        {
            float[] gradient = network.Store.ToFileLayout(network.Store.ByName[name], network.Store.Gradients);
            Assert.That(gradient.Max(Math.Abs), Is.GreaterThan(0).And.LessThan(1e3), name);
        }
    }

    private static UNetConfig Network(int[] channels) => new()
    {
        ResolutionChannels = channels,
        NumResnetsPerResolution = [1],
        AttentionLevels = [],
        TemporalDim = 16,
        SkipMidBlocks = true,
        ResnetConfig = new ResNetConfig { NumGroupsNorm = 8 },
    };

    private static Tensor Noise(Shape shape, int seed)
    {
        var random = new Random(seed);
        float[] values = [.. Enumerable.Range(0, (int)shape.Count).Select(_ => 2 * random.NextSingle() - 1)];
        return Tensor.From(GoldenModel.Device, values, shape);
    }

    // Layers that begin with zeros would hide what is behind them.
    private static void Randomise(ParameterStore store)
    {
        var random = new Random(3);
        foreach (Parameter parameter in store.Parameters)
            store.FromFileLayout(parameter, [.. Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ =>
                parameter.Shape.Rank == 1 ? 0.8f + 0.4f * random.NextSingle() : (2 * random.NextSingle() - 1) * 0.1f)]);
    }

    private static void Silence(Parameter parameter) =>
        ParameterStore.Set(parameter, Tensor.Zeros(GoldenModel.Device, parameter.Shape));
}
