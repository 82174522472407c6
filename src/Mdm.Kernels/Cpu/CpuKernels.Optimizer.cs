using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void SquaredNorm(long n, Ptr gradients, Ptr state)
    {
        int pieces = (int)((n + SumChunk - 1) / SumChunk);
        double* sums = Scratch.ForCall<double>(Math.Max(1, pieces));
        SimdLoops.For(pieces, 1, new SquaredNormLoop(n, gradients.F32, sums));
        double sum = 0;
        for (int i = 0; i < pieces; i++)
            sum += sums[i];
        ((double*)state.Address)[OptimizerState.SquaredNorm] = sum;
    }

    public void AdamStep(long n, in AdamOptions options, Ptr parameters, Ptr gradients, Ptr m, Ptr v, Ptr ema, Ptr copy, Ptr state)
    {
        double* s = (double*)state.Address;
        double norm = Math.Sqrt(s[OptimizerState.SquaredNorm]);
        if (!double.IsFinite(norm))
        {
            s[OptimizerState.Skipped]++;
            return;
        }

        double step = ++s[OptimizerState.Step], rate = s[OptimizerState.LearningRate], decay = s[OptimizerState.EmaDecay];
        double beta1 = AsWritten(options.Beta1), beta2 = AsWritten(options.Beta2);
        double clip = options.Clip == 0 ? 1 : Math.Min(1, options.Clip / (options.GradScale * norm + 1e-6));
        SimdLoops.Elements(n, new AdamLoop(parameters.F32, gradients.F32, m.F32, v.F32, ema.F32)
        {
            GradientFactor = (float)(options.GradScale * clip),
            Beta1 = (float)beta1,
            Rest1 = (float)(1 - beta1),
            Beta2 = (float)beta2,
            Rest2 = (float)(1 - beta2),
            Keep = options.Decoupled ? (float)(1 - rate * options.WeightDecay) : 1,
            Rate = (float)(rate / (1 - Math.Pow(beta1, step))),
            Correction2 = (float)(1 / (1 - Math.Pow(beta2, step))),
            Epsilon = options.Epsilon,
            EmaKeep = (float)decay,
            EmaRest = (float)(1 - decay),
        });
        if (!copy.IsNone)
            Cast(n, parameters, copy);
    }

    /// <summary>0.999f as 0.999 (the conversion to decimal keeps 7 digits): 1 - 0.999f would be 1.3e-5 off 0.001.</summary>
    private static double AsWritten(float value) => (double)(decimal)value;

    private readonly struct SquaredNormLoop(long n, float* x, double* sums) : IParallelLoop
    {
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int i = start; i < end; i++)
            {
                long first = (long)i * SumChunk;
                sums[i] = V.SumOfSquares(x + first, (int)Math.Min(SumChunk, n - first));
            }
        }
    }

    private struct AdamLoop(float* p, float* g, float* m, float* v, float* ema) : IElementLoop
    {
        public float GradientFactor, Beta1, Rest1, Beta2, Rest2, Keep, Rate, Correction2, Epsilon, EmaKeep, EmaRest;

        [MethodImpl(Inline)]
        public readonly void Step<V>(long i)
            where V : unmanaged, ISimd<V>
        {
            V grad = V.Load(g + i) * V.Set(GradientFactor);
            V first = V.Fma(V.Set(Beta1), V.Load(m + i), V.Set(Rest1) * grad);
            V second = V.Fma(V.Set(Beta2), V.Load(v + i), V.Set(Rest2) * grad * grad);
            V denominator = V.Sqrt(second * V.Set(Correction2)) + V.Set(Epsilon);
            V next = V.NegatedFma(V.Set(Rate), first / denominator, V.Load(p + i) * V.Set(Keep));
            V.Store(m + i, first);
            V.Store(v + i, second);
            V.Store(p + i, next);
            if (ema != null)
                V.Store(ema + i, V.Fma(V.Set(EmaKeep), V.Load(ema + i), V.Set(EmaRest) * next));
        }
    }
}
