using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Modules;

/// <summary>
/// All parameters of a network. They are declared while it is built and then lie in one flat arena each for values and
/// gradients (trainable ones first, frozen ones behind), so that clipping, Adam and EMA are a single pass.
/// <para>For bfloat16 arithmetic the float32 numbers stay the truth that training changes and checkpoints hold; beside them lies
/// an arena of the same layout in bfloat16, which products read. A network placed for inference alone keeps its matrices in
/// bfloat16 only, which halves its memory.</para>
/// </summary>
public sealed class ParameterStore : IDisposable
{
    // Each parameter begins at a multiple of 64 bytes; the padding stays zero.
    private const int Alignment = 16;

    private readonly List<Parameter> _parameters = [];
    private readonly Dictionary<string, Parameter> _byName = [];
    private Tensor? _values;
    private Tensor? _copy;
    private Tensor? _gradients;

    /// <summary>In the order of declaration, which is that of checkpoints.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    public IReadOnlyDictionary<string, Parameter> ByName => _byName;

    /// <summary>The number of numbers in all parameters.</summary>
    public long ParameterCount => _parameters.Sum(p => p.Shape.Count);

    /// <summary>For messages: how many numbers there are, and how much memory they take at so many bytes each.</summary>
    public string Size(int bytesEach) => string.Create(CultureInfo.InvariantCulture,
        $"{ParameterCount / 1e6:F1} million weights take {ParameterCount * (double)bytesEach / (1 << 20):F0} MB");

    /// <summary>Whether <see cref="Place"/> has given the parameters memory.</summary>
    public bool IsPlaced => _values != null;

    public IDevice Device => Values.Device;

    /// <summary>What activations are computed in: float32 or bfloat16.</summary>
    public DType ComputeType { get; private set; }

    /// <summary>All values in float32, flat, with padding; without the matrices of a network placed for inference in
    /// bfloat16.</summary>
    public Tensor Values => _values ?? throw new InvalidOperationException("the parameters were not put on a device");

    /// <summary>All values in bfloat16, flat, laid out as <see cref="Values"/>; null unless placed for training in
    /// bfloat16.</summary>
    public Tensor? Copy => _gradients == null ? null : _copy;

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
    /// <param name="device">Where to.</param>
    /// <param name="training">Whether gradients are wanted.</param>
    /// <param name="seed">Of the numbers.</param>
    /// <param name="computeType">Float32 or, where the device computes in it, bfloat16.</param>
    /// <param name="fill">False: the parameters are left with whatever is in their memory, for a caller who loads all of
    /// them.</param>
    public void Place(
        IDevice device, bool training, ulong seed = 0, DType computeType = DType.Float32, bool fill = true)
    {
        if (IsPlaced)
            throw new InvalidOperationException("the parameters are on a device already");
        if (computeType is not (DType.Float32 or DType.BFloat16) || !device.Supports(computeType))
            throw new ArgumentException($"{device.Name} does not compute in {computeType}", nameof(computeType));
        ComputeType = computeType;
        bool rounded = computeType == DType.BFloat16;
        bool IsOnlyRounded(Parameter p) => rounded && !training && p.IsMatrix;
        long length = 0;
        foreach (Parameter parameter in _parameters.Where(p => !p.Frozen && !IsOnlyRounded(p)))
            length = Lay(parameter, length);
        TrainableLength = length;
        foreach (Parameter parameter in _parameters.Where(p => p.Frozen && !IsOnlyRounded(p)))
            length = Lay(parameter, length);
        long roundedLength = training ? length : 0;
        foreach (Parameter parameter in _parameters.Where(IsOnlyRounded))
            roundedLength = Lay(parameter, roundedLength);

        _values = Arena(device, length, DType.Float32, fill);
        _copy = rounded ? Arena(device, roundedLength, DType.BFloat16, fill) : null;
        _gradients = training ? Scope.Detach(Tensor.Zeros(device, Flat(TrainableLength))) : null;
        foreach (Parameter parameter in _parameters)
        {
            Attach(parameter, IsOnlyRounded(parameter));
            if (fill)
                Initialise(parameter, seed);
            else
                ZeroPadding(parameter);
        }
    }

    private void Attach(Parameter parameter, bool onlyRounded)
    {
        if (onlyRounded)
        {
            parameter.Value = Scope.Detach(_copy!.View(parameter.Offset, parameter.Shape, null));
            return;
        }

        GradientSlot? slot = _gradients == null || parameter.Frozen
            ? null
            : new GradientSlot(Device, parameter.Shape.Count,
                Storage.Borrow(Device, (_gradients.Ptr + parameter.Offset).Address, parameter.Shape.Count * sizeof(float)));
        Tensor value = Scope.Detach(_values!.View(parameter.Offset, parameter.Shape, slot));
        parameter.Value = value;
        if (_gradients == null || _copy == null)
            return;
        parameter.Copy = Scope.Detach(_copy.View(parameter.Offset, parameter.Shape, null));
        parameter.Value = Scope.Detach(value.WithCopy(parameter.Copy));
        value.Dispose();
    }

    private static long Lay(Parameter parameter, long at)
    {
        parameter.Offset = at;
        return at + (parameter.Shape.Count + Alignment - 1) / Alignment * Alignment;
    }

    private static Tensor Arena(IDevice device, long length, DType type, bool zero) => Scope.Detach(
        zero ? Tensor.Zeros(device, Flat(length), type) : Tensor.Empty(device, Flat(length), type));

    private static void ZeroPadding(Parameter parameter)
    {
        long count = parameter.Shape.Count, padding = Lay(parameter, parameter.Offset) - parameter.Offset - count;
        if (padding == 0)
            return;
        Ptr[] ends = parameter.Copy is { } copy ? [parameter.Value.Ptr + count, copy.Ptr + count] : [parameter.Value.Ptr + count];
        foreach (Ptr end in ends)
            parameter.Value.Kernels.Zero(padding * end.Type.Size(), end.Address);
    }

    // Shapes count in int; the arena of a large model is longer, so it is laid out as [n, Alignment].
    private static Shape Flat(long length) => new(checked((int)(length / Alignment)), Alignment);

    private static void Initialise(Parameter parameter, ulong seed)
    {
        if (parameter.Initialisation == Initialisation.Zeros)
            return;
        using Scope scope = Scope.Enter();
        Tensor value = Tensor.Empty(parameter.Value.Device, parameter.Shape);
        IKernels k = value.Kernels;
        if (parameter.Initialisation == Initialisation.Ones)
        {
            k.Fill(value.Count, 1, value.Ptr);
        }
        else
        {
            float bound = 1 / MathF.Sqrt(parameter.FanIn);
            k.Uniform(value.Count, new RandomKey(seed, NameHash(parameter.Name)), 0, value.Ptr);
            Tensor ones = Tensor.Full(value.Device, value.Shape, 1);
            k.LinearCombination(value.Count, 2 * bound, value.Ptr, -bound, ones.Ptr, new Target(value.Ptr, false));
        }

        Set(parameter, value);
    }

    /// <summary>Replaces a parameter's numbers in every type that it has.</summary>
    /// <param name="parameter">Which.</param>
    /// <param name="value">Float32, in the shape in memory.</param>
    public static void Set(Parameter parameter, Tensor value)
    {
        if (value.Type != DType.Float32 || value.Count != parameter.Shape.Count)
            throw new ArgumentException($"{parameter.Name}: {value}, expected {DType.Float32}{parameter.Shape}");
        IKernels k = value.Kernels;
        k.Cast(value.Count, value.Ptr, parameter.Value.Ptr);
        if (parameter.Copy is { } copy)
            k.Cast(value.Count, value.Ptr, copy.Ptr);
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
        using Scope scope = Scope.Enter();
        Tensor value = arena != null && !parameter.Frozen
            ? arena.View(parameter.Offset, parameter.Shape, null)
            : Op.Cast(parameter.Value.WithoutGradient(), DType.Float32);
        float[] own = value.ToArray();
        (int taps, int inputs) = parameter.FilterSize;
        if (taps == 1)
            return own;
        float[] turned = new float[own.Length];
        ParameterLoader.Turn(
            MemoryMarshal.AsBytes(own.AsSpan()), MemoryMarshal.AsBytes(turned.AsSpan()), taps, inputs, sizeof(float));
        return turned;
    }

    /// <summary>Sets one parameter from numbers in the checkpoint's layout.</summary>
    public void FromFileLayout(Parameter parameter, float[] values, Tensor? arena = null)
    {
        if (values.Length != parameter.Shape.Count)
            throw new ArgumentException($"{parameter.Name}: {values.Length} numbers, expected {parameter.FileShape}");
        StoredTensor stored = StoredTensor.FromFloats(parameter.Name, [values.Length], values);
        Load([new StoredParameter(parameter, stored, 0, parameter.Frozen ? null : arena)]);
    }

    /// <summary>Fills parameters from files, with many threads and next to no memory beside the parameters'.</summary>
    /// <param name="parts">What goes where, in the order of the file.</param>
    /// <param name="progress">Told the share of the bytes that are loaded, 0..1, from any thread but never from two at
    /// once.</param>
    /// <exception cref="MdmException">A tensor is not of a floating-point type (then nothing has changed), the file is damaged or
    /// cannot be read.</exception>
    public void Load(IReadOnlyCollection<StoredParameter> parts, Action<double>? progress = null) =>
        ParameterLoader.Load(Device, parts, progress);

    public void Dispose()
    {
        foreach (Parameter parameter in _parameters)
            parameter.Free();
        _values?.Dispose();
        _copy?.Dispose();
        _gradients?.Dispose();
        _values = null;
        _copy = null;
        _gradients = null;
    }
}
