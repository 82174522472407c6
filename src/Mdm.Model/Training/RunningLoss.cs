namespace Mdm.Model.Training;

/// <summary>A mean and spread of the loss that follow it slowly: each new value counts 1/100, and is first pulled to within 3
/// spreads of the mean (by 3s·tanh(d/3s) for a distance d), so that single outliers hardly move them.</summary>
/// <param name="Average">The mean.</param>
/// <param name="Variance">The spread, squared. It starts at the square of the first value.</param>
/// <param name="Best">The least mean so far.</param>
/// <param name="Last">The last value.</param>
public sealed record RunningLoss(double Average, double Variance, double Best, double Last)
{
    private const double Weight = 0.01, Reach = 3;

    /// <summary>Before the first value.</summary>
    public static RunningLoss None { get; } = new(double.NaN, double.NaN, double.PositiveInfinity, double.NaN);

    /// <summary>The square root of the variance.</summary>
    public double Spread => Math.Sqrt(Variance);

    /// <summary>With one more value, which must be finite.</summary>
    public RunningLoss With(double loss)
    {
        if (double.IsNaN(Average))
            return new RunningLoss(loss, loss * loss, loss, loss);
        double reach = Reach * Spread, distance = loss - Average;
        double pulled = reach > 0 ? reach * Math.Tanh(distance / reach) : distance;
        double average = Average + Weight * pulled;
        return new RunningLoss(average, (1 - Weight) * Variance + Weight * pulled * pulled, Math.Min(Best, average), loss);
    }
}
