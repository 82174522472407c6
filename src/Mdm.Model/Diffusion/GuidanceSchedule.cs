using System.Globalization;
using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Diffusion;

/// <summary>How the weight w of guidance changes over the steps of a sampler. A weight of 1 is none: such a step computes no
/// unconditional half.</summary>
public sealed record GuidanceSchedule
{
    private const string ConstantName = "constant", LinearName = "linear", IntervalName = "interval";

    private readonly string _kind;
    private readonly double _low, _high;

    private GuidanceSchedule(string kind, double low = 0, double high = 1) => (_kind, _low, _high) = (kind, low, high);

    /// <summary>The same weight in all steps.</summary>
    public static GuidanceSchedule Constant { get; } = new(ConstantName);

    /// <summary>For help and messages.</summary>
    public const string Names = "constant, linear or interval:LOW-HIGH";

    /// <summary>
    /// <c>constant</c>; <c>linear</c>: rises evenly from 1 before the first step to w in the last; <c>interval:LOW-HIGH</c>
    /// (arXiv 2404.07724): w in the steps whose middle lies in that part of the path, 0 the noise and 1 the picture, none before and
    /// after.
    /// </summary>
    /// <exception cref="MdmException">None of these.</exception>
    public static GuidanceSchedule Parse(string text)
    {
        string kind = text.Split(':')[0].ToLowerInvariant();
        if (kind == text.ToLowerInvariant() && kind is ConstantName or LinearName)
            return new GuidanceSchedule(kind);
        if (kind != IntervalName)
            throw Expected(text, NearestName.Hint(kind, [ConstantName, LinearName, IntervalName]));
        string[] ends = text[Math.Min(text.Length, kind.Length + 1)..].Split('-');
        return ends.Length == 2 && Number(ends[0]) is { } low && Number(ends[1]) is { } high && low >= 0 && low < high && high <= 1
            ? new GuidanceSchedule(kind, low, high)
            : throw Expected(text, "; 0 is the noise, 1 the picture, and LOW is below HIGH, as in interval:0.2-0.8");
    }

    /// <summary>The weight in step i of n, counted from 0, where w is what was asked for.</summary>
    public double Weight(double w, int i, int n) => _kind switch
    {
        LinearName => 1 + (w - 1) * (i + 1) / n,
        IntervalName => (i + 0.5) / n is var middle && middle >= _low && middle <= _high ? w : 1,
        _ => w,
    };

    /// <summary>As <see cref="Parse"/> reads it.</summary>
    public override string ToString() => _kind != IntervalName
        ? _kind
        : string.Create(CultureInfo.InvariantCulture, $"{IntervalName}:{_low:R}-{_high:R}");

    private static double? Number(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) ? value : null;

    private static MdmException Expected(string text, string more) =>
        new($"--guidance-schedule: found '{text}', expected {Names}{more}");
}
