using Mdm.Kernels;
using Mdm.Model.Diffusion;
using Mdm.Model.Presentation;
using Mdm.Tensors;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>A picture in a file that sampling starts from, and what of it is drawn anew.</summary>
public sealed class InitPicture
{
    private const int White = 128;

    private readonly Image _image;
    private readonly Image? _mask;

    private InitPicture(Image image, Image? mask) => (_image, _mask) = (image, mask);

    /// <summary>Whether every frame of a video starts from the whole picture, rather than each from its cell of it.</summary>
    public bool InEveryFrame { get; private init; }

    /// <summary>The file of the picture.</summary>
    public required RecipeFile ImageFile { get; init; }

    /// <summary>The file of the mask, or null.</summary>
    public RecipeFile? MaskFile { get; init; }

    /// <summary>Share of the sampling steps that is taken.</summary>
    public required double Strength { get; init; }

    /// <summary>Reads the files. A picture of another size is resized so that its smaller side fits, and the middle square is
    /// taken; its mask goes the same way. Grey pictures and those with a palette or transparency become RGB. A video is drawn as
    /// a grid of frames: a picture as large as that is such a grid, any other is what each of the frames starts from.</summary>
    /// <param name="imagePath">PNG or JPEG.</param>
    /// <param name="maskPath">As large as the picture: white is drawn anew, black stays. Empty: all is drawn anew.</param>
    /// <param name="strength">Above 0 and up to 1.</param>
    /// <param name="size">Side of the pictures to draw.</param>
    /// <param name="gridSide">These are grids of that many by that many frames of a video; 1: they are none.</param>
    /// <exception cref="MdmException">A file cannot be read, the sizes differ, or the strength is out of range.</exception>
    public static InitPicture Read(string imagePath, string maskPath, double strength, int size, int gridSide = 1)
    {
        if (strength is not (> 0 and <= 1))
            throw new MdmException($"--strength is {strength}, expected above 0 and up to 1");
        Image image = Mdm.Tensors.Formats.Images.ImageFile.Read(imagePath);
        Image? mask = maskPath.Length == 0 ? null : Mdm.Tensors.Formats.Images.ImageFile.Read(maskPath);
        if (mask != null && (mask.Width, mask.Height) != (image.Width, image.Height))
        {
            throw new MdmException($"--mask: {maskPath} has {mask.Width} x {mask.Height} pixels, expected {image.Width} x "
                + $"{image.Height} as the init image {imagePath}");
        }

        bool inEveryFrame = gridSide > 1 && (image.Width, image.Height) != (size, size);
        return new InitPicture(Fit(image), mask == null ? null : Fit(mask))
        {
            InEveryFrame = inEveryFrame,
            ImageFile = RecipeFile.Of(imagePath),
            MaskFile = mask == null ? null : RecipeFile.Of(maskPath),
            Strength = strength,
        };

        Image Fit(Image picture) => inEveryFrame
            ? ImageGrid.Repeat(ImagePreparation.ResizeAndCrop(picture, Math.Max(1, size / gridSide)), gridSide)
            : ImagePreparation.ResizeAndCrop(picture, size);
    }

    /// <summary>The same picture for a whole batch.</summary>
    public StartingPicture ForBatch(IDevice device, int batch)
    {
        Tensor images = Pixels.ToTensor(device, Enumerable.Repeat(_image, batch).ToArray());
        return new StartingPicture(images, Strength, _mask == null ? null : MaskTensor(device, _mask, batch));
    }

    private static Tensor MaskTensor(IDevice device, Image mask, int batch)
    {
        float[] anew = new float[mask.Rgb.Length];
        for (int i = 0; i < anew.Length; i += 3)
            anew.AsSpan(i, 3).Fill(mask.Rgb[i] + mask.Rgb[i + 1] + mask.Rgb[i + 2] >= 3 * White ? 1 : 0);
        float[] all = Enumerable.Repeat(anew, batch).SelectMany(values => values).ToArray();
        return Tensor.From(device, all, new Shape(batch, mask.Height, mask.Width, 3));
    }
}
