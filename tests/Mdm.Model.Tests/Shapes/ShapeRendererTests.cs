using Mdm.Model.Shapes;

namespace Mdm.Model.Tests.Shapes;

public class ShapeRendererTests
{
    private static readonly Rgb White = new(255, 255, 255);

    [TestCase(ShapeKind.Circle, Math.PI / 4, 0.5)]
    [TestCase(ShapeKind.Square, 1.0, 0.5)]
    [TestCase(ShapeKind.Diamond, 0.5, 0.5)]
    [TestCase(ShapeKind.Triangle, 0.5, 2 / 3.0)]
    public void Area_and_centroid_are_those_of_geometry(ShapeKind kind, double boxShare, double centroid)
    {
        foreach (int size in (int[])[31, 32, 64, 200])
        {
            const double extent = 0.37, x = 0.48, y = 0.53;
            byte[] image = ShapeRenderer.Draw(Single(kind, x, y, extent), size);
            double area = 0, mx = 0, my = 0;
            for (int i = 0; i < size * size; i++)
            {
                double a = image[3 * i] / 255.0;
                area += a;
                mx += a * ((i % size) + 0.5);
                my += a * ((i / size) + 0.5);
            }

            Assert.That(area / (size * size), Is.EqualTo(boxShare * extent * extent).Within(1).Percent);
            Assert.That(mx / area / size, Is.EqualTo(x).Within(0.1 / size));
            Assert.That(my / area / size, Is.EqualTo(y + ((centroid - 0.5) * extent)).Within(0.1 / size));
        }
    }

    [Test]
    public void Background_and_core_have_exactly_their_colours()
    {
        var shape = new PlacedShape(new ShapeWords(ShapeSize.Unsaid, ShapeColour.Red, ShapeKind.Circle), 0.5, 0.5, 0.5,
            new Rgb(200, 10, 77));
        var scene = new ShapeScene(new SceneDescription(shape.Words, null, null, ShapeBackground.Unsaid), [shape],
            new Rgb(3, 64, 9));
        byte[] image = ShapeRenderer.Draw(scene, 33);
        Assert.That(image[..3], Is.EqualTo(new byte[] { 3, 64, 9 }));
        int middle = ((16 * 33) + 16) * 3;
        Assert.That(image[middle..(middle + 3)], Is.EqualTo(new byte[] { 200, 10, 77 }));
    }

    [Test]
    public void A_square_between_pixels_covers_them_in_parts()
    {
        // Box from 2.25 to 5.75 on 8 pixels: the border pixels are covered by 3/4.
        byte[] image = ShapeRenderer.Draw(Single(ShapeKind.Square, 0.5, 0.5, 3.5 / 8), 8);
        int[] row = Enumerable.Range(0, 8).Select(x => (int)image[((4 * 8) + x) * 3]).ToArray();
        Assert.That(row, Is.EqualTo(new[] { 0, 0, 191, 255, 255, 191, 0, 0 }));
    }

    [Test]
    public void Shapes_reaching_over_the_border_are_cut_off() =>
        Assert.That(ShapeRenderer.Draw(Single(ShapeKind.Square, 0, 1, 3), 5), Is.All.EqualTo(255));

    private static ShapeScene Single(ShapeKind kind, double x, double y, double extent)
    {
        var words = new ShapeWords(ShapeSize.Unsaid, ShapeColour.Red, kind);
        return new ShapeScene(new SceneDescription(words, null, null, ShapeBackground.Black),
            [new PlacedShape(words, x, y, extent, White)], default);
    }
}
