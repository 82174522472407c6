using Mdm.Kernels;
using Mdm.Tensors.Modules;

namespace Mdm.Tensors;

/// <summary>
/// Reverse-mode differentiation: operations that are computed while a tape is current write down how to go back, and
/// <see cref="Backward"/> goes back, newest first, freeing what was saved as it passes.
/// </summary>
public sealed class Tape : IDisposable
{
    [ThreadStatic]
    private static Tape? t_current;

    private readonly List<Node> _nodes = [];
    private readonly Tape? _outer;
    private bool _ended;

    private Tape()
    {
        _outer = t_current;
        t_current = this;
    }

    private sealed record Node(GradientSlot Output, Tensor[] Saved, Action<Gradients> Backward, Module? Module);

    /// <summary>Starts recording on this thread until the tape is disposed.</summary>
    public static Tape Start() => new();

    /// <summary>Whether operations on tensors that require gradients are being recorded.</summary>
    public static bool IsRecording => t_current != null;

    /// <summary>Writes an operation down, if a tape is current and an input requires a gradient.</summary>
    /// <param name="output">The result; it then requires a gradient too.</param>
    /// <param name="inputs">Tensors that may receive gradients.</param>
    /// <param name="saved">Tensors that <paramref name="backward"/> reads: kept alive until it has run.</param>
    /// <param name="backward">Computes contributions to the inputs' gradients.</param>
    public static Tensor Record(Tensor output, ReadOnlySpan<Tensor?> inputs, ReadOnlySpan<Tensor?> saved,
        Action<Gradients> backward)
    {
        if (t_current is not { } tape)
            return output;
        bool wanted = false;
        foreach (Tensor? input in inputs)
            wanted |= input?.Slot != null;
        return wanted ? tape.Add(output, saved, backward) : output;
    }

    private Tensor Add(Tensor output, ReadOnlySpan<Tensor?> saved, Action<Gradients> backward)
    {
        var kept = new List<Tensor>(saved.Length);
        foreach (Tensor? tensor in saved)
        {
            if (tensor == null)
                continue;
            tensor.Hold();
            kept.Add(tensor);
        }

        output.Slot = new GradientSlot(output.Device, output.Count, output.Type);
        _nodes.Add(new Node(output.Slot, [.. kept], backward, Module.Running));
        return output;
    }

    /// <summary>Propagates from <paramref name="output"/> (whose own gradient is <paramref name="seed"/>, by default ones) to
    /// every leaf and parameter, and empties the tape.</summary>
    public void Backward(Tensor output, Tensor? seed = null)
    {
        if (output.Slot == null)
            throw new InvalidOperationException("nothing that leads to this result requires a gradient");
        output.Slot.Seed(seed);
        Tape? recording = t_current;
        t_current = null;
        Module? running = Module.Running;
        try
        {
            for (int i = _nodes.Count - 1; i >= 0; i--)
            {
                Node node = _nodes[i];
                _nodes.RemoveAt(i);
                try
                {
                    using Scope scope = Scope.Enter();
                    Module.Enter(node.Module);
                    if (node.Output.HasGradient)
                        node.Backward(new Gradients(node.Output));
                }
                finally
                {
                    Free(node);
                }
            }
        }
        finally
        {
            t_current = recording;
            Module.Enter(running);
        }
    }

    /// <summary>Computes without recording.</summary>
    public static T Paused<T>(Func<T> compute)
    {
        Tape? recording = t_current;
        t_current = null;
        try
        {
            return compute();
        }
        finally
        {
            t_current = recording;
        }
    }

    /// <summary>
    /// Gradient checkpointing: computes y = f(inputs) without saving anything but the inputs, and computes it again in the
    /// backward pass. f must be a function of its inputs and of parameters; dropout inside it draws the same numbers again.
    /// </summary>
    public static Tensor Checkpoint(Func<Tensor[], Tensor> f, params Tensor[] inputs)
    {
        if (t_current is not { } tape)
            return f(inputs);
        long position = RandomStream.Current?.Position ?? 0;
        Tensor y = Paused(() => Scoped(f, inputs));
        if (Array.IndexOf(inputs, y) >= 0)
            return y; // f passed an input on; its gradient needs no help
        return tape.Add(y, inputs, gradients =>
        {
            long now = RandomStream.Current?.Rewind(position) ?? 0;
            Tensor[] leaves = Array.ConvertAll(inputs, x => x.RequiresGradient ? x.AsLeaf() : x);
            try
            {
                using (Tape inner = Start())
                {
                    Tensor again = f(leaves);
                    if (again.RequiresGradient)
                        inner.Backward(again, gradients.ToTensor(again.Shape));
                }

                for (int i = 0; i < inputs.Length; i++)
                    if (leaves[i] != inputs[i] && leaves[i].Slot is { HasGradient: true } slot)
                        gradients.Pass(slot, inputs[i]);
            }
            finally
            {
                RandomStream.Current?.Rewind(now);
                for (int i = 0; i < inputs.Length; i++)
                    if (leaves[i] != inputs[i])
                        leaves[i].FreeGradient();
            }
        });
    }

    private static Tensor Scoped(Func<Tensor[], Tensor> f, Tensor[] inputs)
    {
        using Scope scope = Scope.Enter();
        return scope.Return(f(inputs));
    }

    public void Dispose()
    {
        if (_ended)
            return;
        _ended = true;
        foreach (Node node in _nodes)
            Free(node);
        _nodes.Clear();
        t_current = _outer;
    }

    private static void Free(Node node)
    {
        if (!node.Output.IsLeaf)
            node.Output.Free();
        foreach (Tensor tensor in node.Saved)
            tensor.LetGo();
    }
}

/// <summary>What an operation's backward pass sees: the gradient of its result, and where those of its inputs go.</summary>
public readonly struct Gradients
{
    private readonly GradientSlot _output;

    internal Gradients(GradientSlot output) => _output = output;

    /// <summary>The gradient of the result (dy), shaped like it.</summary>
    public Ptr Ptr => _output.Ptr;

    /// <summary>Where the input's contribution goes; none if it wants no gradient. Ask once per contribution, just before
    /// computing it.</summary>
    public Target Target(Tensor? input) => input?.Slot?.NextTarget() ?? Mdm.Kernels.Target.None;

    /// <summary>Hands the result's gradient on, unchanged.</summary>
    public void Pass(Tensor? input) => input?.Slot?.Pass(_output);

    /// <summary>The gradient of the result as a tensor.</summary>
    public Tensor ToTensor(Shape shape) => _output.ToTensor(shape)!;

    internal void Pass(GradientSlot from, Tensor input) => input.Slot!.Pass(from);
}
