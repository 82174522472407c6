using Mdm.Tensors.Formats.Images;
using Mdm.Tests;

namespace Mdm.Cli.Tests;

/// <summary>Text models: downloaded from a server on this machine, trained with and drawn with.</summary>
public sealed class FetchTests
{
    private HubServer _server = null!;
    private Dictionary<string, string?> _before = null!;

    private static string Vocabulary => Path.Combine(Tiny.Root, "data", "shapes.vocab");

    [SetUp]
    public void Start()
    {
        string source = Path.Combine(Tiny.Folder(), "source");
        new T5Folder { Vocabulary = File.ReadAllLines(Vocabulary).Length }.Write(source);
        _server = new HubServer().Serve(source);
        var environment = new Dictionary<string, string?>
        {
            ["HF_ENDPOINT"] = _server.Address,
            ["HF_HOME"] = Path.Combine(Tiny.Folder(), "hf"),
            ["HF_HUB_CACHE"] = null,
            ["HUGGINGFACE_HUB_CACHE"] = null,
            ["HF_TOKEN"] = "token",
        };
        _before = environment.ToDictionary(pair => pair.Key, pair => Environment.GetEnvironmentVariable(pair.Key));
        Set(environment);
    }

    [TearDown]
    public void Stop()
    {
        Set(_before);
        _server.Dispose();
    }

    [Test]
    public void WhatWasFetchedTrainsAndDraws()
    {
        string run = Path.Combine(Tiny.Folder(), "run"), samples = Path.Combine(Tiny.Folder(), "samples");
        string[] model = ["--text-model=google/tiny", "--vocab-file", Vocabulary];
        Tiny.Train(run, model).Refused("google/tiny is not on this machine", "'mdm fetch google/tiny' downloads it");

        CliResult fetched = Cli.Run("fetch", "google/tiny").Succeeded();
        Assert.That(fetched.Output, Does.Contain("models--google--tiny").And.Contain("--text-model=google/tiny"));
        Assert.That(fetched.Error, Does.Contain("model.safetensors"));
        Assert.That(_server.Requests.Select(request => request.Authorization), Has.All.EqualTo("Bearer token"));

        Tiny.Train(run, model).Succeeded();
        Assert.That(File.ReadAllText(Path.Combine(run, "text_model.json")), Does.Contain("google/tiny"));
        string checkpoint = Directory.GetFiles(run, "vis_model_0*.pth").Single();
        string[] draw = ["sample", "--model-file", checkpoint, "--num-inference-steps=2", "--seed=4", "a red circle", "a blue square"];
        Cli.Run([.. draw, "--sample-dir", samples]).Succeeded();
        byte[] Picture() => ImageFile.Decode(File.ReadAllBytes(Path.Combine(samples, "00001.png"))).Rgb;
        byte[] first = Picture(), file = File.ReadAllBytes(Path.Combine(samples, "00001.png"));
        string again = Path.Combine(Tiny.Folder(), "again");
        Cli.Run("sample", "--from", Path.Combine(samples, "00001.png"), "--sample-dir", again).Succeeded();
        Assert.That(File.ReadAllBytes(Path.Combine(again, "00000.png")), Is.EqualTo(file), "bit for bit");
        Cli.Run([.. draw, "--sample-dir", samples, "--batch-size=1"]).Succeeded();
        Assert.That(Picture(), Is.EqualTo(first), "the same in any batch");
    }

    [Test]
    public void FoldersAndRevisions()
    {
        string folder = Path.Combine(Tiny.Folder(), "own");
        Cli.Run("fetch", "google/tiny", "--dir", folder, "--revision=v2").Succeeded();
        Assert.That(_server.Requests[0].Path, Is.EqualTo("/api/models/google/tiny/revision/v2"));
        Assert.That(Directory.GetFiles(folder).Select(Path.GetFileName), Is.EquivalentTo(new[] { "config.json", "model.safetensors" }));
        Tiny.Train(Path.Combine(Tiny.Folder(), "run"), "--text-model", folder, "--vocab-file", Vocabulary).Succeeded();
    }

    [Test]
    public void WhatGoesWrongIsOneLine()
    {
        Cli.Run("fetch").Refused("0 repositories given, expected one");
        Cli.Run("fetch", "google/tiny/x").Refused("no repository's name");
        Cli.Run("fetch", "google/none").Refused("404", "google/none");
        Environment.SetEnvironmentVariable("HF_ENDPOINT", "huggingface");
        Cli.Run("fetch", "google/tiny").Refused("HF_ENDPOINT is 'huggingface'");
        Environment.SetEnvironmentVariable("HF_ENDPOINT", _server.Address);
        _server.Fault = _ => HubServer.Answer(200, "<html>", "text/html");
        Cli.Run("fetch", "google/tiny").Refused("text/html", "HF_ENDPOINT");
        Assert.That(Path.Combine(Tiny.Folder(), "hf"), Does.Not.Exist);
    }

    [Test]
    public void CtrlCKeepsWhatCame()
    {
        byte[] weights = _server["model.safetensors"];
        _server.Fault = request => !request.Path.StartsWith("/store", StringComparison.Ordinal) ? null
            : request.From == 0 ? HubServer.Answer(200, weights[..1000], "", weights.Length)
            : HubServer.Answer(503, "later");
        CliResult stopped = Cli.Interrupt("model.safetensors", "fetch", "google/tiny");
        Assert.That(stopped.Code, Is.EqualTo(130), stopped.Error);
        Assert.That(stopped.Error, Does.Contain("interrupted: the same command goes on"));
        string home = Path.Combine(Tiny.Folder(), "hf");
        Assert.That(Directory.GetFiles(home, "*", SearchOption.AllDirectories), Has.All.EndsWith(".incomplete"));
        _server.Fault = _ => null;
        Cli.Run("fetch", "google/tiny").Succeeded();
        Assert.That(Directory.GetFiles(home, "*.incomplete", SearchOption.AllDirectories), Is.Empty);
    }

    private static void Set(Dictionary<string, string?> variables)
    {
        foreach ((string name, string? value) in variables)
            Environment.SetEnvironmentVariable(name, value);
    }
}
