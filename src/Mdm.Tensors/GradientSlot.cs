using Mdm.Kernels;

namespace Mdm.Tensors;

/// <summary>Gathers the gradient of one tensor. Contributions add up; the first is written rather than added, and one
/// that is passed on unchanged (a residual connection) shares its memory until somebody must write to it.</summary>
internal sealed class GradientSlot
{
    private readonly IDevice _device;
    private readonly long _count;
    private readonly DType _type;
    private readonly bool _inArena;
    private Storage? _buffer;

    /// <param name="device">Where the tensor is.</param>
    /// <param name="count">Its elements.</param>
    /// <param name="type">Of the gradient: that of the tensor.</param>
    /// <param name="isLeaf">Whether the gradient is what somebody asked for.</param>
    public GradientSlot(IDevice device, long count, DType type, bool isLeaf = false)
    {
        _device = device;
        _count = count;
        _type = type;
        IsLeaf = isLeaf;
    }

    /// <summary>A parameter's slot: its gradient lives in the float32 arena, whatever type the parameter is computed with, and is
    /// always added to.</summary>
    public GradientSlot(IDevice device, long count, Storage arena)
        : this(device, count, DType.Float32, isLeaf: true)
    {
        _buffer = arena;
        _inArena = true;
    }

    /// <summary>Leaves keep their gradient after backward has passed; others give it back.</summary>
    public bool IsLeaf { get; }

    public bool HasGradient => _buffer != null;

    public Ptr Ptr => new(_buffer!.Address, _type);

    /// <summary>Where the next contribution goes.</summary>
    public Target NextTarget()
    {
        if (_buffer == null)
        {
            _buffer = Storage.Allocate(_device, Math.Max(1, _count) * _type.Size());
            return new Target(Ptr, Accumulate: false);
        }

        if (!_inArena && !_buffer.IsUnique)
        {
            Storage own = Storage.Allocate(_device, _count * _type.Size());
            var target = new Ptr(own.Address, _type);
            _device.Kernels.LinearCombination(_count, 1, Ptr, 0, Ptr.None, new Target(target, false));
            _buffer.Release();
            _buffer = own;
        }

        return new Target(Ptr, Accumulate: true);
    }

    /// <summary>Takes the whole gradient of another slot as a contribution.</summary>
    public void Pass(GradientSlot from)
    {
        if (_buffer == null)
            _buffer = from._buffer!.Retain();
        else
            _device.Kernels.LinearCombination(_count, 1, from.Ptr, 0, Ptr.None, NextTarget());
    }

    /// <summary>Begins with a given gradient (of a loss), or with ones (float32 only).</summary>
    public void Seed(Tensor? gradient)
    {
        DType given = gradient?.Type ?? DType.Float32;
        if (given != _type)
            throw new ArgumentException($"backward begins with a gradient of type {given}, expected the result's type {_type}");
        Target target = NextTarget();
        if (gradient == null)
            _device.Kernels.Fill(_count, 1, target.Ptr);
        else
            _device.Kernels.LinearCombination(_count, 1, gradient.Ptr, 0, Ptr.None, target);
    }

    public Tensor? ToTensor(Shape shape) => _buffer == null ? null : new Tensor(_buffer.Retain(), 0, shape, _type);

    public void Free()
    {
        if (_inArena)
            return;
        _buffer?.Release();
        _buffer = null;
    }
}
