using Mdm.Model.Configuration;
using Mdm.Model.Sampling;

namespace Mdm.Cli;

/// <summary>The options of 'mdm sample' beside the fields of a configuration. Texts are empty where nothing is given.</summary>
internal sealed class SampleOptions
{
    [Setting("Configuration; default: config.yaml beside the checkpoint", Placeholder = "FILE")]
    public string ConfigPath { get; set; } = "";

    [Setting("Prompts, one a line; of a .tsv file its column prompt or caption", Placeholder = "FILE")]
    public string PromptsFile { get; set; } = "";

    [Setting("Pictures of each prompt", Min = 1)]
    public int Count { get; set; } = 1;

    [Setting($"Words around the prompt: {PromptStyles.Names}", Placeholder = "NAME")]
    public string Style { get; set; } = "";

    [Setting("ddpm, ddim, dpm++ or heun; default: ddim with --ddim-eta, else ddpm", Placeholder = "NAME")]
    public string Sampler { get; set; } = "";

    [Setting($"How guidance changes over the steps: {Mdm.Model.Diffusion.GuidanceSchedule.Names} "
        + "(shares of the path from noise to picture)",
        Placeholder = "NAME")]
    public string GuidanceSchedule { get; set; } = "";

    [Setting("NONE, CLIP, DYNAMIC or DYNAMIC_IF; default: as configured", Placeholder = "NAME")]
    public string Threshold { get; set; } = "";

    [Setting("Generator of the noise: philox, or torch for the numbers of PyTorch on a CPU", Placeholder = "NAME")]
    public string Noise { get; set; } = "";

    [Setting("Picture to start from; its smaller side is resized to the size, the middle square is taken. Each frame of a video "
        + "starts from it, unless it is as large as the grid of all",
        Placeholder = "FILE")]
    public string InitImage { get; set; } = "";

    [Setting("Share of the steps taken from --init-image, above 0 and up to 1: the less, the more stays [0.6; 1 with --mask]",
        Placeholder = "X")]
    public double? Strength { get; set; }

    [Setting("As large as --init-image: white is drawn anew, black stays", Placeholder = "FILE")]
    public string Mask { get; set; } = "";

    [Setting("Draws a picture of 'mdm sample' again by the recipe in it; other options change the recipe", Placeholder = "FILE")]
    public string From { get; set; } = "";

    [Setting("Goes on with an interrupted job: pictures of the folder that the same recipe drew stay")]
    public bool Resume { get; set; }

    [Setting("Also writes the path from noise to picture as animated PNGs")]
    public bool Animation { get; set; }

    [Setting("Also writes logsnr.png: the signal-to-noise ratio of every level over the steps")]
    public bool LogsnrPlot { get; set; }
}
