using Mdm.Model.Text.Hub;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

/// <summary>What can be wrong with a model's folder: one line that says so, and that helps.</summary>
[TestFixture]
public sealed class T5BadInputTests
{
    private const string Weights = "model.safetensors", Config = "config.json", Index = "model.safetensors.index.json";

    private TemporaryFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [TestCase("google/flan-t5-huge", "not on this machine", "mdm fetch google/flan-t5-huge")]
    [TestCase("flan-t5-xl", "not on this machine", "mdm fetch google/flan-t5-xl")]
    [TestCase("no/such/folder", "there is no such folder", "google/flan-t5-xl")]
    public void A_model_that_is_not_there(string name, params string[] words) =>
        OneLine.Require(() => new T5TextModel(Devices.Open("cpu"), name, "", cache: new HubCache(_folder["hub"])), words);

    [Test]
    public void Folders_without_something()
    {
        OneLine.Require(Open, "no config.json");
        File.WriteAllText(_folder[Config], new T5Folder().Config());
        OneLine.Require(Open, "has no weights", "model.safetensors", "pytorch_model.bin");
        new T5Folder().Write(_folder.Path);
        OneLine.Require(() => new T5TextModel(Devices.Open("cpu"), _folder.Path, _folder["none.vocab"]),
            "no tokenizer", "none.vocab");
    }

    [TestCase("{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"]}", "'llama' (LlamaForCausalLM)", "T5")]
    [TestCase("{}", "model_type is ''")]
    [TestCase("[1]", "found Array")]
    [TestCase("{\"model_type\": ", "cannot read")]
    [TestCase("<html>", "cannot read")]
    [TestCase("{\"model_type\": \"t5\", \"d_model\": 24}", "vocab_size is missing")]
    public void Configurations_of_something_else(string json, params string[] words)
    {
        new T5Folder().Write(_folder.Path);
        File.WriteAllText(_folder[Config], json);
        OneLine.Require(Open, [.. words, "config.json"]);
    }

    [TestCase("\"d_ff\":40", "\"d_ff\":-1", "d_ff is -1")]
    [TestCase("\"d_ff\":40", "\"d_ff\":\"40\"", "d_ff is 40")]
    [TestCase("\"gated-gelu\"", "\"gated-silu\"", "feed_forward_proj is 'gated-silu', expected relu or gated-gelu")]
    [TestCase("\"d_ff\":40", "\"d_ff\":48", "wi_0.weight has the shape [40, 24], config.json says [48, 24]")]
    [TestCase("\"num_heads\":3", "\"num_heads\":4", "q.weight has the shape [24, 24], config.json says [32, 24]")]
    [TestCase("\"num_layers\":2", "\"num_layers\":3", "9 of the encoder's tensors are missing", "encoder.block.2.layer.0")]
    [TestCase("\"gated-gelu\"", "\"relu\"", "DenseReluDense.wi.weight")]
    [TestCase("1E-06", "2", "layer_norm_epsilon is 2")]
    public void Sizes_that_do_not_fit(string from, string to, params string[] words)
    {
        new T5Folder().Write(_folder.Path);
        string config = File.ReadAllText(_folder[Config]);
        Assert.That(config, Does.Contain(from));
        File.WriteAllText(_folder[Config], config.Replace(from, to));
        OneLine.Require(Open, words);
    }

    [Test]
    public void Weights_that_are_damaged()
    {
        new T5Folder().Write(_folder.Path);
        byte[] whole = File.ReadAllBytes(_folder[Weights]);
        File.WriteAllBytes(_folder[Weights], whole[..(whole.Length / 2)]);
        OneLine.Require(Open, Weights, "cut short", "downloaded completely");
        File.WriteAllText(_folder[Weights], "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n");
        OneLine.Require(Open, "Git LFS", "git lfs pull");
        File.WriteAllText(_folder[Weights], "<!doctype html><html>Not found</html>");
        OneLine.Require(Open, Weights, "downloaded completely");
        File.WriteAllBytes(_folder[Weights], []);
        OneLine.Require(Open, Weights, "empty");
    }

    [Test]
    public void Weights_of_another_model()
    {
        new T5Folder().Write(_folder.Path);
        Tensors.Formats.TensorFile.Save(_folder[Weights],
            [Tensors.Formats.StoredTensor.FromFloats("model.layers.0.mlp.weight", [2, 2], [1, 2, 3, 4])]);
        OneLine.Require(Open, "holds no T5 encoder");
    }

    [Test]
    public void Shards_that_are_missing()
    {
        new T5Folder().WriteShards(_folder.Path, 3);
        File.Delete(_folder["model-00002-of-00003.safetensors"]);
        OneLine.Require(Open, "model-00002-of-00003.safetensors is missing", Index);
        File.Copy(_folder["model-00001-of-00003.safetensors"], _folder["model-00002-of-00003.safetensors"]);
        OneLine.Require(Open, "model-00002-of-00003.safetensors", "is missing, which model.safetensors.index.json says it holds");
        File.WriteAllText(_folder[Index], "{}");
        OneLine.Require(Open, "weight_map");
    }

    [TestCase(39, true)]
    [TestCase(40, true)]
    [TestCase(41, false)]
    [TestCase(30, false)]
    public void Tokenizers_of_another_size(int size, bool fits)
    {
        new T5Folder().Write(_folder.Path);
        string vocabulary = T5TextModelTests.Vocabulary(_folder["other.vocab"], size);
        void Make() => new T5TextModel(Devices.Open("cpu"), _folder.Path, vocabulary).Dispose();
        if (fits)
            Make();
        else
            OneLine.Require(Make, $"other.vocab has {size} tokens", "has 40", "different models");
    }

    private void Open()
    {
        string vocabulary = T5TextModelTests.Vocabulary(_folder["t5.vocab"], 40);
        new T5TextModel(Devices.Open("cpu"), _folder.Path, vocabulary).Dispose();
    }
}
