using System.Buffers.Binary;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Cli.Tests;

/// <summary>Networks that draw a video as a grid of frames, here 2 x 2 of 8 x 8 pixels.</summary>
public sealed class VideoTests
{
    private const int Side = 16, Frame = 8;

    private string _model = "";

    [OneTimeSetUp]
    public void Train()
    {
        _model = Path.Combine(Tiny.Folder(), "model");
        Tiny.Train(_model, "--unet_config.resolution_channels=32,32,32", "--unet_config.num_resnets_per_resolution=1",
            "--unet_config.num_attention_layers=1", "--unet_config.temporal_mode=true",
            "--unet_config.num_temporal_attention_layers=0,1,0", "--unet_config.temporal_positional_encoding=true").Succeeded();
    }

    [Test]
    public void NetworksOverFramesDrawVideos()
    {
        Assert.That(Cli.Run("inspect", Path.Combine(_model, "config.yaml")).Succeeded().Output,
            Does.Contain("16x16 around 8x8, text width 16").And.Contain("frames       4 in a grid of 2x2, 8x8 each"));
        Sample().Succeeded();

        Image grid = Picture("00000.png");
        byte[] video = File.ReadAllBytes(PathOf("00000_video.png"));
        // The number of frames stands in the chunk acTL, the first of them is the picture of who knows no animations.
        int control = video.AsSpan().IndexOf("acTL"u8);
        Assert.That(BinaryPrimitives.ReadInt32BigEndian(video.AsSpan(control + 4)), Is.EqualTo(4));
        Image first = PngReader.Decode(video);
        int factor = first.Width / Frame;
        Assert.That((grid.Width, first.Width, first.Height), Is.EqualTo((Side, 128, 128)));
        for (int y = 0; y < Frame; y++)
            for (int x = 0; x < Frame; x++)
                Assert.That(first.Rgb[3 * factor * (y * first.Width + x)], Is.EqualTo(grid.Rgb[3 * (y * grid.Width + x)]));
        Assert.That(File.ReadAllText(PathOf("index.html")), Does.Contain("00000_video.png"));
    }

    [TestCase(Side, Side, "16x16, is a grid of 2x2 frames")]
    [TestCase(24, 10, "each of 4 frames starts from the init image")]
    [TestCase(Frame, Frame, "each of 4 frames starts from the init image")]
    public void VideosStartFromAGridOfFramesOrFromOnePicture(int width, int height, string told)
    {
        (string init, string mask) = (Path.Combine(Tiny.Folder(), "init.png"), Path.Combine(Tiny.Folder(), "mask.png"));
        var picture = new Image(width, height);
        for (int i = 0; i < picture.Rgb.Length; i++)
            picture.Rgb[i] = (byte)(i * 37 % 251);
        // The upper half is drawn anew.
        var anew = new Image(width, height);
        anew.Rgb.AsSpan(0, 3 * width * (height / 2)).Fill(255);
        Directory.CreateDirectory(Tiny.Folder());
        File.WriteAllBytes(init, PngWriter.Encode(picture));
        File.WriteAllBytes(mask, PngWriter.Encode(anew));

        CliResult result = Sample("--seed=2", "--init-image", init, "--mask", mask).Succeeded();

        Assert.That(result.Output, Does.Contain(told));
        Image drawn = Picture("00000.png");
        bool grid = width == Side && height == Side;
        Image start = ImagePreparation.ResizeAndCrop(picture, grid ? Side : Frame);
        int period = start.Width, changed = 0;
        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
            {
                byte[] found = drawn.Rgb.AsSpan(3 * (y * Side + x), 3).ToArray();
                byte[] known = start.Rgb.AsSpan(3 * (y % period * period + x % period), 3).ToArray();
                if (y % period >= period / 2)
                    Assert.That(found, Is.EqualTo(known), $"pixel {x}, {y} stays");
                else if (!found.SequenceEqual(known))
                    changed++;
            }
        }

        Assert.That(changed, Is.GreaterThan(Side * Side / 4));
        string original = Path.Combine(Tiny.Folder(), "kept.png"), again = Path.Combine(Tiny.Folder(), "again");
        File.Copy(PathOf("00000.png"), original);
        Cli.Run("sample", "--from", original, "--sample-dir", again).Succeeded();
        Assert.That(File.ReadAllBytes(Path.Combine(again, "00000.png")), Is.EqualTo(File.ReadAllBytes(original)));
    }

    [Test]
    public void WithoutAMaskTheLessStrengthTheMoreOfEveryFrameStays()
    {
        var picture = new Image(Frame, Frame);
        picture.Rgb.AsSpan().Fill(200);
        string init = Tiny.Write("init.png", PngWriter.Encode(picture));
        double[] distances = [.. new[] { "0.05", "1" }.Select(strength =>
        {
            Sample("--seed=2", "--init-image", init, "--strength", strength, "--num-inference-steps=20").Succeeded();
            return Picture("00000.png").Rgb.Average(value => Math.Abs(value - 200.0));
        })];
        Assert.That(distances[0], Is.LessThan(distances[1] / 2));
    }

    private CliResult Sample(params string[] more) => Cli.Run(
        ["sample", "--model-file", Path.Combine(_model, "vis_model_000003.pth"), "--sample-dir", Tiny.Folder(), "a red circle",
        .. more]);

    private static Image Picture(string name) => PngReader.Decode(File.ReadAllBytes(PathOf(name)));

    private static string PathOf(string name) => Path.Combine(Tiny.Folder(), name);
}
