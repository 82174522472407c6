using Mdm.Model.Configuration;

namespace Mdm.Cli.Tests;

public sealed class HelpTests
{
    private static readonly string[] s_verbs = [.. Shell.Verbs.Select(verb => verb.Name), ""];

    [TestCaseSource(nameof(s_verbs))]
    public void HelpFitsEightyColumnsAndExplainsEveryOption(string verb)
    {
        string[] words = verb.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        foreach (string option in verb.Length == 0 ? (string[])["--help", "-h"] : ["--help", "-h", "--help-all"])
        {
            string[] lines = Cli.Run([.. words, option]).Succeeded().Output.Split('\n');
            Assert.That(lines.Where(line => line.TrimEnd('\r').Length > 80), Is.Empty);
            Assert.That(lines.Where(line => line.EndsWith(' ')), Is.Empty);
            for (int i = 0; i < lines.Length; i++)
                if (lines[i].StartsWith("  --", StringComparison.Ordinal))
                {
                    bool beside = lines[i].Length > 30 && lines[i][28..30] == "  ";
                    Assert.That(beside ? lines[i][30..] : lines[i + 1].Trim(), Has.Length.GreaterThan(3), lines[i]);
                }
        }
    }

    [Test]
    public void EveryVerbIsListedWithASummary()
    {
        string help = Cli.Run().Succeeded().Output;
        foreach (Verb verb in Shell.Verbs)
            Assert.That(help, Does.Contain($"  {verb.Name} ").And.Contain(verb.Summary));
    }

    [TestCase("sample", "--model-file", "--cfg-weight, --guidance", "--seed", "--batch-size",
        "--ddim-eta, --eta", "--help-all")]
    [TestCase("train", "--config-path", "--output-dir", "--num-training-steps", "--resume", "--device", "--help-all")]
    [TestCase("quickstart", "--minutes", "--seed", "--output-dir")]
    public void WhatMostPeopleNeedIsInTheShortHelp(string verb, params string[] options)
    {
        string help = Cli.Run("help", verb).Succeeded().Output;
        foreach (string option in options)
            Assert.That(help, Does.Contain($"  {option}"));
    }

    [TestCase("--reader_config.image_size")]
    [TestCase("ema_decay")]
    public void TheLongHelpListsTheConfiguration(string option) =>
        Assert.That(Cli.Run("train", "--help-all").Succeeded().Output, Does.Contain(option[(option.IndexOf('.') + 1)..]));

    [Test]
    public void TheVersionIsANumber() => Assert.That(Cli.Run("--version").Succeeded().Output, Does.Match(@"^mdm \d+\.\d+"));

    [TestCase("trian", "'trian' is not a command; did you mean 'mdm train'?")]
    [TestCase("smaple|a red circle", "'smaple' is not a command; did you mean 'mdm sample'?")]
    [TestCase("prepare|shape", "did you mean 'mdm prepare shapes'?")]
    [TestCase("prepare", "did you mean 'mdm prepare shapes'?")]
    [TestCase("evaluate|--json=x", "did you mean 'mdm evaluate shapes'?")]
    [TestCase("gradchek", "did you mean 'mdm gradcheck'?")]
    [TestCase("xyzzy", "'xyzzy' is not a command; 'mdm --help' lists them")]
    [TestCase("--hlep", "unknown option --hlep; did you mean '--help'?")]
    [TestCase("--seed=3", "unknown option --seed=3; a command comes first, 'mdm --help' lists them")]
    [TestCase("train_parallel|--batch-size=2", "train_parallel: that is 'mdm train' here")]
    [TestCase("ml_mdm/clis/generate_batch.py", "that is 'mdm sample --test-file-list FILE' here")]
    [TestCase("ml_mdm.clis.generate_sample", "that is 'mdm sample \"a prompt\"' here")]
    [TestCase("train|--btach-size=2", "unknown option --btach-size; did you mean '--batch_size'?")]
    [TestCase("sample|--thresold=CLIP|x", "unknown option --thresold; did you mean '--threshold'?")]
    [TestCase("convert|--hafl|a|b", "did you mean '--half'?")]
    [TestCase("gradcheck|--batch-size=2", "unknown option --batch-size; --help lists those that exist")]
    [TestCase("train|tiny.yaml", "'tiny.yaml' is no option")]
    [TestCase("quickstart|now", "'now' is no option")]
    [TestCase("prepare|shapes", "0 folders given")]
    [TestCase("evaluate|shapes|a|b", "2 folders given")]
    [TestCase("inspect", "0 files given")]
    [TestCase("convert|a.pth", "1 files given")]
    public void MistypedCommandsAreUnderstood(string command, string answer) => Cli.Run(command.Split('|')).Refused(answer);

    [Test]
    public void DescribedSettingsExist()
    {
        string help = new OptionTable<NoOptions>("mdm x", "Does x.", true, "seed", "sampler_config.num_diffusion_steps").Help();
        Assert.That(help, Does.Contain("--seed N").And.Contain("--num-diffusion-steps N"));
    }

    private sealed class NoOptions;
}
