using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>
/// The gradient of the weights of a stride-1 convolution by <see cref="Winograd"/>'s transforms. Patches of x and of dy are
/// transformed, some hundred at a time, and each of the 36 terms is a matrix product, result channels by patches times
/// patches by input channels, that adds to its own sum; threads share the terms. At the end the sums are transformed to
/// weights.
/// </summary>
internal sealed unsafe class ConvWinogradWeight
{
    /// <summary>Patches transformed at a time: as many as leave both operands near the second-level cache, but long enough
    /// sums.</summary>
    private const int MaxPatches = 504, MinPatches = 96, ChunkFloats = 768 * 1024;

    [ThreadStatic]
    private static ConvWinogradWeight? mine;

    private ConvPlan plan = null!;
    private PatchGrid x;
    private PatchGrid dy;
    private float* images;
    private float* gradients;
    private float* sums;
    private float* dw;
    private bool accumulate;
    private int chunk;
    private int first;
    private int count;

    public static void Run(ConvPlan plan, float* x, float* dy, float* dw, bool accumulate)
    {
        ConvWinogradWeight g = mine ??= new ConvWinogradWeight();
        g.plan = plan;
        g.dw = dw;
        g.accumulate = accumulate;
        float* zeros = Scratch.Get(ScratchUse.Zeros, Math.Max(plan.InC, plan.OutC));
        g.x = new PatchGrid(x, plan.InH, plan.InW, plan.InC, -1, Winograd.Patch, zeros);
        g.dy = new PatchGrid(dy, plan.OutH, plan.OutW, plan.OutC, 0, Winograd.Result, zeros);
        int patches = PatchGrid.Count(plan.Batch, plan.OutH, plan.OutW);
        g.chunk = Math.Clamp(ChunkFloats / (Winograd.Terms * (plan.InC + plan.OutC)), MinPatches, MaxPatches);
        g.chunk = Math.Min(g.chunk, patches);
        g.images = Scratch.Get(ScratchUse.Transformed, Winograd.Terms * g.ImageStep);
        g.gradients = Scratch.Get(ScratchUse.TransformedGradient, Winograd.Terms * g.GradientStep);
        g.sums = Scratch.Get(ScratchUse.Partial, Winograd.Terms * g.SumStep);
        for (g.first = 0; g.first < patches; g.first += g.chunk)
        {
            g.count = Math.Min(g.chunk, patches - g.first);
            CpuThreads.For(g.count, 4, &TransformPatches, Unsafe.AsPointer(ref g));
            CpuThreads.For(Winograd.Terms, 1, &AddTerms, Unsafe.AsPointer(ref g));
        }

        CpuThreads.For(plan.OutC, 1, &TransformSums, Unsafe.AsPointer(ref g));
    }

    // Terms are a line more than their size apart, so that they do not share cache sets.
    private nint ImageStep => (nint)chunk * plan.InC + 16;

    private nint GradientStep => (nint)chunk * plan.OutC + 16;

    private nint SumStep => (nint)plan.OutC * plan.InC + 16;

    private static void TransformPatches(void* context, int start, int end, int worker)
    {
        ConvWinogradWeight g = Unsafe.AsRef<ConvWinogradWeight>(context);
        WinogradSet set = TileSet.Current.Winograd;
        ConvPlan plan = g.plan;
        float** places = stackalloc float*[Winograd.Terms];
        for (int t = start; t < end; t++)
        {
            g.x.Point(g.first + t, plan.OutH, plan.OutW, places);
            set.Input(places, plan.InC, g.images + (nint)t * plan.InC, g.ImageStep);
            g.dy.Point(g.first + t, plan.OutH, plan.OutW, places);
            set.Gradient(places, plan.OutC, g.gradients + (nint)t * plan.OutC, g.GradientStep);
        }
    }

    private static void AddTerms(void* context, int start, int end, int worker)
    {
        ConvWinogradWeight g = Unsafe.AsRef<ConvWinogradWeight>(context);
        for (int f = start; f < end; f++)
        {
            var product = new Product
            {
                Shape = MatMulShape.Contiguous(g.plan.OutC, g.plan.InC, g.count, transposeA: true),
                A = g.gradients + f * g.GradientStep,
                B = g.images + f * g.ImageStep,
                C = g.sums + f * g.SumStep,
                Accumulate = g.first > 0,
            };
            Product.Run(ref product);
        }
    }

    private static void TransformSums(void* context, int start, int end, int worker)
    {
        ConvWinogradWeight g = Unsafe.AsRef<ConvWinogradWeight>(context);
        int inner = g.plan.InC;
        for (int o = start; o < end; o++)
        {
            float* to = g.dw + (nint)o * 9 * inner;
            TileSet.Current.Winograd.WeightGradient(g.sums + (nint)o * inner, g.SumStep, inner, to, inner, g.accumulate);
        }
    }
}
