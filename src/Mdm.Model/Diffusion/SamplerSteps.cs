using Mdm.Tensors;

namespace Mdm.Model.Diffusion;

/// <summary>The steps of a run of one sampler: which evaluations of the network each takes, and how they are weighted.</summary>
internal sealed class SamplerSteps(
    SamplerEvaluation evaluation, DiffusionProcess process, SamplingRequest request, INoiseSource noise)
{
    private readonly SamplerKind _kind = SamplerKinds.Resolve(request.Sampler, request.Eta);

    /// <summary>From time t to s.</summary>
    /// <param name="noisy">x_t of all resolutions.</param>
    /// <param name="before">The pictures predicted in the step before; empty in the first.</param>
    /// <param name="timeBefore">Where that step began; null in the first.</param>
    /// <param name="t">Where this step begins.</param>
    /// <param name="s">Where it ends.</param>
    /// <param name="guidance">Its weight.</param>
    /// <returns>The predicted pictures and x_s; the caller owns them.</returns>
    public (Tensor[] Denoised, Tensor[] Noisy) Advance(
        Tensor[] noisy, Tensor[] before, int? timeBefore, int t, int s, double guidance)
    {
        using Scope scope = Scope.Enter();
        return _kind switch
        {
            SamplerKind.DpmSolver => Multistep(noisy, before, timeBefore, t, s, guidance),
            SamplerKind.Heun => Heun(noisy, t, s, guidance),
            _ => Single(noisy, t, s, guidance),
        };
    }

    // Ancestral sampling and DDIM.
    private (Tensor[] Denoised, Tensor[] Noisy) Single(Tensor[] noisy, int t, int s, double guidance)
    {
        double? eta = _kind == SamplerKind.Ddpm ? null : request.Eta ?? 0;
        SamplerUpdate[] updates = Updates(level => SamplerUpdate.Of(level[t], level[s], eta));
        Tensor?[] fresh = [.. updates.Select((update, k) =>
            s > 0 && update.Noise > 0 ? noise.Draw(noisy[k].Device, noisy[k].Shape) : null)];
        return evaluation.Run("step", t, guidance, updates, new StepInputs(noisy, fresh));
    }

    // The first step has no picture before it; x_t stands in its place, with weight 0, so that all steps are alike.
    private (Tensor[] Denoised, Tensor[] Noisy) Multistep(
        Tensor[] noisy, Tensor[] before, int? timeBefore, int t, int s, double guidance) =>
        evaluation.Run("multistep", t, guidance,
            Updates(level => SamplerUpdate.Multistep(timeBefore is { } p ? level[p] : null, level[t], level[s])),
            new StepInputs(noisy, Other: timeBefore == null ? noisy : before));

    // The halves are recorded apart: what the first one reads is the result of the second one before it.
    private (Tensor[] Denoised, Tensor[] Noisy) Heun(Tensor[] noisy, int t, int s, double guidance)
    {
        (Tensor[] denoised, Tensor[] next) = evaluation.Run("predictor", t, guidance,
            Updates(level => SamplerUpdate.Of(level[t], level[s], eta: 0)), new StepInputs(noisy));
        if (s == 0)
            return (denoised, next);
        (Tensor[] corrected, Tensor[] result) = evaluation.Run("corrector", s, guidance,
            Updates(level => SamplerUpdate.HeunCorrection(level[t], level[s])), new StepInputs(next, Other: denoised, Base: noisy));
        foreach (Tensor tensor in denoised.Concat(next))
            tensor.Dispose();
        return (corrected, result);
    }

    private SamplerUpdate[] Updates(Func<NoiseSchedule, SamplerUpdate> ofLevel) =>
        [.. process.Levels.Select(level => ofLevel(level.Schedule))];
}
