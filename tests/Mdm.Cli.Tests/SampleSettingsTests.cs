using Mdm.Tensors.Formats.Images;

namespace Mdm.Cli.Tests;

/// <summary>Samplers, guidance, styles and pictures to start from, as somebody asks for them.</summary>
public sealed class SampleSettingsTests
{
    [TestCase("--sampler=dpm++")]
    [TestCase("--sampler=heun")]
    [TestCase("--sampler=ddim")]
    [TestCase("--noise=torch")]
    [TestCase("--style=photo", "--cfg-weight=3")]
    [TestCase("--guidance-schedule=linear", "--cfg-weight=3")]
    [TestCase("--guidance-schedule=interval:0.5-1", "--cfg-weight=3")]
    public void SettingsChangeThePicture(params string[] settings)
    {
        string[] guided = settings.Length > 1 ? ["--cfg-weight=3"] : [];
        Tiny.Sample(["a large red circle", "--seed=1", .. guided]).Succeeded();
        byte[] plain = Picture("00000.png").Rgb;
        Tiny.Sample(["a large red circle", "--seed=1", .. settings]).Succeeded();
        Assert.That(Picture("00000.png").Rgb.SequenceEqual(plain), Is.False);
    }

    [Test]
    public void AnEtaThatOnlyTheConfigurationHasGivesWayToASampler()
    {
        string config = Tiny.Write("eta.yaml", File.ReadAllText(Tiny.Config) + "\nddim_eta: 0.5\n");
        Tiny.Sample("--config-path", config, "a red circle", "--sampler=heun").Succeeded();
        Assert.That(File.ReadAllText(PathOf("index.html")), Does.Contain("4 steps, heun"));
        Tiny.Sample("--config-path", config, "a red circle").Succeeded();
        Assert.That(File.ReadAllText(PathOf("index.html")), Does.Contain("4 steps, eta 0.5"));
        Tiny.Sample("--config-path", config, "a red circle", "--eta=0.25").Succeeded();
        Assert.That(File.ReadAllText(PathOf("index.html")), Does.Contain("4 steps, eta 0.25"));
    }

    [TestCase("--sampler=dpm2++", "'dpm2++'", "did you mean 'dpm++'")]
    [TestCase("--sampler=hein", "did you mean 'heun'")]
    [TestCase("--style=foto", "did you mean 'photo'", "watercolour")]
    [TestCase("--guidance-schedule=liner", "did you mean 'linear'")]
    [TestCase("--guidance-schedule=interval:0.8-0.2", "LOW is below HIGH")]
    [TestCase("--guidance-schedule=interval:0.8", "interval:0.2-0.8")]
    [TestCase("--guidance-schedule=interval", "interval:0.2-0.8")]
    [TestCase("--guidance-schedule=linear:2", "expected constant")]
    [TestCase("--noise=perlin", "expected philox or torch")]
    [TestCase("--ddim-eta=1.5", "ddim_eta", "at most 1")]
    [TestCase("--ddim-eta=-0.1", "ddim_eta", "at least 0")]
    [TestCase("--cfg-weight=nan", "cfg_weight", "finite")]
    [TestCase("--num-inference-steps=21", "num_inference_steps: found 21, expected at most num_diffusion_steps 20")]
    [TestCase("--strength=0.5", "--strength", "--init-image")]
    [TestCase("--mask=mask.png", "--mask", "without --init-image")]
    [TestCase("--init-image=not there.png", "not there.png")]
    public void WhatCannotBeIsRefusedInOneLine(string setting, params string[] words) =>
        Tiny.SampleRefuses(["a red circle", "--logsnr-plot", setting], words);

    [TestCase("ddpm")]
    [TestCase("dpm++")]
    [TestCase("heun")]
    public void AnEtaIsForDdim(string sampler) =>
        Tiny.SampleRefuses(["a red circle", "--sampler", sampler, "--eta=0"], "ddim_eta is 0", sampler);

    [Test]
    public void HelpListsWhatThereIs()
    {
        string help = string.Join(' ', Cli.Run("sample", "--help").Succeeded().Output.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        Assert.That(help, Does.Contain("ddpm, ddim, dpm++ or heun").And.Contain("photo, portrait, painting, watercolour")
            .And.Contain("constant, linear or interval:LOW-HIGH").And.Contain("--strength").And.Contain("--from"));
    }

    [TestCase("0", "expected above 0 and up to 1")]
    [TestCase("1.01", "expected above 0 and up to 1")]
    [TestCase("nan", "expected a finite number")]
    public void StrengthsAreBetween0And1(string strength, string expected) =>
        Tiny.SampleRefuses(["a red circle", "--init-image", Init(16, 16), "--strength", strength], "--strength", expected);

    [TestCase("ddpm")]
    [TestCase("dpm++")]
    [TestCase("heun")]
    public void TheLessStrengthTheMoreStays(string sampler)
    {
        string init = Init(16, 16);
        byte[] start = ImageFile.Read(init).Rgb;
        double[] distances = [.. new[] { "0.05", "0.5", "1" }.Select(strength =>
        {
            Tiny.Sample("a red circle", "--seed=2", "--init-image", init, "--strength", strength, "--sampler", sampler,
                "--num-inference-steps=20").Succeeded();
            return Picture("00000.png").Rgb.Zip(start, (a, b) => Math.Abs(a - b)).Average();
        })];
        Assert.That(distances, Is.Ordered.Ascending);
        Assert.That(distances[0], Is.LessThan(distances[2] / 2));
    }

    [TestCase("ddpm", 16)]
    [TestCase("ddim", 16)]
    [TestCase("heun", 24)]
    public void OutsideTheMaskNothingChanges(string sampler, int side)
    {
        string init = Init(side, side);
        var mask = new Image(side, side);
        for (int y = 0; y < side; y++)
            mask.Rgb.AsSpan(3 * side * y, 3 * side / 2).Fill(255);
        Tiny.Sample("a red circle", "a green square", "--seed=2", "--init-image", init, "--mask",
            Tiny.Write("mask.png", PngWriter.Encode(mask)), "--sampler", sampler).Succeeded();
        byte[] start = ImagePreparation.ResizeAndCrop(ImageFile.Read(init), 16).Rgb, first = Picture("00000.png").Rgb;
        byte[] second = Picture("00001.png").Rgb;
        int changed = 0;
        for (int i = 0; i < start.Length; i++)
        {
            if (i / 3 % 16 >= 8)
                Assert.That((first[i], second[i]), Is.EqualTo((start[i], start[i])), $"byte {i}");
            else if (first[i] != start[i] && first[i] != second[i])
                changed++;
        }

        Assert.That(changed, Is.GreaterThan(start.Length / 8));
    }

    [Test]
    public void PicturesToStartFromHaveAnySizeButThatOfTheirMask()
    {
        Tiny.Sample("a red circle", "--init-image", Init(40, 23)).Succeeded();
        Tiny.SampleRefuses(["a red circle", "--init-image", Init(40, 23), "--mask", Init(23, 40, "mask.png")],
            "--mask", "23 x 40 pixels, expected 40 x 23");
        Tiny.SampleRefuses(["a red circle", "--init-image", Tiny.Write("broken.png", "no picture")], "broken.png");
    }

    // Pictures of 16x16 pixels, all of one colour, in modes other than RGB.
    [TestCase("AQAAAAA3iMLMAAAADklEQVR42mP4/5+BFAQA/U4f4d7IdZcAAAAASUVORK5CYII=", 255, 255, 255,
        Description = "black and white, a bit each")]
    [TestCase("EAAAAABqCHz+AAAAEklEQVR42mNIYMAPGUYVjCQFADfdYAESxoteAAAAAElFTkSuQmCC", 96, 96, 96, Description = "grey, 16 bits")]
    [TestCase("CAQAAAC1+jfqAAAAEklEQVR42mNIaMAPGUYVjCQFAP+K4AHAFvP/AAAAAElFTkSuQmCC", 96, 96, 96, Description = "grey and alpha")]
    [TestCase("CAMAAAAoLQ9TAAAABlBMVEUAAADIHjzB9T1vAAAAD0lEQVR42mNgRAMMI1sAAIkQAQHFzaZrAAAAAElFTkSuQmCC", 200, 30, 60,
        Description = "palette")]
    [TestCase("CAYAAAAf8/9hAAAAGUlEQVR42mM4IWfDQAlmGDVg1IBRA4aLAQBToiIQWaD46wAAAABJRU5ErkJggg==", 200, 30, 60, Description = "alpha")]
    public void PicturesToStartFromHaveAnyMode(string png, int red, int green, int blue)
    {
        const string start = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQ";
        string init = Tiny.Write("init.png", Convert.FromBase64String(start + png));
        string mask = Tiny.Write("mask.png", PngWriter.Encode(new Image(16, 16)));
        Tiny.Sample("a red circle", "--init-image", init, "--mask", mask).Succeeded();
        byte[] colour = [(byte)red, (byte)green, (byte)blue];
        Assert.That(Picture("00000.png").Rgb.Chunk(3), Has.All.EqualTo(colour), "a black mask keeps all");
    }

    [Test]
    public void TheRecipeKnowsWhatItStartedFrom()
    {
        string init = Init(16, 16);
        Tiny.Sample("a red circle", "--seed=2", "--init-image", init, "--strength=0.5").Succeeded();
        string original = Path.Combine(Tiny.Folder(), "kept.png"), again = Path.Combine(Tiny.Folder(), "again");
        File.Copy(PathOf("00000.png"), original);
        Cli.Run("sample", "--from", original, "--sample-dir", again).Succeeded();
        Assert.That(File.ReadAllBytes(Path.Combine(again, "00000.png")), Is.EqualTo(File.ReadAllBytes(original)));
        Init(17, 17);
        Cli.Run("sample", "--from", original, "--sample-dir", again).Refused("another init image");
    }

    [Test]
    public void ThePlotHasALineForEveryLevel()
    {
        Tiny.Sample("a red circle", "--logsnr-plot", "--num-inference-steps=10").Succeeded();
        Image plot = Picture("logsnr.png");
        int Colour(byte red, byte green, byte blue) => Enumerable.Range(0, plot.Rgb.Length / 3)
            .Count(i => (plot.Rgb[3 * i], plot.Rgb[3 * i + 1], plot.Rgb[3 * i + 2]) == (red, green, blue));
        Assert.That(Colour(31, 78, 140), Is.GreaterThan(200));
        Assert.That(Colour(200, 80, 30), Is.GreaterThan(200));
        Assert.That(Colour(40, 140, 60), Is.Zero);
    }

    private static string Init(int width, int height, string name = "init.png")
    {
        var image = new Image(width, height);
        for (int i = 0; i < image.Rgb.Length; i++)
            image.Rgb[i] = (byte)(i * 37 % 251);
        return Tiny.Write(name, PngWriter.Encode(image));
    }

    private static Image Picture(string name) => ImageFile.Read(PathOf(name));

    private static string PathOf(string name) => Path.Combine(Tiny.Folder(), name);
}
