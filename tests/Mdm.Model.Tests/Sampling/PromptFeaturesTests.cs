using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Model.Networks;
using Mdm.Model.Sampling;
using Mdm.Model.Tests.Data;
using Mdm.Model.Tests.Networks;
using Mdm.Model.Tests.Text;
using Mdm.Model.Text;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Sampling;

/// <summary>How often a job asks the language model.</summary>
public sealed class PromptFeaturesTests
{
    [Test]
    public void TheNegativePromptIsEncodedOnceForBatchesOfOneSize()
    {
        var device = new CpuDevice();
        using var folder = new TemporaryFolder();
        using var data = new TinyDataset(1);
        using DenoisingNetwork network = TextNetworks.Create(device, TextNetwork.Plain);
        var config = new ProgramConfig();
        config.DiffusionConfig.SamplerConfig.NumDiffusionSteps = 8;
        using var text = new Listener(new WordTableTextModel(device, data.Vocabulary, 5, TextNetworks.TextWidth));
        using var model = new SamplingModel(config, network, text);
        var options = new SamplingOptions
        {
            Folder = folder.Path,
            Seed = 1,
            Size = 8,
            Batch = 2,
            Steps = 2,
            Guidance = 2,
            NegativePrompt = "blue",
        };
        SamplingTask[] tasks = [.. new[] { "a red circle", "a red square", "a green circle", "a green square", "a red circle" }
            .Select(prompt => new SamplingTask(prompt))];
        new SamplingJob(model, options, Assert.Fail).Run(tasks);

        int[][] negative = [.. text.Asked.Where(captions => captions[0] == 2)];
        Assert.That(text.Asked.Select(captions => captions.Length), Is.EqualTo(new[] { 1, 1, 2, 2, 1, 1, 2, 1, 1, 1 }),
            "each prompt alone, the batch, and the negative prompt when the batch has another size");
        Assert.That(negative.Select(captions => captions.Length), Is.EqualTo(new[] { 2, 1 }));
    }

    [Test]
    public void APromptsFeaturesDoNotDependOnItsCompanyToTheLastBit()
    {
        var device = new CpuDevice();
        using var folder = new TemporaryFolder();
        new T5Folder { Width = TextNetworks.TextWidth, Heads = 4, HeadWidth = 16, FeedForward = 96 }.Write(folder.Path);
        string vocabulary = T5TextModelTests.Vocabulary(folder["t5.vocab"], 40);
        using DenoisingNetwork network = TextNetworks.Create(device, TextNetwork.Plain);
        string[] prompts = [.. Enumerable.Range(3, 8).Select(first => string.Join(' ', Enumerable.Range(first, 9).Select(i => $"w{i}")))];
        float[][] alone = [.. prompts.Select(prompt => Features(prompt)[0])];
        float[][] together = Features(prompts);
        for (int i = 0; i < prompts.Length; i++)
            Assert.That(together[i], Is.EqualTo(alone[i]), prompts[i]);

        float[][] Features(params string[] batch)
        {
            using var text = new T5TextModel(device, folder.Path, vocabulary);
            using var model = new SamplingModel(new ProgramConfig(), network, text);
            using var features = new PromptFeatures(model, "", Assert.Fail);
            using Scope scope = Scope.Enter();
            float[] values = features.Encode(batch, features.Length(batch, 0)).Values.ToArray();
            return [.. values.Chunk(values.Length / batch.Length)];
        }
    }

    /// <summary>Notes the lengths of the captions of every call.</summary>
    private sealed class Listener(ITextModel inner) : ITextModel
    {
        public List<int[]> Asked { get; } = [];

        public string Name => inner.Name;

        public int Width => inner.Width;

        public ITokenizer Tokenizer => inner.Tokenizer;

        public TextFeatures Encode(IReadOnlyList<int[]> captions, int paddedLength = 0)
        {
            Asked.Add([.. captions.Select(caption => caption.Length)]);
            return inner.Encode(captions, paddedLength);
        }

        public void Save(string folder) => inner.Save(folder);

        public void Dispose() => inner.Dispose();
    }
}
