using System.Runtime.CompilerServices;
using Mdm.Kernels.Cpu;
using Mdm.Tests;

namespace Mdm.Kernels.Tests;

/// <summary>Runs every test of a fixture once per instruction set that this machine has.</summary>
[TestFixtureSource(nameof(Levels))]
internal abstract class LevelFixture(CpuLevel level)
{
    private CpuLevel before;

    public static IEnumerable<CpuLevel> Levels => Enum.GetValues<CpuLevel>().Where(l => l <= CpuFeatures.Best);

    protected static IKernels Kernels { get; } = new CpuKernels();

    [SetUp]
    public void LowerLevel()
    {
        before = CpuFeatures.Level;
        CpuFeatures.Level = level;
    }

    [TearDown]
    public void RestoreLevel()
    {
        CpuFeatures.Level = before;
        Arrays.Release();
    }
}

/// <summary>Arrays that kernels can see, and comparisons against float64.</summary>
internal static unsafe class Arrays
{
    // Kernels see addresses only, which do not keep an array alive.
    private static readonly List<Array> Kept = [];

    /// <summary>Memory that stays where it is until the test ends.</summary>
    public static T[] New<T>(long n)
        where T : unmanaged
    {
        T[] array = GC.AllocateArray<T>((int)n, pinned: true);
        Kept.Add(array);
        return array;
    }

    public static void Release() => Kept.Clear();

    public static float[] Zeros(long n) => New<float>(n);

    public static float[] Filled(long n, float value)
    {
        float[] a = Zeros(n);
        Array.Fill(a, value);
        return a;
    }

    /// <summary>About normal, the same every time for a seed.</summary>
    public static float[] Random(long n, int seed, double scale = 1, double shift = 0)
    {
        System.Random random = new(seed);
        float[] a = Zeros(n);
        for (int i = 0; i < a.Length; i++)
        {
            double u = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            a[i] = (float)(shift + scale * u * Math.Cos(2 * Math.PI * random.NextDouble()));
        }

        return a;
    }

    public static float[] Copy(float[] a)
    {
        float[] b = Zeros(a.Length);
        a.CopyTo(b, 0);
        return b;
    }

    public static double[] Wide(float[] a) => Array.ConvertAll(a, v => (double)v);

    public static Ptr Ptr<T>(T[]? a, DType type = DType.Float32)
        where T : unmanaged =>
        a == null ? Kernels.Ptr.None : new((nint)Unsafe.AsPointer(ref a[0]), type);

    public static Target Into(float[]? a) => a == null ? Target.None : new(Ptr(a), false);

    public static Target AddTo(float[] a) => new(Ptr(a), true);

    public static double Error(float[] found, double[] expected) => RelativeError.Of(Wide(found), expected);

    public static void Near(float[] found, double[] expected, double tolerance, string what = "") =>
        Assert.That(Error(found, expected), Is.LessThanOrEqualTo(tolerance), what);

    /// <summary>Central differences of a function of one array, at every element or at every k-th.</summary>
    public static double Slope(Func<double[], double> f, double[] x, int i, double step = 1e-5)
    {
        double at = x[i];
        x[i] = at + step;
        double up = f(x);
        x[i] = at - step;
        double down = f(x);
        x[i] = at;
        return (up - down) / (2 * step);
    }
}
