using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>Where a sampler stands after a step. Its tensors live until the next step is asked for.</summary>
/// <param name="Step">Steps done, 1..Steps.</param>
/// <param name="Steps">Of how many.</param>
/// <param name="Time">t, where the step began.</param>
/// <param name="NextTime">s, where it ended.</param>
/// <param name="Denoised">x₀ as the step predicted it, after thresholding, per resolution, highest first.</param>
/// <param name="Noisy">x_s, likewise.</param>
/// <param name="LogSnr">ln(γ_s/(1-γ_s)) per resolution; infinite at the end.</param>
/// <param name="ImageScales">What multiplies each resolution's arrays to make pictures in [-1,1].</param>
public sealed record SamplingState(int Step, int Steps, int Time, int NextTime, IReadOnlyList<Tensor> Denoised,
    IReadOnlyList<Tensor> Noisy, IReadOnlyList<double> LogSnr, IReadOnlyList<double> ImageScales)
{
    /// <summary>Whether the pictures are done.</summary>
    public bool IsLast => Step == Steps;

    /// <summary>A resolution's picture as it stands, clamped to [-1,1]: the result, after the last step.</summary>
    public Tensor Picture(int level = 0) => Shown(Noisy[level], level);

    /// <summary>A resolution's predicted picture, clamped to [-1,1].</summary>
    public Tensor Preview(int level = 0) => Shown(Denoised[level], level);

    /// <summary>All resolutions side by side, the lowest first, the smaller ones enlarged bilinearly: [B,H,levels·W,C].</summary>
    /// <param name="denoised">Shows the predictions in place of the pictures as they stand.</param>
    public Tensor SideBySide(bool denoised = false)
    {
        Shape size = Noisy[0].Shape;
        int batch = size[0], height = size[1], width = size[2], channels = size[3];
        Tensor? row = null;
        for (int level = Noisy.Count - 1; level >= 0; level--)
        {
            Tensor picture = denoised ? Preview(level) : Picture(level);
            if (level > 0)
                picture = Op.Resize(picture, height, width);
            // Joining along the width is joining the last dimension of whole lines.
            Tensor lines = picture.Reshape(batch, height, width * channels);
            row = row == null ? lines : Op.Concatenate(row, lines);
        }

        return row!.Reshape(batch, height, Noisy.Count * width, channels);
    }

    private Tensor Shown(Tensor x, int level) =>
        Op.Clamp(ImageScales[level] == 1 ? x : Op.Scale(x, (float)ImageScales[level]), -1, 1);
}
