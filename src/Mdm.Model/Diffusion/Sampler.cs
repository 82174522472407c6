using Mdm.Kernels;
using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Diffusion;

/// <summary>
/// Draws pictures from noise, with guidance, by one of several samplers. All resolutions of a nested network step together, each
/// by its own signal power. Within a step nothing is read back from the device; where the device can, an evaluation of the
/// network and the update behind it are recorded once for all times and replayed.
/// </summary>
/// <param name="network">On a device.</param>
/// <param name="process">Its noise.</param>
/// <param name="record">Whether to record.</param>
public sealed class Sampler(DenoisingNetwork network, DiffusionProcess process, bool record = true) : IDisposable
{
    private const int Channels = 3;

    private readonly StepRecorder _recorder = new(network.Store.Device, record);
    private int _running;

    /// <summary>The pictures [B,H,W,3] of the highest resolution, in [-1,1].</summary>
    /// <param name="request">What is wanted.</param>
    /// <param name="noise">Draws the first noise of every resolution, highest first, then for every step that adds any.</param>
    /// <param name="watch">Sees every step.</param>
    /// <param name="cancellation">Ends before the next step.</param>
    public Tensor Sample(SamplingRequest request, INoiseSource noise, Action<SamplingState>? watch = null,
        CancellationToken cancellation = default)
    {
        foreach (SamplingState state in Steps(request, noise, cancellation))
        {
            watch?.Invoke(state);
            if (state.IsLast)
                return state.Picture();
        }

        throw new InvalidOperationException("a sampler took no step");
    }

    /// <summary>The same step by step, each computed when it is asked for.</summary>
    /// <exception cref="MdmException">The request does not fit the network.</exception>
    /// <exception cref="OperationCanceledException">Cancelled between two steps.</exception>
    public IEnumerable<SamplingState> Steps(SamplingRequest request, INoiseSource noise, CancellationToken cancellation = default)
    {
        request.RequireFit(network.TextWidth);
        Shape[] shapes = process.LevelShapes(request.Batch, request.Height, request.Width, Channels);
        request.RequireStart(shapes[0]);
        int[] times = TimeSteps.Create(process.Schedule.Steps, request.Steps ?? process.Schedule.Steps);
        return Run(TimeSteps.Last(times, request.Start?.Strength ?? 1), times.Length - 1);

        // Tensors that outlive a step belong to no scope: the caller's scopes may begin and end between two steps.
        IEnumerable<SamplingState> Run(int[] visited, int allSteps)
        {
            // A replay replaces what the last one has computed, so only one run at a time may have recordings.
            bool alone = Interlocked.Exchange(ref _running, 1) == 0;
            using StepRecorder? own = alone ? null : new StepRecorder(network.Store.Device, enabled: false);
            using var evaluation = new SamplerEvaluation(network, process, own ?? _recorder, request);
            var solver = new SamplerSteps(evaluation, process, request, noise);
            double[] scales = process.Levels.Select(level => level.ImageScale).ToArray();
            Tensor[] noisy = Array.ConvertAll(shapes, shape => Scope.Detach(noise.Draw(network.Store.Device, shape)));
            Tensor[] denoised = [];
            KnownPictures? known = null;
            try
            {
                if (request.Start is { } start)
                {
                    known = new KnownPictures(start, process, network.Config, noisy);
                    Free(noisy);
                    noisy = known.At(visited[0]);
                }

                int steps = visited.Length - 1;
                for (int i = 0; i < steps; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    (int t, int s) = (visited[i], visited[i + 1]);
                    // A run that starts from a picture has the last of all steps, with their guidance.
                    double guidance = request.GuidanceSchedule.Weight(request.Guidance, allSteps - steps + i, allSteps);
                    (Tensor[] images, Tensor[] next) = Tape.Paused(() =>
                        solver.Advance(noisy, denoised, i == 0 ? null : visited[i - 1], t, s, guidance));
                    Free(noisy);
                    Free(denoised);
                    (denoised, noisy) = (images, known?.Keep(next, s) ?? next);
                    double[] logSnr = process.Levels.Select(level => level.Schedule.LogSnr(s)).ToArray();
                    yield return new SamplingState(i + 1, steps, t, s, denoised, noisy, logSnr, scales);
                }
            }
            finally
            {
                known?.Dispose();
                Free(noisy);
                Free(denoised);
                if (alone)
                    Volatile.Write(ref _running, 0);
            }
        }
    }

    /// <summary>Frees the memory of recordings; what is drawn next is recorded anew.</summary>
    public void Forget() => _recorder.Dispose();

    public void Dispose() => _recorder.Dispose();

    private static void Free(Tensor[] tensors) => Array.ForEach(tensors, tensor => tensor.Dispose());
}
