namespace Mdm.Cli.Tests;

/// <summary>Text features computed beforehand.</summary>
public sealed class EmbedTests
{
    [Test]
    public void TrainingReadsThem()
    {
        string folder = Path.Combine(Tiny.Folder(), "features");
        CliResult embedded = Cli.Run("embed", "--config-path", Tiny.Config, "--output-dir", folder, "--batch-size=8").Succeeded();
        string index = Path.Combine(folder, "index.tsv");
        Assert.That(embedded.Output, Does.Contain("40 samples").And.Contain($"--file-list={index}"));
        Assert.That(Cli.Run("embed", "--config-path", Tiny.Config, "--output-dir", folder).Succeeded().Output,
            Does.Contain("done before"));
        string run = Path.Combine(Tiny.Folder(), "run");
        Tiny.Train(run, "--file-list", index, "--use-precomputed-text-embeddings", "--language-model-dim=16").Succeeded();
        string checkpoint = Directory.GetFiles(run, "vis_model_0*.pth").Single();
        Cli.Run("sample", "--model-file", checkpoint, "--sample-dir", Path.Combine(run, "samples"), "a circle")
            .Refused("use_precomputed_text_embeddings");
        Cli.Run("sample", "--model-file", checkpoint, "--sample-dir", Path.Combine(run, "samples"),
            "--use-precomputed-text-embeddings=0", "a circle").Succeeded();
    }

    [Test]
    public void BadInputIsOneLine()
    {
        string folder = Path.Combine(Tiny.Folder(), "features");
        Cli.Run("embed", "--config-path", Tiny.Config).Refused("output_dir is not set");
        Cli.Run("embed", "--config-path", Tiny.Config, "--output-dir", folder, "--file-list=nowhere.tsv").Refused("nowhere.tsv");
        Cli.Run("embed", "--config-path", Tiny.Config, "--output-dir", folder, "--text-model=none").Refused("text_model is 'none'");
        Cli.Run("embed", "--config-path", Tiny.Config, "--output-dir", folder, "--max-caption-length=1").Refused("none of its");
        Cli.Run("embed", "--config-path", Tiny.Config, "--output-dir", folder).Refused("features of another kind", "--output-dir");
    }
}
