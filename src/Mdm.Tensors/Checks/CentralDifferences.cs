namespace Mdm.Tensors.Checks;

/// <summary>The error of gradients against central differences of a case's float64 reference.</summary>
internal static class CentralDifferences
{
    // Truncation is about the square of the step, rounding about 1e-16 / step: both are below 1e-8.
    private const double Step = 3e-5;

    private const int Directions = 3;
    private const int Samples = 24;

    /// <summary>
    /// The largest relative error over all inputs with a gradient. With f = ⟨cotangent, reference⟩ and e the error of a
    /// gradient: E⟨e,d⟩² = ‖e‖² for random directions d of unit variance, so a few directions estimate the error by norm
    /// from all elements; a sample of single elements (all of a small input) finds what is wrong at few places.
    /// </summary>
    /// <param name="test">A case with a reference.</param>
    /// <param name="values">The inputs' numbers.</param>
    /// <param name="cotangent">The gradient of the result.</param>
    /// <param name="gradients">The gradients to be judged; null where none is wanted.</param>
    /// <param name="negligible">Gradients below this share of the result's gradient are judged as if they had this size: a
    /// gradient that is 0 but for rounding (a group of one element) has no relative error.</param>
    /// <param name="random">Draws directions and elements.</param>
    /// <param name="worst">The input with the largest error.</param>
    public static double LargestError(OperationCase test, double[][] values, double[] cotangent, double[]?[] gradients,
        double negligible, Random random, out string worst)
    {
        double largest = -1, seedNorm = Norm(cotangent);
        worst = "";
        for (int i = 0; i < values.Length; i++)
        {
            if (gradients[i] is not { Length: > 0 } gradient)
                continue;
            double scale = Math.Max(Norm(gradient), negligible * seedNorm);
            double error = Math.Max(
                AlongDirections(test.Reference!, values, i, cotangent, gradient, random),
                AtElements(test.Reference!, values, i, cotangent, gradient, random));
            error = scale > 0 ? error / scale : error;
            if (double.IsNaN(error))
                error = double.PositiveInfinity;
            if (error > largest)
                (largest, worst) = (error, test.Inputs[i].Name);
        }

        return largest;
    }

    private static double AlongDirections(Func<double[][], double[]> f, double[][] values, int i, double[] cotangent,
        double[] gradient, Random random)
    {
        double squares = 0;
        double[] direction = new double[gradient.Length];
        double[] point = values[i];
        for (int k = 0; k < Directions; k++)
        {
            double product = 0;
            for (int j = 0; j < direction.Length; j++)
            {
                direction[j] = (random.NextDouble() < 0.5 ? -1 : 1) * (0.5 + random.NextDouble()) / Math.Sqrt(13.0 / 12);
                product += direction[j] * gradient[j];
            }

            double step = Step / Math.Sqrt(direction.Length);
            double slope = Slope(f, values, i, cotangent, step, (x, s) =>
            {
                for (int j = 0; j < x.Length; j++)
                    x[j] = point[j] + s * direction[j];
            });
            squares += (slope - product) * (slope - product);
        }

        return Math.Sqrt(squares / Directions);
    }

    private static double AtElements(Func<double[][], double[]> f, double[][] values, int i, double[] cotangent,
        double[] gradient, Random random)
    {
        int count = Math.Min(Samples, gradient.Length);
        double squares = 0;
        for (int k = 0; k < count; k++)
        {
            int j = count == gradient.Length ? k : random.Next(gradient.Length);
            double at = values[i][j];
            double slope = Slope(f, values, i, cotangent, Step, (x, s) => x[j] = at + s);
            squares += (slope - gradient[j]) * (slope - gradient[j]);
        }

        return Math.Sqrt(squares * gradient.Length / count);
    }

    private static double Slope(Func<double[][], double[]> f, double[][] values, int i, double[] cotangent, double step,
        Action<double[], double> move)
    {
        double[][] moved = [.. values];
        moved[i] = [.. values[i]];
        move(moved[i], step);
        double[] above = f(moved);
        move(moved[i], -step);
        double[] below = f(moved);
        double sum = 0;
        for (int j = 0; j < cotangent.Length; j++)
            sum += cotangent[j] * (above[j] - below[j]);
        return sum / (2 * step);
    }

    private static double Norm(double[] x) => Math.Sqrt(x.Sum(v => v * v));
}
