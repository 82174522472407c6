using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;
using Mdm.Tests;

namespace Mdm.Model.Tests.Training;

public class CheckpointLoaderTests
{
    [Test]
    public void Checkpoints_that_do_not_fit_say_what_and_why()
    {
        using var run = new TinyRun();
        string plain = Saved(run, "plain.safetensors", TinyRun.Plain(), (_, tensor) => tensor);
        string complaint = Complaint(plain, TinyRun.Nested());
        Assert.That(complaint, Does.Contain("plain.safetensors").And.Contain("are missing").And.Contain("not in the network"));
        Assert.That(complaint, Does.Contain("holds a unet, the configuration describes a nested_unet"));
        complaint = Complaint(plain, TinyRun.Plain(64));
        Assert.That(complaint, Does.Contain("of another shape").And.Contain("first level has 32 channels"));
        Assert.That(complaint, Does.Contain("conv_in.weight: found [32, 3, 3, 3], expected [64, 3, 3, 3]"));
        Assert.That(complaint, Does.Match(@" and \d\d more\)").And.Length.LessThan(600));
        string partial = Saved(
            run, "partial.safetensors", TinyRun.Plain(), (name, tensor) => name == "conv_in.bias" ? null : tensor);
        Assert.That(Complaint(partial, TinyRun.Plain()), Does.Contain("1 parameter is missing (conv_in.bias)"));
        string[] several = ["conv_in.weight", "conv_in.bias", "norm_out.weight", "norm_out.bias", "conv_out.bias"];
        string poor = Saved(run, "poor.safetensors", TinyRun.Plain(), (name, tensor) => several.Contains(name) ? null : tensor);
        complaint = Complaint(poor, TinyRun.Plain());
        Assert.That(several, Has.All.Matches<string>(complaint.Contains), "not the first ones only");
        string other = run.Data["other.safetensors"];
        TensorFile.Save(other, [StoredTensor.FromFloats("a", [1], [1])]);
        Assert.That(Complaint(other, TinyRun.Plain()), Does.Contain("(a)").And.Contain("no network of this kind"));
        Assert.That(Complaint(run.Data["nowhere.pth"], TinyRun.Plain()), Does.Contain("nowhere.pth"));
    }

    [TestCase(256, 64)]
    [TestCase(1024, 64)]
    [TestCase(64, 256)]
    [TestCase(1024, 256)]
    [TestCase(64, 1024)]
    [TestCase(256, 1024)]
    public void A_checkpoint_of_another_published_model_names_its_configuration(int held, int configured)
    {
        using var folder = new TemporaryFolder();
        string file = Published(folder[$"vis_model_{held}x{held}.safetensors"], held);
        UNetConfig config = Configuration($"cc12m_{configured}x{configured}.yaml");
        using DenoisingNetwork network = NetworkBuilder.Build(config, 2048);
        string message = Assert.Throws<MdmException>(() => CheckpointLoader.Load(file, network))!.Message;
        Assert.That(message, Does.Contain($"vis_model_{held}x{held}.safetensors does not fit the configuration"));
        Assert.That(message, Does.Contain($"the configuration describes a {config.ModelName}: its configuration is "));
        Assert.That(message, Does.EndWith($"cc12m_{held}x{held}.yaml").And.Not.Contain("\n"));
    }

    [Test]
    public void Tensors_without_a_use_are_listed_and_left_aside()
    {
        using var run = new TinyRun();
        string file = Saved(run, "plain.safetensors", TinyRun.Plain(), (_, tensor) => tensor), rich = run.Data["rich.pth"];
        using (ITensorFile plain = TensorFile.Open(file))
        {
            StoredTensor interpolation = StoredTensor.FromFloats("interp_layer1.weight", [2], [1, 2]);
            StoredTensor[] more = [interpolation, StoredTensor.FromFloats("n", [], [7])];
            TensorFile.Save(rich, [.. plain.Tensors.Values, .. more], new Dictionary<string, string> { ["args"] = "x" });
        }

        using DenoisingNetwork network = Network(TinyRun.Plain(), seed: 8), source = Network(TinyRun.Plain());
        var warnings = new List<string>();
        IReadOnlyDictionary<string, string> said = CheckpointLoader.Load(rich, network, null, warnings.Add);
        TinyRun.AssertSame(TinyRun.Weights(network.Store), TinyRun.Weights(source.Store));
        Assert.That(said["args"], Is.EqualTo("x"));
        Assert.That(warnings, Is.EqualTo(
            new[] { $"{rich}: 2 parameters are not in the network (interp_layer1.weight, n) and left aside" }));

        // A whole network too many is a mistake.
        using (ITensorFile plain = TensorFile.Open(file))
            TensorFile.Save(rich, [.. plain.Tensors.Values, StoredTensor.FromFloats("inner_unet.conv_in.weight", [1], [0])]);
        Assert.That(Complaint(rich, TinyRun.Plain()), Does.Contain("1 parameter is not in the network (inner_unet.conv_in.weight)")
            .And.Contain("it holds a nested_unet, the configuration describes a unet"));
    }

    [Test]
    public void A_failed_load_changes_no_weight()
    {
        using var run = new TinyRun();
        string partial = Saved(
            run, "partial.safetensors", TinyRun.Plain(), (name, tensor) => name == "conv_out.bias" ? null : tensor);
        using DenoisingNetwork network = Network(TinyRun.Plain(), seed: 8);
        Dictionary<string, float[]> before = TinyRun.Weights(network.Store);
        Assert.That(() => CheckpointLoader.Load(partial, network), Throws.InstanceOf<MdmException>());
        TinyRun.AssertSame(TinyRun.Weights(network.Store), before);
    }

    [Test]
    public void Names_of_several_gpus_are_understood()
    {
        using var run = new TinyRun();
        string file = Saved(run, "parallel.safetensors", TinyRun.Plain(),
            (name, tensor) => StoredTensor.FromFloats("module." + name, tensor.Shape, tensor.ToFloats()));
        using DenoisingNetwork network = Network(TinyRun.Plain(), seed: 8), source = Network(TinyRun.Plain());
        CheckpointLoader.Load(file, network);
        TinyRun.AssertSame(TinyRun.Weights(network.Store), TinyRun.Weights(source.Store));
    }

    [Test]
    public void Frequencies_of_rotary_positions_are_left_aside()
    {
        using var run = new TinyRun();
        string file = Saved(run, "still.safetensors", TinyRun.Plain(), (_, tensor) => tensor), video = run.Data["video.safetensors"];
        using (ITensorFile still = TensorFile.Open(file))
        {
            StoredTensor constants = StoredTensor.FromFloats("down_blocks.1.t_attn.0.attn.pos_emb.freqs", [16], new float[16]);
            TensorFile.Save(video, [.. still.Tensors.Values.Append(constants)]);
        }

        using DenoisingNetwork network = Network(TinyRun.Plain(), seed: 8), source = Network(TinyRun.Plain());
        CheckpointLoader.Load(video, network);
        TinyRun.AssertSame(TinyRun.Weights(network.Store), TinyRun.Weights(source.Store));
    }

    [Test]
    public void An_inner_network_starts_from_its_own_checkpoint_and_may_be_frozen()
    {
        using var run = new TinyRun();
        string inner = Saved(run, "inner.safetensors", TinyRun.Plain(), (_, tensor) => tensor, seed: 77);
        using DenoisingNetwork source = Network(TinyRun.Plain(), seed: 77);
        Action<ProgramConfig> Change(int steps) => config =>
        {
            config.NumTrainingSteps = steps;
            config.UnetConfig.InitializeInnerWithPretrained = inner;
            config.UnetConfig.FreezeInnerUnet = true;
        };

        using Trainer trainer = run.Trainer(change: Change(2));
        trainer.Run();
        Dictionary<string, float[]> weights = TinyRun.Weights(trainer.Network.Store);
        foreach ((string name, float[] values) in TinyRun.Weights(source.Store))
            Assert.That(weights["inner_unet." + name], Is.EqualTo(values), name);
        using Trainer resumed = run.Trainer(change: Change(3), options: new TrainerOptions { Resume = true });
        TinyRun.AssertSame(TinyRun.Weights(resumed.Network.Store), weights);
    }

    [Test]
    public void A_network_in_the_middle_may_freeze_what_is_nested_in_it()
    {
        UNetConfig config = TinyRun.Nested();
        config.InnerConfig = TinyRun.Nested();
        config.InnerConfig.FreezeInnerUnet = true;
        using DenoisingNetwork network = NetworkBuilder.Build(config, 16);
        Assert.That(network.Store.Parameters, Has.Some.Matches<Parameter>(p => p.Frozen));
        Assert.That(network.Store.Parameters,
            Has.All.Matches<Parameter>(p => p.Frozen == p.Name.StartsWith("inner_unet.inner_unet.", StringComparison.Ordinal)));
    }

    [Test]
    public void An_inner_checkpoint_that_is_not_there_is_a_warning()
    {
        using var run = new TinyRun();
        var seen = new Recorder();
        using Trainer trainer = run.Trainer(
            change: c => c.UnetConfig.InitializeInnerWithPretrained = "cc12m_64",
            options: new TrainerOptions { Observer = seen });
        Assert.That(seen.Warnings, Has.One.Contains("cc12m_64"));
        using Trainer none = run.Trainer(
            change: c => c.UnetConfig.InitializeInnerWithPretrained = "None", options: new TrainerOptions { Observer = seen });
        Assert.That(seen.Warnings, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_run_starts_from_the_weights_and_the_average_of_another()
    {
        using var run = new TinyRun();
        using Trainer first = run.Trainer(change: c => c.NumTrainingSteps = 2);
        string file = first.Run().Checkpoint;
        using Trainer both = run.Trainer("b", c => c.PretrainedVisionFile = file);
        TinyRun.AssertSame(TinyRun.Weights(both.Network.Store), TinyRun.Weights(first.Network.Store));
        TinyRun.AssertSame(both.Optimizer.Ema!, first.Optimizer.Ema!);
        using Trainer averaged = run.Trainer("c", c => (c.PretrainedVisionFile, c.ResumeFromEma) = (file, true));
        TinyRun.AssertSame(TinyRun.Weights(averaged.Network.Store), TinyRun.Weights(first.Network.Store, first.Optimizer.Ema));
        TinyRun.AssertSame(averaged.Optimizer.Ema!, first.Optimizer.Ema!);
        Assert.That(() => run.Trainer("d", c => c.PretrainedVisionFile = run.Data["nowhere.pth"]),
            Throws.InstanceOf<MdmException>().With.Message.Contains("nowhere.pth"));
    }

    private static UNetConfig Configuration(string name) =>
        ConfigLoader.Load(Path.Combine(AppContext.BaseDirectory, "configs", "models", name), [], _ => { }).UnetConfig;

    /// <summary>A file with all tensors of a published model, whose numbers take no room on the disk: nobody should read
    /// them.</summary>
    private static string Published(string path, int size)
    {
        using DenoisingNetwork network = NetworkBuilder.Build(Configuration($"cc12m_{size}x{size}.yaml"), 2048);
        var header = new Dictionary<string, object>();
        long end = 0;
        foreach (Parameter parameter in network.Store.Parameters)
        {
            long start = end;
            end += parameter.Shape.Count * sizeof(float);
            int[] shape = parameter.FileShape.ToArray();
            header.Add(parameter.Name, new { dtype = "F32", shape, data_offsets = new[] { start, end } });
        }

        byte[] json = JsonSerializer.SerializeToUtf8Bytes(header);
        using FileStream stream = File.Create(path);
        stream.Write(BitConverter.GetBytes((long)json.Length));
        stream.Write(json);
        stream.SetLength(stream.Position + end);
        return path;
    }

    private static DenoisingNetwork Network(UNetConfig config, ulong seed = 1)
    {
        DenoisingNetwork network = NetworkBuilder.Build(config, 16);
        network.Store.Place(Devices.Open("cpu"), training: false, seed);
        return network;
    }

    // A fresh network's weights, each changed or left out.
    private static string Saved(
        TinyRun run, string name, UNetConfig config, Func<string, StoredTensor, StoredTensor?> change, ulong seed = 1)
    {
        using DenoisingNetwork network = Network(config, seed);
        var tensors = new List<StoredTensor>();
        foreach (Parameter parameter in network.Store.Parameters)
        {
            long[] shape = Array.ConvertAll(parameter.FileShape.ToArray(), size => (long)size);
            var tensor = StoredTensor.FromFloats(parameter.Name, shape, network.Store.ToFileLayout(parameter));
            if (change(parameter.Name, tensor) is { } kept)
                tensors.Add(kept);
        }

        TensorFile.Save(run.Data[name], tensors);
        return run.Data[name];
    }

    private static string Complaint(string path, UNetConfig config)
    {
        using DenoisingNetwork network = Network(config);
        return Assert.Throws<MdmException>(() => CheckpointLoader.Load(path, network))!.Message;
    }
}
