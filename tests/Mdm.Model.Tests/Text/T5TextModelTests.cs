using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Text;
using Mdm.Model.Text.Hub;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

[TestFixture]
public sealed class T5TextModelTests
{
    private static IDevice Device => Devices.Open("cpu");

    [Test]
    public void Features_are_those_of_the_encoder_times_the_mask()
    {
        using var folder = new TemporaryFolder();
        T5Folder model = new T5Folder().Write(folder.Path);
        using T5TextModel text = Open(folder.Path);
        using Scope scope = Scope.Enter();
        int[] longer = [5, 30, 2, 17, 9, 1], shorter = [8, 1];
        TextFeatures found = text.Encode([longer, shorter], 7);
        Assert.That(found.Values.Shape, Is.EqualTo(new Shape(2, 7, 24)));
        Assert.That(found.Mask!.ToArray(), Is.EqualTo(new float[] { 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0 }));
        float[] values = found.Values.ToArray();
        Compare(values.AsSpan(0, 6 * 24), T5Reference.Encode(model, longer, [.. longer.Select(_ => true)]));
        Compare(values.AsSpan(7 * 24, 2 * 24), T5Reference.Encode(model, shorter, [true, true]));
        Assert.That(values[(6 * 24)..(7 * 24)], Has.All.Zero);
        Assert.That(values[(9 * 24)..], Has.All.Zero);
    }

    [Test]
    public void A_padding_token_inside_a_caption_is_masked()
    {
        using var folder = new TemporaryFolder();
        T5Folder model = new T5Folder().Write(folder.Path);
        using T5TextModel text = Open(folder.Path);
        using Scope scope = Scope.Enter();
        TextFeatures found = text.Encode([[5, 0, 7, 1]]);
        Assert.That(found.Mask!.ToArray(), Is.EqualTo(new float[] { 1, 0, 1, 1 }));
        double[] expected = T5Reference.Encode(model, [5, 0, 7, 1], [true, false, true, true]);
        Array.Clear(expected, 24, 24);
        Compare(found.Values.ToArray(), expected);
    }

    [Test]
    public void A_caption_is_encoded_once_and_the_same_in_any_company()
    {
        using var folder = new TemporaryFolder();
        new T5Folder().Write(folder.Path);
        using T5TextModel text = Open(folder.Path), other = Open(folder.Path);
        using Scope scope = Scope.Enter();
        int[] empty = [1], caption = [4, 5, 6, 7, 8, 9, 10, 1];
        text.Encode([caption, empty, empty, caption]);
        Assert.That(text.Encoded, Is.EqualTo(2));
        float[] again = text.Encode([[1], [2, 1]]).Values.ToArray();
        Assert.That(text.Encoded, Is.EqualTo(3), "the empty caption is known, as another array too");
        Assert.That(other.Encode([empty, [2, 1]]).Values.ToArray(), Is.EqualTo(again), "with and without longer ones beside it");
    }

    [Test]
    public void Features_kept_are_bounded()
    {
        using var cache = new FeatureCache(2, mostBytes: 3 * 2 * sizeof(float));
        int encoded = 0;
        float[] Take(params int[] tokens)
        {
            using Scope scope = Scope.Enter();
            return cache.Take([.. tokens.Select(token => (int[])[token])], missing =>
            {
                encoded += missing.Count;
                return Tensor.From(Device, [.. missing.SelectMany(m => new float[] { m[0], -m[0] })], new Shape(missing.Count, 1, 2));
            }).Values.Select(t => t.ToArray()[0]).ToArray();
        }

        Assert.That(Take(1, 2, 3, 2), Is.EqualTo(new float[] { 1, 2, 3 }));
        Assert.That(Take(1, 4, 5), Is.EqualTo(new float[] { 1, 4, 5 }));
        Assert.That(encoded, Is.EqualTo(5));
        Assert.That(Take(1, 4, 5), Is.EqualTo(new float[] { 1, 4, 5 }));
        Assert.That(encoded, Is.EqualTo(5), "the last three are known");
        Take(2);
        Assert.That(encoded, Is.EqualTo(6), "2 had to go");
    }

    [Test]
    public void Captions_that_are_prepared_let_the_weights_go()
    {
        using var folder = new TemporaryFolder();
        new T5Folder().Write(folder.Path);
        string vocabulary = Vocabulary(folder["t5.vocab"], 40);
        using var device = new CpuDevice();
        using var text = new T5TextModel(device, folder.Path, vocabulary, load: false);
        Assert.That((text.IsLoaded, device.Memory.InUse), Is.EqualTo((false, 0L)));
        var said = new List<(string What, double Share)>();
        int[][] captions = [[4, 5, 6, 1], [1], [7, 1], [1]];
        text.Prepare(captions, (what, share) => said.Add((what, share)));
        Assert.That(said.Select(s => s.What).Distinct(), Is.EqualTo(new[] { "loading the text model", "reading the prompts" }));
        Assert.That(said.Where(s => s.Share == 1).Select(s => s.What).Distinct().Count(), Is.EqualTo(2));
        Assert.That((text.IsLoaded, text.Encoded), Is.EqualTo((false, 3L)));
        Assert.That(device.Memory.InUse, Is.EqualTo(7 * 24 * sizeof(float)), "features of seven tokens");
        Assert.That(device.Memory.Reserved, Is.LessThan(4096), "the rest went back to the system");

        using T5TextModel other = Open(folder.Path);
        using Scope scope = Scope.Enter();
        Assert.That(text.Encode(captions).Values.ToArray(), Is.EqualTo(other.Encode(captions).Values.ToArray()));
        Assert.That((text.IsLoaded, text.Encoded), Is.EqualTo((false, 3L)));
        int[][] more = [[8, 9, 1], [4, 5, 6, 1]];
        Assert.That(text.Encode(more).Values.ToArray(), Is.EqualTo(other.Encode(more).Values.ToArray()));
        Assert.That((text.IsLoaded, text.Encoded), Is.EqualTo((true, 4L)), "the weights come back for a new caption");
    }

    [Test]
    public void Captions_that_are_too_many_keep_the_weights()
    {
        using var folder = new TemporaryFolder();
        new T5Folder().Write(folder.Path);
        using var text = new T5TextModel(Device, folder.Path, Vocabulary(folder["t5.vocab"], 40), load: false);
        // 128 MB of features hold 1398101 tokens of 24 numbers.
        int[] page = new int[700_000];
        text.Prepare([page, [.. page, 1]]);
        Assert.That((text.IsLoaded, text.Encoded), Is.EqualTo((true, 0L)));
    }

    [Test]
    public void A_model_that_does_not_fit_says_what_it_takes()
    {
        using var folder = new TemporaryFolder();
        new T5Folder().Write(folder.Path);
        using var device = new CpuDevice(limit: 20_000);
        Assert.That(() => new T5TextModel(device, folder.Path, Vocabulary(folder["t5.vocab"], 40)),
            Throws.TypeOf<OutOfDeviceMemoryException>().With.Message.Match(
                @"^/.*, whose 0\.0 million weights take 0 MB: cpu: asked for .* in use of .*; 'mdm embed' computes"));
        Assert.That(device.Memory.InUse, Is.Zero);
    }

    [Test]
    public void It_is_saved_beside_a_checkpoint_by_name_and_with_its_vocabulary()
    {
        using var folder = new TemporaryFolder();
        new T5Folder().Write(folder["model"]);
        string vocabulary = Vocabulary(folder["t5.vocab"], 40);
        Directory.CreateDirectory(folder["run"]);
        var config = new ProgramConfig { TextModel = folder["model"], VocabFile = vocabulary };
        Assert.That(TextModels.WidthOf(config), Is.EqualTo(24));
        using ITextModel text = TextModels.Create(config, Device)!;
        text.Save(folder["run"]);
        text.Save(folder["run"]);
        File.Delete(vocabulary);
        using ITextModel again = TextModels.Load(folder["run"], Device, config)!;
        using Scope scope = Scope.Enter();
        Assert.That(again.Tokenizer.Encode("\u2581w7"), Is.EqualTo(text.Tokenizer.Encode("\u2581w7")));
        Assert.That(again.Encode([[5, 1]]).Values.ToArray(), Is.EqualTo(text.Encode([[5, 1]]).Values.ToArray()));

        Directory.Move(folder["model"], folder["moved"]);
        config.TextModel = folder["moved"];
        using ITextModel moved = TextModels.Load(folder["run"], Device, config)!;
        Assert.That(moved.Width, Is.EqualTo(24));
    }

    [TestCase("spiece.model", "spiece.model")]
    [TestCase("tokenizer.json", "tokenizer.json")]
    [TestCase("both", "spiece.model")]
    public void The_tokenizer_of_the_folder_is_used_where_no_vocabulary_is_there(string kind, string expected)
    {
        using var folder = new TemporaryFolder();
        new T5Folder { Vocabulary = 832 }.Write(folder["model"]);
        foreach (string name in kind == "both" ? (string[])["spiece.model", "tokenizer.json"] : [kind])
            File.Copy(GoldenFiles.Require($"text/sp_t5/{name}"), folder[$"model/{name}"]);
        Directory.CreateDirectory(folder["run"]);
        using var text = new T5TextModel(Device, folder["model"], folder["nowhere.vocab"]);
        Assert.That(text.Name, Does.EndWith($"tokenizer {expected})"));
        var captions = new CaptionTokenizer(text.Tokenizer, new ReaderConfig());
        int[] tokens = captions.EncodePrompt("a photo of a cat", out _);
        Assert.That(tokens[^1], Is.EqualTo(1));
        Assert.That(captions.Empty, Is.EqualTo(new[] { 1 }));
        text.Save(folder["run"]);
        Assert.That(Directory.GetFiles(folder["run"]).Select(Path.GetFileName), Is.EqualTo(new[] { "text_model.json" }));
        using ITextModel again = TextModels.Load(folder["run"], Device)!;
        using Scope scope = Scope.Enter();
        Assert.That(again.Encode([tokens]).Values.ToArray(), Is.EqualTo(text.Encode([tokens]).Values.ToArray()));
    }

    [Test]
    public void Repositories_are_found_in_the_cache()
    {
        using var folder = new TemporaryFolder();
        var cache = new HubCache(folder["hub"]);
        const string Repository = "google/flan-t5-xl";
        Assert.That(T5Location.Find(Repository, cache), Is.Null);
        string old = cache.SnapshotOf(Repository, "aaaa"), named = cache.SnapshotOf(Repository, "bbbb");
        new T5Folder { Seed = 2 }.Write(old);
        new T5Folder().Write(named);
        Assert.That(old, Does.EndWith(Path.Combine("hub", "models--google--flan-t5-xl", "snapshots", "aaaa")));
        Directory.SetLastWriteTimeUtc(named, DateTime.UtcNow.AddDays(-1));
        Assert.That(T5Location.Find(Repository, cache), Is.EqualTo(old), "the newest where no revision is named");
        Directory.CreateDirectory(Path.GetDirectoryName(cache.ReferenceOf(Repository, "main"))!);
        File.WriteAllText(cache.ReferenceOf(Repository, "main"), "bbbb\n");
        Assert.That(T5Location.Find(Repository, cache), Is.EqualTo(named));
        Assert.That(T5Location.Find("flan-t5-xl", cache), Is.EqualTo(named), "short name");
        using var text = new T5TextModel(Device, Repository, Vocabulary(folder["t5.vocab"], 40), cache: cache);
        Assert.That(text.Name, Does.StartWith("google/flan-t5-xl (2 layers, width 24"));
    }

    [Test]
    public void The_cache_is_where_the_environment_says()
    {
        static string Root(params (string Name, string Value)[] set) =>
            HubCache.FindRoot(name => set.FirstOrDefault(pair => pair.Name == name).Value);
        Assert.Multiple(() =>
        {
            Assert.That(Root(("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b")), Is.EqualTo("/a"));
            Assert.That(Root(("HUGGINGFACE_HUB_CACHE", "/a"), ("HF_HOME", "/b")), Is.EqualTo("/a"));
            Assert.That(Root(("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c")), Is.EqualTo(Path.Combine("/b", "hub")));
            Assert.That(Root(("XDG_CACHE_HOME", "/c")), Is.EqualTo(Path.Combine("/c", "huggingface", "hub")));
            Assert.That(Root(), Does.EndWith(Path.Combine(".cache", "huggingface", "hub")));
        });
    }

    /// <summary>A vocabulary of a size: words w0, w1, ...</summary>
    internal static string Vocabulary(string path, int size)
    {
        File.WriteAllLines(path, ["<pad>\t0", "</s>\t0", "<unk>\t0", .. Enumerable.Range(3, size - 3).Select(i => $"\u2581w{i}\t-1")]);
        return path;
    }

    private static T5TextModel Open(string folder) => new(Device, folder, Vocabulary(Path.Combine(folder, "t5.vocab"), 40));

    private static void Compare(ReadOnlySpan<float> found, double[] expected)
    {
        Assert.That(found.Length, Is.EqualTo(expected.Length));
        for (int i = 0; i < expected.Length; i++)
            Assert.That(found[i], Is.EqualTo(expected[i]).Within(1e-5));
    }
}
