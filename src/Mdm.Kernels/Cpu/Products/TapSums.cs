namespace Mdm.Kernels.Cpu.Products;

/// <summary>Gradients per tap: element (o, tap, i) is at Data[o·StepO + tap·StepTap + i·StepI].</summary>
internal readonly unsafe struct TapGradient(float* data, nint stepTap, nint stepO, nint stepI)
{
    public readonly float* Data = data;
    public readonly nint StepTap = stepTap;
    public readonly nint StepO = stepO;
    public readonly nint StepI = stepI;
}

/// <summary>From gradients per tap to gradients per weight: a weight gets the sum over the taps it belongs to.</summary>
internal static unsafe class TapSums
{
    /// <summary>dw [O,3,3,I] = (dw +) Σ of the taps that hold the position. The plan is a forward one.</summary>
    public static void Add(ConvPlan plan, in TapGradient gradient, float* dw, bool accumulate)
    {
        var job = new Job { Gradient = gradient, Dw = dw, Inner = plan.InC, Accumulate = accumulate };
        for (int position = 0; position < 9; position++)
            for (int t = 0; t < plan.Taps.Length; t++)
                job.Masks[position] |= plan.Taps[t].Has(position) ? 1 << t : 0;
        CpuThreads.For(plan.OutC, Math.Max(1, 2048 / (9 * plan.InC)), &Channels, &job);
    }

    private static void Channels(void* context, int start, int end, int worker)
    {
        var job = (Job*)context;
        TapGradient g = job->Gradient;
        for (int o = start; o < end; o++)
        {
            for (int position = 0; position < 9; position++)
            {
                float* to = job->Dw + ((long)o * 9 + position) * job->Inner;
                if (!job->Accumulate)
                    new Span<float>(to, job->Inner).Clear();
                for (int mask = job->Masks[position], t = 0; mask != 0; mask >>= 1, t++)
                {
                    if ((mask & 1) == 0)
                        continue;
                    float* from = g.Data + o * g.StepO + t * g.StepTap;
                    for (int i = 0; i < job->Inner; i++)
                        to[i] += from[i * g.StepI];
                }
            }
        }
    }

    private struct Job
    {
        public TapGradient Gradient;
        public float* Dw;
        public int Inner;
        public bool Accumulate;
        public fixed int Masks[9];
    }
}
