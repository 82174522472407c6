using System.Numerics;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Modules;

/// <summary>
/// All parameters of a network. They are declared while it is built and then lie in one flat arena each for values and
/// gradients (trainable ones first, frozen ones behind), so that clipping, Adam and EMA are a single pass.
/// </summary>
public sealed class ParameterStore : IDisposable
{
    // Each parameter begins at a multiple of 64 bytes; the padding stays zero.
    private const int Alignment = 16;

    private readonly List<Parameter> _parameters = [];
    private readonly Dictionary<string, Parameter> _byName = [];
    private Tensor? _values;
    private Tensor? _gradients;

    /// <summary>In the order of declaration, which is that of checkpoints.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    public IReadOnlyDictionary<string, Parameter> ByName => _byName;

    /// <summary>The number of numbers in all parameters.</summary>
    public long ParameterCount => _parameters.Sum(p => p.Shape.Count);

    /// <summary>Whether <see cref="Place"/> has given the parameters memory.</summary>
    public bool IsPlaced => _values != null;

    public IDevice Device => Values.Device;

    /// <summary>All values, flat, with padding.</summary>
    public Tensor Values => _values ?? throw new InvalidOperationException("the parameters were not put on a device");

    /// <summary>The gradients of the trainable part of <see cref="Values"/>, flat; null if placed for inference.</summary>
    public Tensor? Gradients => _gradients;

    /// <summary>How many elements of <see cref="Values"/>, from the start, are trained.</summary>
    public long TrainableLength { get; private set; }

    internal Parameter Declare(string name, Shape shape, Shape fileShape, Initialisation initialisation, int fanIn)
    {
        if (IsPlaced)
            throw new InvalidOperationException($"{name}: parameters cannot be added once the store is on a device");
        var parameter = new Parameter(name, shape, fileShape, initialisation, fanIn);
        if (!_byName.TryAdd(name, parameter))
            throw new ArgumentException($"two parameters are named {name}");
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Gives every parameter memory on a device, filled as PyTorch would (numbers from Philox, keyed by seed and
    /// parameter name, so that they do not depend on the order of declaration).</summary>
    public void Place(IDevice device, bool training, ulong seed = 0)
    {
        if (IsPlaced)
            throw new InvalidOperationException("the parameters are on a device already");
        long length = 0;
        foreach (Parameter parameter in _parameters.Where(p => !p.Frozen))
            length = Lay(parameter, length);
        TrainableLength = length;
        foreach (Parameter parameter in _parameters.Where(p => p.Frozen))
            length = Lay(parameter, length);

        _values = Scope.Detach(Tensor.Zeros(device, Flat(length)));
        _gradients = training ? Scope.Detach(Tensor.Zeros(device, Flat(TrainableLength))) : null;
        foreach (Parameter parameter in _parameters)
        {
            GradientSlot? slot = !training || parameter.Frozen
                ? null
                : new GradientSlot(device, parameter.Shape.Count,
                    Storage.Borrow(device, (_gradients!.Ptr + parameter.Offset).Address, parameter.Shape.Count * sizeof(float)));
            parameter.Value = Scope.Detach(_values.View(parameter.Offset, parameter.Shape, slot));
            Initialise(parameter, seed);
        }
    }

    private static long Lay(Parameter parameter, long at)
    {
        parameter.Offset = at;
        return at + (parameter.Shape.Count + Alignment - 1) / Alignment * Alignment;
    }

    // Shapes count in int; the arena of a large model is longer, so it is laid out as [n, Alignment].
    private static Shape Flat(long length) => new(checked((int)(length / Alignment)), Alignment);

    private static void Initialise(Parameter parameter, ulong seed)
    {
        Tensor value = parameter.Value;
        IKernels k = value.Kernels;
        switch (parameter.Initialisation)
        {
            case Initialisation.Ones:
                k.Fill(value.Count, 1, value.Ptr);
                break;
            case Initialisation.FanIn:
                float bound = 1 / MathF.Sqrt(parameter.FanIn);
                k.Uniform(value.Count, new RandomKey(seed, NameHash(parameter.Name)), 0, value.Ptr);
                using (Tensor ones = Scope.Detach(Tensor.Like(value)))
                {
                    k.Fill(value.Count, 1, ones.Ptr);
                    k.LinearCombination(value.Count, 2 * bound, value.Ptr, -bound, ones.Ptr, new Target(value.Ptr, false));
                }

                break;
        }
    }

    /// <summary>FNV-1a, 64 bits: the Philox stream of a parameter.</summary>
    private static ulong NameHash(string name)
    {
        ulong hash = 14695981039346656037;
        foreach (byte b in Encoding.UTF8.GetBytes(name))
            hash = (hash ^ b) * 1099511628211;
        return BitOperations.RotateLeft(hash, 17);
    }

    /// <summary>Sets all gradients to zero.</summary>
    public void ZeroGradients()
    {
        if (_gradients is { } g)
            g.Kernels.Zero(g.Count * sizeof(float), g.Ptr.Address);
    }

    /// <summary>Copies one parameter to the host in the checkpoint's layout, from this arena or another of the same layout (an
    /// EMA of the trainable part).</summary>
    public float[] ToFileLayout(Parameter parameter, Tensor? arena = null)
    {
        bool fromArena = arena != null && !parameter.Frozen;
        using Tensor view = Scope.Detach((fromArena ? arena! : Values).View(parameter.Offset, parameter.Shape, null));
        return Transpose(parameter, view.ToArray(), toFile: true);
    }

    /// <summary>Sets one parameter from numbers in the checkpoint's layout.</summary>
    public void FromFileLayout(Parameter parameter, ReadOnlySpan<float> values, Tensor? arena = null)
    {
        if (values.Length != parameter.Shape.Count)
            throw new ArgumentException($"{parameter.Name}: {values.Length} numbers, expected {parameter.FileShape}");
        bool toArena = arena != null && !parameter.Frozen;
        using Tensor view = Scope.Detach((toArena ? arena! : Values).View(parameter.Offset, parameter.Shape, null));
        view.CopyFrom(Transpose(parameter, values, toFile: false));
    }

    // [O,kH,kW,I] in memory, [O,I,kH,kW] in files: per output channel a transposition of [kH·kW, I].
    private static float[] Transpose(Parameter parameter, ReadOnlySpan<float> from, bool toFile)
    {
        float[] to = new float[from.Length];
        if (parameter.Shape.Rank != 4)
        {
            from.CopyTo(to);
            return to;
        }

        int outputs = parameter.Shape[0], taps = parameter.Shape[1] * parameter.Shape[2], inputs = parameter.Shape[3];
        (int rows, int cols) = toFile ? (taps, inputs) : (inputs, taps);
        for (int o = 0; o < outputs; o++)
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < cols; c++)
                    to[(o * cols + c) * rows + r] = from[(o * rows + r) * cols + c];
        return to;
    }

    public void Dispose()
    {
        foreach (Parameter parameter in _parameters)
            parameter.Free();
        _values?.Dispose();
        _gradients?.Dispose();
        _values = null;
        _gradients = null;
    }
}
