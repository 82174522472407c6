using System.Security.Cryptography;

namespace Mdm.Cli.Tests;

/// <summary>A data set, a configuration and a trained network, all so small that a command takes a fraction of a second. Made
/// once for all tests, which leave it as it is.</summary>
[SetUpFixture]
internal sealed class Tiny
{
    /// <summary>The networks of quickstart, made tiny.</summary>
    public static readonly string[] Networks =
    [
        "--unet_config.resolution_channels=8,8", "--unet_config.temporal_dim=16",
        "--unet_config.resnet_config.num_groups_norm=4", "--unet_config.inner_config.resolution_channels=8,32",
        "--unet_config.inner_config.temporal_dim=16", "--unet_config.inner_config.resnet_config.num_groups_norm=4",
        "--text-dim=16", "--batch-size=4", "--num-inference-steps=3", "--shuffle-buffer-size=16", "--warmup-steps=2",
    ];

    private static DirectoryInfo? s_folder;

    public static string Root => s_folder!.FullName;

    public static string TrainingIndex => Path.Combine(Root, "data", "training.tsv");

    public static string ValidationIndex => Path.Combine(Root, "data", "validation.tsv");

    public static string Config => Path.Combine(Root, "tiny.yaml");

    public static string Checkpoint => Path.Combine(Root, "model", "vis_model_000003.pth");

    /// <summary>A folder of one test's own; it need not exist.</summary>
    public static string Folder() => Path.Combine(Root, "tests", TestContext.CurrentContext.Test.ID);

    /// <summary>A file in that folder.</summary>
    public static string Write(string name, byte[] bytes)
    {
        string path = Path.Combine(Folder(), name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    public static string Write(string name, string text) => Write(name, System.Text.Encoding.UTF8.GetBytes(text));

    /// <summary>Names and contents of all files under a folder.</summary>
    public static IReadOnlyList<string> Contents(string folder) =>
        [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(path => $"{path} {Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(path)))}")];

    public static CliResult Train(string outputDir, params string[] more) =>
        Cli.Run(["train", "--config-path", Config, "--output-dir", outputDir, .. more]);

    public static CliResult Sample(params string[] more) =>
        Cli.Run(["sample", "--model-file", Checkpoint, "--sample-dir", Folder(), .. more]);

    /// <summary>'mdm sample' refuses in one line that contains the words, and writes nothing.</summary>
    public static void SampleRefuses(IEnumerable<string> options, params string[] words)
    {
        string pictures = Path.Combine(Folder(), "refused");
        Sample([.. options, "--sample-dir", pictures]).Refused(words);
        Assert.That(pictures, Does.Not.Exist);
    }

    [OneTimeSetUp]
    public void Make()
    {
        s_folder = Directory.CreateTempSubdirectory("mdm-cli-");
        string data = Path.Combine(Root, "data");
        Cli.Run("prepare", "shapes", data, "--count", "40", "--validation-count=6", "--size", "16").Succeeded();
        File.WriteAllText(Config, Yaml());
        Train(Path.Combine(Root, "model")).Succeeded();
    }

    [OneTimeTearDown]
    public void Remove() => s_folder!.Delete(recursive: true);

    private static string Yaml() => $$"""
        model: nested_unet
        text_model: words
        text_dim: 16
        vocab_file: {{Root}}/data/shapes.vocab
        file_list: {{Root}}/data/training.tsv
        batch_size: 4
        lr: 2.0e-2
        ema_decay: 0.5
        warmup_steps: 2
        num_training_steps: 3
        cond_drop_prob: 0.1
        log_freq: 1
        seed: 3
        num_inference_steps: 4
        unet_config:
          resolution_channels: [8, 8]
          num_resnets_per_resolution: [1, 1]
          attention_levels: []
          num_attention_layers: [0, 0]
          temporal_dim: 16
          resnet_config: {num_groups_norm: 4}
          inner_config:
            nesting: true
            resolution_channels: [8, 32]
            num_resnets_per_resolution: [1, 1]
            attention_levels: [1]
            num_attention_layers: [0, 1]
            temporal_dim: 16
            num_lm_head_layers: 1
            resnet_config: {num_groups_norm: 4, use_attention_ffn: true}
        diffusion_config:
          sampler_config:
            num_diffusion_steps: 20
            schedule_type: DEEPFLOYD
            prediction_type: V_PREDICTION
            schedule_shifted: true
          use_double_loss: true
          no_use_residual: true
        reader_config:
          image_size: 16
          max_caption_length: 200
          max_token_length: 32
          shuffle_buffer_size: 16
          reader_buffer_size: 4
          num_readers: 2
        """;
}
