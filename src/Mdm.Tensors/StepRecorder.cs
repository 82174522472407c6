using Mdm.Kernels;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors;

/// <summary>
/// Computes the same function of tensors again and again, and where the device can capture, records its work and replays it:
/// then one call of the driver queues the thousands of kernels of a training step or a sampling step. A function is recorded
/// when it has run a few times with inputs of the same shapes. It must be a function of its inputs, and of memory that stays
/// where it is, by device work alone: it reads nothing back, uploads nothing, and draws no random numbers.
/// </summary>
/// <param name="device">Where it computes.</param>
/// <param name="enabled">Whether to record at all.</param>
public sealed class StepRecorder(IDevice device, bool enabled = true) : IDisposable
{
    /// <summary>The first runs compile kernels and choose between them.</summary>
    private const int RunsBefore = 2;

    /// <summary>Every recording keeps the memory of its intermediate results, so shapes beyond these are computed anew.</summary>
    private const int MostRecordings = 4;

    private readonly Dictionary<string, int> _runs = [];
    private readonly Dictionary<string, Recording> _recordings = [];
    private bool _records = enabled && device.CanCapture;

    /// <summary>Functions recorded so far.</summary>
    public int Recordings => _recordings.Count;

    /// <summary>Computes the function. The current scope owns the results; a replay of the same function replaces what they
    /// hold.</summary>
    /// <param name="name">Names the function and all that it depends on beside its inputs.</param>
    /// <param name="inputs">What it is computed from.</param>
    /// <param name="compute">The function of the inputs and then the constants; always the same for one name and tensors of the
    /// same shapes.</param>
    /// <param name="constants">More inputs, which nobody writes to any more: a replay reads its copy of them again while they are
    /// the same tensors as in the replay before.</param>
    public IReadOnlyList<Tensor> Run(string name, IReadOnlyList<Tensor> inputs,
        Func<IReadOnlyList<Tensor>, IReadOnlyList<Tensor>> compute, IReadOnlyList<Tensor>? constants = null)
    {
        constants ??= [];
        IReadOnlyList<Tensor> all = [.. inputs, .. constants];
        if (!_records)
            return compute(all);
        string key = $"{name} {string.Join(' ', all.Select(x => $"{x.Type}{x.Shape}"))}";
        if (!_recordings.TryGetValue(key, out Recording? recording))
        {
            int runs = _runs[key] = _runs.GetValueOrDefault(key) + 1;
            if (runs <= RunsBefore || _recordings.Count >= MostRecordings || (recording = Record(all, compute)) == null)
                return compute(all);
            _recordings.Add(key, recording);
        }

        return recording.Replay(inputs, constants);
    }

    private Recording? Record(IReadOnlyList<Tensor> inputs, Func<IReadOnlyList<Tensor>, IReadOnlyList<Tensor>> compute)
    {
        try
        {
            return new Recording(device, inputs, compute);
        }
        catch (OutOfMemoryException)
        {
            // Two sets of intermediate results do not fit: without recordings there is one.
            Dispose();
            _records = false;
            return null;
        }
    }

    public void Dispose()
    {
        foreach (Recording recording in _recordings.Values)
            recording.Dispose();
        _recordings.Clear();
        _runs.Clear();
    }

    private sealed class Recording : IDisposable
    {
        private readonly Tensor[] _inputs;
        private readonly ICapturedWork _work;
        private Tensor[] _results = [];
        private IReadOnlyList<Tensor> _copied = [];

        public Recording(
            IDevice device, IReadOnlyList<Tensor> inputs, Func<IReadOnlyList<Tensor>, IReadOnlyList<Tensor>> compute)
        {
            _inputs = [.. inputs.Select(x => Scope.Detach(Tensor.Like(x)))];
            try
            {
                _work = device.Capture(() =>
                {
                    using Scope scope = Scope.Enter();
                    _results = [.. compute(_inputs).Select(Scope.Detach)];
                });
            }
            catch
            {
                Free();
                throw;
            }
        }

        public IReadOnlyList<Tensor> Replay(IReadOnlyList<Tensor> inputs, IReadOnlyList<Tensor> constants)
        {
            for (int i = 0; i < inputs.Count; i++)
                Op.CopyTo(inputs[i], _inputs[i].Ptr);
            // The objects are compared, not their memory, which others may have got since.
            if (!constants.SequenceEqual(_copied, ReferenceEqualityComparer.Instance))
            {
                for (int i = 0; i < constants.Count; i++)
                    Op.CopyTo(constants[i], _inputs[inputs.Count + i].Ptr);
                _copied = constants;
            }

            _work.Replay();
            // Views, which the caller's scope may let go of.
            return [.. _results.Select(x => x.WithoutGradient())];
        }

        public void Dispose()
        {
            _work.Dispose();
            Free();
        }

        private void Free()
        {
            foreach (Tensor tensor in _inputs.Concat(_results))
                tensor.Dispose();
        }
    }
}
