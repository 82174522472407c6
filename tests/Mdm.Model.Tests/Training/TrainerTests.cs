using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Data;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Model.Training;
using Mdm.Tensors;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Tests.Training;

public class TrainerTests
{
    [TestCase(1)]
    [TestCase(2)]
    public void A_resumed_run_equals_an_uninterrupted_one_bit_for_bit(int accumulations)
    {
        using var run = new TinyRun();
        using Trainer whole = run.Trainer("whole", c => c.NumGradientAccumulations = accumulations);
        whole.Run();
        using (Trainer first = run.Trainer("parts", c => (c.NumTrainingSteps, c.NumGradientAccumulations) = (3, accumulations)))
            Assert.That(first.Run().Reason, Is.EqualTo(StopReason.AllSteps));
        using Trainer second = run.Trainer("parts", c => (c.Seed, c.NumGradientAccumulations) = (99, accumulations),
            new TrainerOptions { Resume = true });
        Assert.That(second.Progress.Step, Is.EqualTo(3));
        second.Run();

        TinyRun.AssertSame(TinyRun.Weights(second.Network.Store), TinyRun.Weights(whole.Network.Store));
        TinyRun.AssertSame(second.Optimizer.Ema!, whole.Optimizer.Ema!);
        TinyRun.AssertSame(second.Optimizer.Moments.M, whole.Optimizer.Moments.M);
        TinyRun.AssertSame(second.Optimizer.Moments.V, whole.Optimizer.Moments.V);
        Assert.That(second.Optimizer.ReadState(), Is.EqualTo(whole.Optimizer.ReadState()));
        Assert.That(second.Progress with { Elapsed = default }, Is.EqualTo(whole.Progress with { Elapsed = default }));
        Assert.That(LossColumn(run.Data["parts"]), Is.EqualTo(LossColumn(run.Data["whole"])));
    }

    [Test]
    public void It_learns()
    {
        using var run = new TinyRun();
        var inUse = new List<long>();
        var seen = new Recorder(_ => inUse.Add(Devices.Open("cpu").Memory.InUse));
        using Trainer trainer = run.Trainer(
            change: c => (c.NumTrainingSteps, c.Lr) = (60, 3e-3), options: new TrainerOptions { Observer = seen });
        trainer.Run();
        Assert.That(seen.Steps.TakeLast(10).Average(s => s.Loss), Is.LessThan(0.7 * seen.Steps.Take(5).Average(s => s.Loss)));
        Assert.That(seen.Steps.Select(s => s.Step), Is.EqualTo(Enumerable.Range(1, 60)));
        Assert.That(inUse, Has.All.EqualTo(inUse[0]), "bytes held between steps");
        Assert.That(seen.Steps.Where(s => s.Logged).Select(s => s.Step), Has.All.Matches<long>(s => s % 2 == 0));
        Assert.That(seen.Steps, Has.All.Matches<StepReport>(s => s.GradientNorm > 0 && s.ImagesPerSecond > 0 && !s.Skipped));
    }

    [Test]
    public void A_checkpoint_carries_all_that_sampling_needs()
    {
        using var run = new TinyRun();
        var seen = new Recorder();
        using Trainer trainer = run.Trainer(change: c => c.SaveFreq = 4, options: new TrainerOptions { Observer = seen });
        TrainingResult result = trainer.Run();
        string folder = run.Data["run"];
        string[] expected = ["vis_model_000004.pth", "vis_model_000006.pth"];
        Assert.That(seen.Checkpoints.Select(Path.GetFileName), Is.EqualTo(expected));
        Assert.That(result.Checkpoint, Is.EqualTo(Path.Combine(folder, "vis_model_000006.pth")));

        ProgramConfig config = ConfigLoader.Load(Path.Combine(folder, CheckpointWriter.ConfigFile), [], Assert.Fail);
        using ITextModel text = TextModels.Load(folder, Devices.Open("cpu"))!;
        using DenoisingNetwork network = NetworkBuilder.Build(config.UnetConfig, text.Width);
        network.Store.Place(Devices.Open("cpu"), training: false, 1);
        IReadOnlyDictionary<string, string> metadata = CheckpointLoader.Load(result.Checkpoint, network);
        TinyRun.AssertSame(TinyRun.Weights(network.Store), TinyRun.Weights(trainer.Network.Store, trainer.Optimizer.Ema));
        Assert.That(metadata["batch_num"], Is.EqualTo("6"));
        Assert.That(double.Parse(metadata["exp_avg_loss"]), Is.EqualTo(result.Running.Average));
        CheckpointLoader.Load(Path.Combine(folder, "vis_model_noema_000006.pth"), network);
        TinyRun.AssertSame(TinyRun.Weights(network.Store), TinyRun.Weights(trainer.Network.Store));
    }

    [Test]
    public void Cancelling_leaves_a_checkpoint_to_go_on_from()
    {
        using var run = new TinyRun();
        using var cancel = new CancellationTokenSource();
        var seen = new Recorder(report =>
        {
            if (report.Step == 2)
                cancel.Cancel();
        });
        using Trainer trainer = run.Trainer(options: new TrainerOptions { Observer = seen });
        TrainingResult result = trainer.Run(cancel.Token);
        Assert.That((result.Reason, result.Steps), Is.EqualTo((StopReason.Cancelled, 2L)));
        Assert.That(result.Checkpoint, Does.Exist);
        using Trainer again = run.Trainer(options: new TrainerOptions { Resume = true });
        Assert.That(again.Run().Steps, Is.EqualTo(6));
    }

    [Test]
    public void The_time_limit_ends_a_run_and_lets_the_rate_fall()
    {
        using var run = new TinyRun();
        var seen = new Recorder();
        using Trainer trainer = run.Trainer(change: c => (c.NumTrainingSteps, c.LrSchedule) = (1_000_000, LrSchedule.Cosine),
            options: new TrainerOptions { Observer = seen, TimeLimit = TimeSpan.FromSeconds(1.5) });
        TrainingResult result = trainer.Run();
        Assert.That(result.Reason, Is.EqualTo(StopReason.TimeUp));
        Assert.That(seen.Steps[^1].LearningRate, Is.LessThan(0.2 * seen.Steps.Max(s => s.LearningRate)));
        Assert.That(seen.Steps[^1].Left, Is.LessThan(TimeSpan.FromSeconds(1)));
    }

    [Test]
    public void A_loss_that_stays_infinite_ends_the_run_and_names_the_learning_rate()
    {
        using var run = new TinyRun();
        using (Trainer good = run.Trainer(change: c => c.NumTrainingSteps = 2))
            good.Run();
        byte[] state = File.ReadAllBytes(Path.Combine(run.Data["run"], TrainingState.FileName));
        var seen = new Recorder();
        using Trainer trainer = run.Trainer(
            change: c => (c.Lr, c.NumTrainingSteps, c.WarmupSteps, c.SaveFreq) = (1e30, 1000, 0, 10),
            options: new TrainerOptions { Observer = seen, Resume = true });
        Assert.That(() => trainer.Run(), Throws.InstanceOf<MdmException>().With.Message.Contains("learning rate 1E+30"));
        Assert.That(seen.Warnings, Has.Some.Contains("skipped"));
        Assert.That(seen.Steps[^1].Skipped, Is.True);
        Assert.That(trainer.Progress.Skipped, Is.GreaterThanOrEqualTo(50));
        Assert.That(double.IsFinite(trainer.Progress.Running.Average));
        Assert.That(File.ReadAllBytes(Path.Combine(run.Data["run"], TrainingState.FileName)).AsSpan().SequenceEqual(state));
    }

    [Test]
    public void A_checkpoint_that_cannot_be_written_does_not_end_the_run_but_the_last_one_must_be()
    {
        using var run = new TinyRun();
        using (Trainer good = run.Trainer(change: c => c.NumTrainingSteps = 2))
            good.Run();
        string state = Path.Combine(run.Data["run"], TrainingState.FileName);
        byte[] before = File.ReadAllBytes(state);
        // A folder of that name, with something in it, stands in the way of the file.
        Directory.CreateDirectory(run.Data["run/vis_model_000004.pth/x"]);
        var seen = new Recorder(_ => Assert.That(File.ReadAllBytes(state).AsSpan().SequenceEqual(before)));
        using Trainer trainer = run.Trainer(change: c => (c.SaveFreq, c.NumTrainingSteps) = (4, 5),
            options: new TrainerOptions { Resume = true, Observer = seen });
        trainer.Run();
        Assert.That(seen.Warnings, Has.Some.Contains("no checkpoint at step 4").And.Some.Contains("vis_model_000004.pth"));
        Assert.That(seen.Checkpoints.Select(Path.GetFileName), Is.EqualTo(new[] { "vis_model_000005.pth" }));

        Directory.CreateDirectory(run.Data["run/vis_model_noema_000006.pth/x"]);
        before = File.ReadAllBytes(state);
        using Trainer last = run.Trainer(options: new TrainerOptions { Resume = true });
        Assert.That(() => last.Run(), Throws.InstanceOf<MdmException>().With.Message.Contains("vis_model_noema_000006.pth"));
        Assert.That(File.ReadAllBytes(state).AsSpan().SequenceEqual(before));
    }

    [Test]
    public void A_disk_that_fills_leaves_the_old_state()
    {
        using var run = new TinyRun();
        using Trainer trainer = run.Trainer(change: c => c.NumTrainingSteps = 1);
        trainer.Run();
        string state = Path.Combine(run.Data["run"], TrainingState.FileName);
        byte[] before = File.ReadAllBytes(state);
        int count = Directory.GetFiles(run.Data["run"]).Length;
        StoredTensor[] tensors =
        [
            StoredTensor.FromFloats("a", [3], [1, 2, 3]),
            new StoredTensor("b", [2], () => throw new IOException("No space left on device")),
        ];
        Assert.That(() => TensorFile.Save(state, tensors),
            Throws.InstanceOf<MdmException>().With.Message.Contains("No space left").And.Message.Contains(state));
        Assert.That(File.ReadAllBytes(state).AsSpan().SequenceEqual(before));
        Assert.That(Directory.GetFiles(run.Data["run"]), Has.Length.EqualTo(count), "no temporary file is left");
    }

    [Test]
    public void Too_few_samples_and_unusable_folders_are_errors()
    {
        using var run = new TinyRun(samples: 3);
        using (Trainer trainer = run.Trainer(change: c => c.NumEpochs = 1))
            Assert.That(() => trainer.Run(), Throws.InstanceOf<MdmException>().With.Message.Contains("too few samples"));
        File.WriteAllText(run.Data["file"], "");
        using Trainer nowhere = run.Trainer("file/run");
        Assert.That(() => nowhere.Run(), Throws.InstanceOf<MdmException>().With.Message.StartsWith("cannot create the folder "));
        Assert.That(() => run.Trainer(change: c => c.OutputDir = ""), Throws.InstanceOf<MdmException>());
    }

    [Test]
    public void Data_that_ends_ends_the_run_with_a_checkpoint()
    {
        using var run = new TinyRun();
        using Trainer trainer = run.Trainer(change: c => (c.NumEpochs, c.NumTrainingSteps) = (1, 100));
        TrainingResult result = trainer.Run();
        Assert.That((result.Reason, result.Steps), Is.EqualTo((StopReason.EndOfData, 5L)));
        Assert.That(result.Data, Is.EqualTo(new ReaderStatistics(20, 0, 0, 0)));
        Assert.That(result.Checkpoint, Does.Exist);
    }

    [Test]
    public void A_state_of_another_network_is_refused()
    {
        using var run = new TinyRun();
        using (Trainer trainer = run.Trainer(change: c => c.NumTrainingSteps = 1))
            trainer.Run();
        var resume = new TrainerOptions { Resume = true };
        Assert.That(() => run.Trainer(change: c => c.UnetConfig.InnerConfig!.ResolutionChannels = [64], options: resume),
            Throws.InstanceOf<MdmException>().With.Message.Contains("another network"));
        string state = Path.Combine(run.Data["run"], TrainingState.FileName);
        File.WriteAllBytes(state, File.ReadAllBytes(state)[..1000]);
        Assert.That(() => run.Trainer(options: new TrainerOptions { Resume = true }), Throws.InstanceOf<MdmException>());
        var seen = new Recorder();
        using Trainer fresh = run.Trainer("elsewhere", options: new TrainerOptions { Resume = true, Observer = seen });
        Assert.That(seen.Warnings, Has.Some.Contains("starts at step 0"));
    }

    [Test]
    public void Going_on_with_something_else_is_said_or_refused()
    {
        using var run = new TinyRun();
        using (Trainer trainer = run.Trainer(change: c => c.NumTrainingSteps = 1))
            trainer.Run();
        var same = new Recorder();
        run.Trainer(options: new TrainerOptions { Resume = true, Observer = same }).Dispose();
        Assert.That(same.Warnings, Is.Empty);

        string list = Path.Combine(Path.GetDirectoryName(run.Data.Index)!, "other.tsv");
        File.WriteAllText(list, File.ReadAllText(run.Data.Index) + "\n");
        var seen = new Recorder();
        run.Trainer(change: c => (c.BatchSize, c.NumGradientAccumulations, c.Seed, c.FileList) = (2, 3, 7, list),
            options: new TrainerOptions { Resume = true, Observer = seen }).Dispose();
        Assert.That(seen.Warnings, Has.Count.EqualTo(4)
            .And.Some.Contains("batch_size is 2, 4 in the run so far").And.Some.Contains("num_gradient_accumulations is 3, 1 in")
            .And.Some.Contains("seed is 7, 3 in the run so far").And.Some.Contains("file_list is not that of the run so far"));
        Action<ProgramConfig>[] others =
        [
            c => c.TextSeed = 5, c =>
            {
                c.VocabFile = run.Data["other.vocab"];
                File.WriteAllText(c.VocabFile, File.ReadAllText(run.Data.Vocabulary) + "zz\t-9.0\n");
            },
        ];
        foreach (Action<ProgramConfig> other in others)
            Assert.That(() => run.Trainer(change: other, options: new TrainerOptions { Resume = true }),
                Throws.InstanceOf<MdmException>().With.Message.Contains("another vocabulary"));
    }

    [Test]
    public void Networks_without_text_are_trained_too()
    {
        using var run = new TinyRun();
        using Trainer trainer = run.Trainer(
            change: c => (c.TextModel, c.UnetConfig, c.NumTrainingSteps) = ("none", TinyRun.Plain(), 2));
        Assert.That(trainer.Run().Steps, Is.EqualTo(2));
        Assert.That(trainer.Network.TextWidth, Is.Zero);
        Assert.That(() => run.Trainer(change: c => c.UsePrecomputedTextEmbeddings = true),
            Throws.InstanceOf<MdmException>().With.Message.Contains("language_model_dim"));
        Assert.That(() => run.Trainer(change: c => c.TextModel = "google/flan-t5-xl"),
            Throws.InstanceOf<MdmException>().With.Message.Contains("flan-t5-xl"));
    }

    [Test]
    public void A_run_that_cannot_begin_holds_no_memory()
    {
        using var run = new TinyRun();
        long before = Devices.Open("cpu").Memory.InUse;
        Action<ProgramConfig>[] faults =
        [
            c => c.UnetConfig.ResnetConfig.NumGroupsNorm = 7, c => c.DiffusionConfig.MixedRatio = [1, 2, 3],
            c => c.PretrainedVisionFile = "nowhere.pth",
        ];
        foreach (Action<ProgramConfig> fault in faults)
            Assert.That(() => run.Trainer(change: fault), Throws.InstanceOf<MdmException>());
        Assert.That(Devices.Open("cpu").Memory.InUse, Is.EqualTo(before));
    }

    [Test]
    public void Recomputing_activations_changes_nothing()
    {
        using var run = new TinyRun();
        using Trainer plain = run.Trainer("a", c => c.NumTrainingSteps = 2);
        using Trainer recomputing = run.Trainer("b", c => (c.NumTrainingSteps, c.GradientCheckpointing) = (2, true));
        plain.Run();
        recomputing.Run();
        TinyRun.AssertSame(TinyRun.Weights(recomputing.Network.Store), TinyRun.Weights(plain.Network.Store));
    }

    private static IEnumerable<string> LossColumn(string folder) =>
        File.ReadLines(Path.Combine(folder, TrainingLog.FileName)).Select(line => string.Join(",", line.Split(',').Take(7)));
}
