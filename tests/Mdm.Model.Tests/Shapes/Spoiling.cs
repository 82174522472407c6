using Mdm.Model.Shapes;

namespace Mdm.Model.Tests.Shapes;

/// <summary>What small models do to images, and deliberate errors of content.</summary>
internal static class Spoiling
{
    public static readonly string[] Wrongs =
        ["colour", "kind", "size", "relation", "background", "exchanged", "missing", "extra", "empty", "noise"];

    /// <summary>Gaussian blur (standard deviation in pixels), a shift of each channel, then Gaussian noise (levels).</summary>
    public static byte[] Spoil(byte[] rgb, int size, double blur, double shift, double noise, Random random)
    {
        double[] kernel = Enumerable.Range(-4, 9).Select(i => Math.Exp(-i * i / (2 * blur * blur))).ToArray();
        double[] shifts = [.. Enumerable.Range(0, 3).Select(_ => ((2 * random.NextDouble()) - 1) * shift)];
        double[] across = Blur(rgb.Select(b => (double)b).ToArray(), size, 3, kernel);
        double[] both = Blur(across, size, 3 * size, kernel);
        return both.Select((v, i) => (byte)Math.Clamp(v + shifts[i % 3] + (noise * Normal(random)) + 0.5, 0, 255)).ToArray();
    }

    /// <summary>An image that is wrong in the named way for the returned caption; null where the scene cannot be.</summary>
    public static (byte[] Rgb, string Caption)? Draw(string wrong, SceneDescription scene, int size, Random random)
    {
        ulong seed = (ulong)random.NextInt64();
        byte[] Drawn(SceneDescription description) => ShapeRenderer.Draw(ShapeGenerator.Place(description, seed), size);
        string caption = CaptionWriter.Write(scene);
        ShapeWords a = scene.First;
        ShapeWords? b = scene.Second;
        switch (wrong)
        {
            case "colour":
                return (Drawn(scene with { First = a with { Colour = Other(a.Colour, random) } }), caption);
            case "kind":
                return (Drawn(scene with { First = a with { Kind = Other(a.Kind, random) } }), caption);
            case "size" when a.Size != ShapeSize.Unsaid:
                return (Drawn(scene with { First = a with { Size = 3 - a.Size } }), caption);
            case "relation" when scene.Relation is ShapeRelation relation:
                return (Drawn(scene with { Relation = Other(relation, random) }), caption);
            case "background" when scene.Background != ShapeBackground.Unsaid:
                return (Drawn(scene with { Background = Other(scene.Background, random) }), caption);
            case "exchanged" when b != null && a.Colour != b.Colour && a.Kind != b.Kind:
                (a, b) = (a with { Colour = b.Colour }, b with { Colour = a.Colour });
                return (Drawn(scene with { First = a, Second = b }), caption);
            case "missing" when b != null:
                return (Drawn(new SceneDescription(a, null, null, scene.Background)), caption);
            case "extra" when b == null:
                ShapeWords more = a with { Size = ShapeSize.Small, Colour = Other(a.Colour, random) };
                return (Drawn(scene with { Relation = ShapeRelation.Above, Second = more }), caption);
            case "extra":
                ShapeScene placed = ShapeGenerator.Place(scene, seed);
                bool vertical = scene.Relation is ShapeRelation.Above or ShapeRelation.Below;
                var third = new PlacedShape(a, vertical ? 0.87 : 0.5, vertical ? 0.5 : 0.87, 0.22, ShapeWorld.Fill(a.Colour));
                return (ShapeRenderer.Draw(placed with { Shapes = [.. placed.Shapes, third] }, size), caption);
            case "empty":
                byte grey = ShapeWorld.Grey(scene.Background);
                return (Enumerable.Repeat(grey, size * size * 3).ToArray(), caption);
            case "noise":
                var bytes = new byte[size * size * 3];
                random.NextBytes(bytes);
                return (bytes, caption);
            default:
                return null;
        }
    }

    private static T Other<T>(T value, Random random)
        where T : struct, Enum
    {
        T[] others = Enum.GetValues<T>().Where(v => !v.Equals(value)).ToArray();
        return others[random.Next(others.Length)];
    }

    private static double[] Blur(double[] values, int size, int stride, double[] kernel)
    {
        var blurred = new double[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            int at = i / stride % size;
            double sum = 0, weight = 0;
            for (int k = -4; k <= 4; k++)
            {
                if (at + k < 0 || at + k >= size)
                    continue;
                sum += kernel[k + 4] * values[i + (k * stride)];
                weight += kernel[k + 4];
            }

            blurred[i] = sum / weight;
        }

        return blurred;
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
