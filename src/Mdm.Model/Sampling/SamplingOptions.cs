using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Presentation;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>One picture to draw.</summary>
/// <param name="Prompt">What it should show.</param>
/// <param name="Reference">The data set's picture of that caption, if there is one.</param>
public sealed record SamplingTask(string Prompt, Image? Reference = null);

/// <summary>How a job is drawn and what is written.</summary>
public sealed record SamplingOptions
{
    /// <summary>Where pictures, lists and pages go.</summary>
    public required string Folder { get; init; }

    /// <summary>Picture i of the job has the seed Seed + i, whatever the batch.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Which generator takes the seeds.</summary>
    public NoiseKind Noise { get; init; }

    /// <summary>Pictures at a time, at most: fewer where the memory does not suffice.</summary>
    public int Batch { get; init; } = 16;

    /// <summary>Pixels of the highest resolution's side.</summary>
    public required int Size { get; init; }

    /// <summary>w in u + w·(c - u), the predictions without and with the prompt; 1: none.</summary>
    public double Guidance { get; init; } = 1;

    /// <summary>How w changes over the steps.</summary>
    public GuidanceSchedule GuidanceSchedule { get; init; } = GuidanceSchedule.Constant;

    /// <summary>Sampling steps; null: all diffusion steps.</summary>
    public int? Steps { get; init; }

    /// <summary>Null: as <see cref="Eta"/> says.</summary>
    public SamplerKind? Sampler { get; init; }

    /// <summary>The share of noise of DDIM; null: none with DDIM, and ancestral sampling where no sampler is named.</summary>
    public double? Eta { get; init; }

    /// <summary>Null: as configured.</summary>
    public ThresholdType? Threshold { get; init; }

    /// <summary>What guidance leads away from.</summary>
    public string NegativePrompt { get; init; } = "";

    /// <summary>The words around prompts; null: none.</summary>
    public PromptStyle? Style { get; init; }

    /// <summary>What all pictures start from; null: noise.</summary>
    public InitPicture? Start { get; init; }

    /// <summary>Also writes every level's picture side by side, lowest first.</summary>
    public bool Levels { get; init; }

    /// <summary>Also writes the path from noise to picture as an animated PNG, all levels side by side.</summary>
    public bool Animation { get; init; }

    /// <summary>Leaves pictures of the folder as they are that were drawn by the same recipe.</summary>
    public bool Resume { get; init; }

    /// <summary>Draws one picture at the place in a batch where it was drawn before; null: all pictures, in order.</summary>
    public BatchPlace? Place { get; init; }

    /// <summary>What recipes say of the model; null: pictures get no recipe.</summary>
    public RecipeOrigin? Origin { get; init; }

    /// <summary>Title of the page.</summary>
    public string Title { get; init; } = "Samples";
}

/// <summary>Where a picture stood when it was computed, on which its last bits depend.</summary>
/// <param name="Batch">Pictures computed at once.</param>
/// <param name="Place">Which of them it was.</param>
/// <param name="Tokens">Tokens of the prompts with their padding.</param>
public sealed record BatchPlace(int Batch, int Place, int Tokens);

/// <summary>What a recipe says of the model.</summary>
/// <param name="Version">Of the program.</param>
/// <param name="Checkpoint">The weights.</param>
/// <param name="ConfigSha256">See <see cref="Recipe.ConfigSha256"/>.</param>
/// <param name="Settings">See <see cref="Recipe.Settings"/>.</param>
public sealed record RecipeOrigin(string Version, RecipeFile Checkpoint, string ConfigSha256, IReadOnlyList<string> Settings);

/// <summary>What a job has written.</summary>
/// <param name="Items">Pictures with their captions, as in <c>lst.json</c>.</param>
/// <param name="Sheet">The pictures of the grid, with captions.</param>
/// <param name="Grid">All pictures on one sheet.</param>
/// <param name="Page">The gallery.</param>
/// <param name="Reused">Pictures that were there already.</param>
/// <param name="Complete">False if the job was interrupted; what was done is written all the same.</param>
public sealed record SamplingResult(IReadOnlyList<GalleryItem> Items, IReadOnlyList<(Image Image, string Caption)> Sheet,
    string Grid, string Page, int Reused, bool Complete);
