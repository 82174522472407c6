namespace Mdm.Tensors.Modules;

/// <summary>How a fresh parameter is filled.</summary>
public enum Initialisation
{
    Zeros,
    Ones,

    /// <summary>Uniform in ±1/√fan_in: PyTorch's default for linear and convolution weights and biases.</summary>
    FanIn,
}

/// <summary>A trainable array. It is declared when a network is built and gets memory when its
/// <see cref="ParameterStore"/> is put on a device.</summary>
public sealed class Parameter
{
    private Tensor? _value;

    internal Parameter(string name, Shape shape, Shape fileShape, Initialisation initialisation, int fanIn)
    {
        if (shape.Count != fileShape.Count)
            throw new ArgumentException($"{name}: shape {shape} and checkpoint shape {fileShape} differ in size");
        Name = name;
        Shape = shape;
        FileShape = fileShape;
        Initialisation = initialisation;
        FanIn = fanIn;
    }

    /// <summary>The checkpoint's name for it, e.g. <c>down_blocks.0.resnets.1.conv1.weight</c>.</summary>
    public string Name { get; }

    /// <summary>The shape in memory: convolution weights are [O,kH,kW,I].</summary>
    public Shape Shape { get; }

    /// <summary>The shape in checkpoints: convolution weights are [O,I,kH,kW].</summary>
    public Shape FileShape { get; }

    public Initialisation Initialisation { get; }

    /// <summary>Inputs of one output, for <see cref="Initialisation.FanIn"/>.</summary>
    public int FanIn { get; }

    /// <summary>Whether training leaves it alone.</summary>
    public bool Frozen { get; set; }

    /// <summary>Whether activations are multiplied with it, in their own type; all other parameters are used in float32.</summary>
    internal bool IsMatrix => Shape.Rank > 1;

    /// <summary>Taps and inputs of a convolution's filter, which lie one way round in memory, [taps, inputs], and the other in
    /// checkpoints; (1, 1) where there is nothing to turn.</summary>
    internal (int Taps, int Inputs) FilterSize => Shape.Rank == 4 ? (Shape[1] * Shape[2], Shape[3]) : (1, 1);

    /// <summary>Where it lies in the store's arenas, in elements.</summary>
    internal long Offset { get; set; }

    /// <summary>The numbers rounded to the type of the activations, where <see cref="Value"/> holds them in float32.</summary>
    internal Tensor? Copy { get; set; }

    /// <summary>The numbers, a view into one of the store's arenas.</summary>
    /// <exception cref="InvalidOperationException">The store is on no device yet.</exception>
    public Tensor Value
    {
        get => _value ?? throw new InvalidOperationException($"{Name} has no memory yet: its store was not put on a device");
        internal set => _value = value;
    }

    /// <summary>Gives its memory back, if it has any.</summary>
    internal void Free()
    {
        _value?.Dispose();
        Copy?.Dispose();
        _value = null;
        Copy = null;
    }

    public static implicit operator Tensor(Parameter parameter) => parameter.Value;
}
